"""Settings of a segmentation of own images."""

from typing import Any

from mmvisionllama.finetuning.annotation_files import Annotations
from mmvisionllama.finetuning.config_text import Name
from mmvisionllama.finetuning.recipe import Recipe
from mmvisionllama.finetuning.settings import (
    LOAD_TRAIN,
    Settings,
    backbone_settings,
    evaluated,
    loader,
    part,
)

_SLIDES_FROM = 1.5  # times the crop; larger images are predicted in windows


def seg_settings(data: Annotations, recipe: Recipe) -> Settings:
    """Return model, data and metrics."""
    side, size = recipe.side, dict(type="Resize", scale=_scale(recipe), keep_ratio=True)
    variables = dict(
        _data=dict(
            type="BaseSegDataset",
            metainfo=dict(classes=data.class_list),
            reduce_zero_label=False,
            **data.options,
        ),
        # mmseg's tools read this by its name, and look for a loader of exactly this type in it.
        test_pipeline=[
            dict(type="LoadImageFromFile", _scope_="mmvisionllama"),
            *([size] if recipe.shrinks else []),
            dict(type="LoadAnnotations"),
            dict(type="PackSegInputs"),
        ],
    )
    train = [
        LOAD_TRAIN,
        dict(type="LoadAnnotations"),
        dict(type="RandomResize", scale=_scale(recipe), ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type="RandomCrop", crop_size=(side, side), cat_max_ratio=0.75),
        *([dict(type="RandomFlip", prob=0.5)] if recipe.flips else []),
        dict(type="PhotoMetricDistortion"),
        dict(type="PackSegInputs"),
    ]
    batch = recipe.batch if recipe.alike else 1  # maps of several sizes make no batch
    test_pipeline = Name("test_pipeline")
    val = loader(recipe, part(data, "val", test_pipeline), train=False, batch=batch)
    has_test = "test" in data.files
    test = loader(recipe, part(data, "test", test_pipeline), train=False, batch=batch) if has_test else None
    train_loader = loader(recipe, part(data, "train", train), train=True)
    train_loader["sampler"] = dict(type="InfiniteSampler", shuffle=True)
    return Settings(
        ("models/upernet", "runtime/default", "runtime/seg"),
        variables,
        dict(
            model=_model(len(data.classes), recipe),
            train_dataloader=train_loader,
            **evaluated(data, val, test),
            val_evaluator=dict(type="IoUMetric", iou_metrics=["mIoU"]),
            test_evaluator=Name("val_evaluator"),
        ),
    )


def _scale(recipe: Recipe) -> tuple[int, int]:
    return max(recipe.image), min(recipe.image)


def _model(classes: int, recipe: Recipe) -> dict[str, Any]:
    side, tiny = recipe.side, recipe.backbone.is_tiny
    # GroupNorm gives the same model in one process and in several, and needs no large batch.
    norm = dict(type="GN", num_groups=8 if tiny else 32)
    dims, out = recipe.backbone.sizes["embed_dims"], "featmap"
    model: dict[str, Any] = dict(data_preprocessor=dict(size=(side, side)))
    if recipe.backbone.is_pyramid:
        model["backbone"] = backbone_settings(recipe, out_type=out, out_indices=(0, 1, 2, 3))
        widths = list(dims)
    else:
        depth = recipe.backbone.sizes["num_layers"]
        ends = tuple(depth * i // 4 - 1 for i in (1, 2, 3, 4))
        model["backbone"] = backbone_settings(recipe, out_type=out, out_indices=ends)
        model["neck"] = dict(type="Feature2Pyramid", embed_dim=dims, rescales=[4, 2, 1, 0.5], norm_cfg=norm)
        widths = [dims] * 4
    head = dict(channels=64 if tiny else 512, num_classes=classes, norm_cfg=norm)
    model["decode_head"] = dict(in_channels=widths, **head)
    model["auxiliary_head"] = dict(in_channels=widths[2], **{**head, "channels": 64 if tiny else 256})
    if min(recipe.image) > _SLIDES_FROM * side:
        stride = side * 2 // 3
        model["test_cfg"] = dict(mode="slide", crop_size=(side, side), stride=(stride, stride))
    return model
