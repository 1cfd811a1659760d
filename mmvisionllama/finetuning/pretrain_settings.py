"""Settings of a masked pre-training (MAE) on own images without labels."""

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

# Width, depth and heads of the decoder: of tiny models, of small ones, of all others as in MAE.
_DECODERS = {"tiny": (64, 2, 4), "small": (256, 4, 8)}
_DECODER = (512, 8, 16)


def pretrain_settings(data: Annotations, recipe: Recipe) -> Settings:
    """Return model, data and metrics."""
    side = recipe.side
    size = [dict(type="RandomResizedCrop", scale=side, crop_ratio_range=(0.2, 1.0))]
    flip = [dict(type="RandomFlip", prob=0.5)] if recipe.flips else []
    middle = [dict(type="ResizeEdge", scale=side, edge="short"), dict(type="CenterCrop", crop_size=side)]
    variables = dict(
        _data=dict(type="CustomDataset", data_root=str(data.root), with_label=False),
        _test=[LOAD, *middle, dict(type="PackInputs")],
    )
    train = [LOAD_TRAIN, *size, *flip, dict(type="PackInputs")]
    sets = part(data, "train", train), part(data, "val", Name("_test")), None
    return Settings(
        ("models/mae", "datasets/own_mae", "schedules/own", "runtime/default", "runtime/pretrain"),
        variables,
        dict(model=_model(recipe), **loaders(*sets, batch=recipe.batch, evaluated=recipe.batch)),
    )


def _model(recipe: Recipe) -> dict[str, Any]:
    side, patch = recipe.side, recipe.patch_size
    width, depth, heads = _DECODERS.get(recipe.backbone.model.rpartition("_")[2], _DECODER)
    backbone = backbone_settings(recipe, img_size=side)
    for name in ("drop_path_rate", "drop_path_schedule", "layer_scale"):  # MAE has none
        if name not in recipe.backbone.kept:
            backbone.pop(name, None)
    backbone["type"] = "mmvisionllama.MAEVisionLLaMA"
    return dict(
        backbone=backbone,
        neck=dict(
            num_patches=(side // patch) ** 2,
            patch_size=patch,
            embed_dim=recipe.backbone.sizes["embed_dims"],
            decoder_embed_dim=width,
            decoder_depth=depth,
            decoder_num_heads=heads,
        ),
        head=dict(patch_size=patch),
    )
