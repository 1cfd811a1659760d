"""Settings of a segmentation of own images."""

from typing import Any

from mmvisionllama.finetuning.annotation_files import Annotations
from mmvisionllama.finetuning.config_text import Name
from mmvisionllama.finetuning.recipe import Recipe
from mmvisionllama.finetuning.settings import (
    LOAD_TRAIN,
    Settings,
    backbone_settings,
    loaders,
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
        # The same model in one process and in several, also for a batch of one image.
        _norm=dict(type="GN", num_groups=8 if recipe.backbone.is_tiny else 32),
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
    sets = part(data, "train", train), *(part(data, x, Name("test_pipeline")) for x in ("val", "test"))
    evaluated = recipe.batch if recipe.alike else 1  # maps of several sizes make no batch
    return Settings(
        ("models/upernet", "datasets/own_seg", "schedules/own", "runtime/default", "runtime/seg"),
        variables,
        dict(
            model=_model(len(data.classes), recipe),
            **loaders(*sets, batch=recipe.batch, evaluated=evaluated),
        ),
    )


def _scale(recipe: Recipe) -> tuple[int, int]:
    return max(recipe.image), min(recipe.image)


def _model(classes: int, recipe: Recipe) -> dict[str, Any]:
    side, tiny = recipe.side, recipe.backbone.is_tiny
    dims, out, norm = recipe.backbone.sizes["embed_dims"], "featmap", Name("_norm")
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
