"""Settings of a detection in own images, with masks or with boxes alone."""

from typing import Any

from mmvisionllama.finetuning.annotation_files import Annotations
from mmvisionllama.finetuning.config_text import Name
from mmvisionllama.finetuning.recipe import Recipe
from mmvisionllama.finetuning.settings import (
    LOAD,
    LOAD_TRAIN,
    Settings,
    backbone_settings,
    loaders,
    part,
)

_SMALL_OBJECTS = 48.0  # px; anchors for objects of this median side and below are half as large
_META = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")


def det_settings(data: Annotations, recipe: Recipe) -> Settings:
    """Return model, data and metrics."""
    width, height = recipe.image
    scale = (max(width, height), min(width, height))
    annotate: list[dict[str, Any]] = [dict(type="LoadAnnotations", with_bbox=True, with_mask=data.has_masks)]
    if data.has_masks:
        annotate.insert(0, dict(type="mmvisionllama.MarkMissingMasks"))
    classes = data.class_list
    resize, pack = (
        dict(type="Resize", scale=scale, keep_ratio=True),
        dict(type="PackDetInputs", meta_keys=_META),
    )
    variables = dict(
        _data=dict(
            type="CocoDataset",
            data_root=str(data.root),
            data_prefix=dict(img=""),
            metainfo=dict(classes=classes),
        ),
        _test=[LOAD, resize, *annotate, pack],
    )
    train = [
        LOAD_TRAIN,
        *annotate,
        dict(type="RandomResize", scale=scale, ratio_range=(0.8, 1.25), keep_ratio=True),
        *([dict(type="RandomFlip", prob=0.5)] if recipe.flips else []),
        dict(type="FilterAnnotations", min_gt_bbox_wh=(1, 1)),
        dict(type="PackDetInputs"),
    ]
    sets = (
        part(data, "train", train, filter_cfg=dict(filter_empty_gt=True)),
        *(part(data, x, Name("_test"), test_mode=True) for x in ("val", "test")),
    )
    metrics = dict(val_evaluator=_metric(data, "val"), test_evaluator=Name("val_evaluator"))
    if "test" in data.files:
        metrics["test_evaluator"] = _metric(data, "test")
    tiny = "_tiny" if recipe.backbone.is_tiny else ""
    kind = "mask_rcnn" if data.has_masks else "faster_rcnn"
    return Settings(
        (f"models/{kind}{tiny}", "datasets/own_det", "schedules/own", "runtime/default", "runtime/det"),
        variables,
        dict(
            model=_model(len(data.classes), recipe, has_masks=data.has_masks),
            **loaders(*sets, batch=recipe.batch, evaluated=recipe.batch),
            **metrics,
        ),
    )


def _metric(data: Annotations, name: str) -> dict[str, Any]:
    kinds = dict(metric=["bbox", "segm"]) if data.has_masks else {}
    return dict(ann_file=str(data.files[name]), **kinds)


def _model(classes: int, recipe: Recipe, *, has_masks: bool) -> dict[str, Any]:
    """Return what a base leaves to its leaves: backbone, pyramid, anchors, number of classes."""
    tiny = recipe.backbone.is_tiny
    dims, width = recipe.backbone.sizes["embed_dims"], 64 if tiny else 256
    scales = dict(scales=[4 if recipe.object_side <= _SMALL_OBJECTS else 8])
    heads: dict[str, Any] = dict(bbox_head=dict(num_classes=classes))
    if has_masks:
        heads["mask_head"] = dict(num_classes=classes)
    if recipe.backbone.is_pyramid:
        backbone = backbone_settings(recipe, out_type="featmap", out_indices=(0, 1, 2, 3))
        neck = dict(type="FPN", in_channels=list(dims), out_channels=width, num_outs=4 if tiny else 5)
        anchors = scales
    else:
        depth, patch = recipe.backbone.sizes["num_layers"], recipe.patch_size
        ends = tuple(depth * i // 4 - 1 for i in (1, 2, 3, 4))
        window = dict(size=8 if tiny else 14, global_blocks=ends)
        backbone = backbone_settings(recipe, out_type="featmap", window=window)
        neck = dict(type="mmvisionllama.SimpleFPN", in_channels=dims, out_channels=width)
        strides = [patch // 4, patch // 2, patch, 2 * patch, 4 * patch]
        anchors = dict(**scales, strides=strides)
        for name in ("bbox", "mask") if has_masks else ("bbox",):
            heads[f"{name}_roi_extractor"] = dict(featmap_strides=strides[:4])
    model: dict[str, Any] = dict(
        backbone=backbone if tiny else dict(_delete_=True, **backbone),
        neck=neck if tiny else dict(_delete_=True, **neck),
        rpn_head=dict(anchor_generator=anchors),
        roi_head=heads,
    )
    if tiny:  # the base has the numbers of images with one or two objects
        model["train_cfg"] = dict(rcnn=dict(sampler=dict(num=64)))
        model["test_cfg"] = dict(rcnn=dict(max_per_img=100))
    return model
