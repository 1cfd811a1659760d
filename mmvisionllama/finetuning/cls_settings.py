"""Settings of a classification of own images."""

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

_SMALL = 48  # px; smaller images are shifted, not cut out: a tenth of them may be the whole object


def cls_settings(data: Annotations, recipe: Recipe) -> Settings:
    """Return model, data and metrics."""
    classes, dims = len(data.classes), recipe.backbone.sizes["embed_dims"]
    model: dict[str, Any] = dict(
        type="ImageClassifier",
        backbone=backbone_settings(recipe, out_type="avg_featmap"),
        head=dict(
            type="LinearClsHead",
            num_classes=classes,
            in_channels=dims[-1] if recipe.backbone.is_pyramid else dims,
            loss=dict(type="CrossEntropyLoss"),
        ),
    )
    variables = dict(
        _data=dict(type="CustomDataset", data_root=str(data.root), metainfo=dict(classes=data.class_list)),
        _test=[LOAD, *_test_size(recipe), dict(type="PackInputs")],
    )
    metrics = {}
    if classes > 5:
        metrics["val_evaluator"] = [dict(type="Accuracy", topk=(1, 5)), dict(type="SingleLabelMetric")]
        metrics["test_evaluator"] = Name("val_evaluator")
    sets = part(data, "train", _train(recipe)), *(part(data, x, Name("_test")) for x in ("val", "test"))
    return Settings(
        ("datasets/own_cls", "schedules/own", "runtime/default", "runtime/cls"),
        variables,
        dict(
            model=model,
            data_preprocessor=dict(num_classes=classes),
            **loaders(*sets, batch=recipe.batch, evaluated=recipe.batch),
            **metrics,
        ),
    )


def _train(recipe: Recipe) -> list[dict[str, Any]]:
    side = recipe.side
    if side < _SMALL:
        size = [
            dict(type="Resize", scale=(side, side)),
            dict(type="RandomCrop", crop_size=side, padding=side // 8),
        ]
    else:
        size = [dict(type="RandomResizedCrop", scale=side, crop_ratio_range=(0.35, 1.0))]
    flip = [dict(type="RandomFlip", prob=0.5)] if recipe.flips else []
    jitter = [dict(type="ColorJitter", brightness=0.2, contrast=0.2, saturation=0.2)]
    return [LOAD_TRAIN, *size, *flip, *jitter, dict(type="PackInputs")]


def _test_size(recipe: Recipe) -> list[dict[str, Any]]:
    side = recipe.side
    if side < _SMALL:
        return [dict(type="Resize", scale=(side, side))]
    edge = round(side * 8 / 7) if side >= 128 else side
    return [dict(type="ResizeEdge", scale=edge, edge="short"), dict(type="CenterCrop", crop_size=side)]
