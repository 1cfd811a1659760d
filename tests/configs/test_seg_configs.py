"""Segmentation configs: heads that fit the data, and the published recipes."""

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from torch import nn

from mmvisionllama.config import load_config
from mmvisionllama.config.global_batch import share_batch
from mmvisionllama.errors import ConfigError
from tests.configs.shipped import NAMES, ROOT, load

SEG_NAMES = [x for x in NAMES if "_upernet_" in x]
ADE_NAMES = [x for x in SEG_NAMES if "_ade20k" in x]
every_ade_config = pytest.mark.parametrize("name", ADE_NAMES)
every_seg_model = pytest.mark.parametrize("built", SEG_NAMES, indirect=True)
every_ade_model = pytest.mark.parametrize("built", ADE_NAMES, indirect=True)

# lr, weight decay, layer-wise decay, drop-path, inference (paper, Sec. D.6; released code; mmseg's baselines;
# VisionLLaMA's for other rotary transformers)
RECIPES = {
    "visionllama*": (6e-5, 0.05, 0.65, 0.1, "slide"),
    "visionllama_large*": (6e-5, 0.05, 0.65, 0.1, "slide"),
    "visionllama*_released": (1e-4, 0.05, 0.65, 0.1, "slide"),
    "visionllama_large*_released": (1e-4, 0.05, 0.65, 0.1, "slide"),
    "vit*": (1e-4, 0.05, 0.65, 0.1, "slide"),
    "vit5*": (6e-5, 0.05, 0.65, 0.1, "slide"),
    "rope_vit_mixed*": (6e-5, 0.05, 0.65, 0.1, "slide"),
    "dinov3*": (6e-5, 0.05, 0.65, 0.1, "slide"),
    "dinov3_frozen*": (6e-5, 0.05, 0.65, 0.0, "slide"),
    "pyramid_visionllama_small*": (6e-5, 0.05, None, 0.2, "slide"),
    "pyramid_visionllama*": (6e-5, 0.05, None, 0.2, "slide"),
    "pyramid_visionllama_large*": (6e-5, 0.05, None, 0.3, "slide"),
    "pyramid_visionllama_small*_released": (6e-5, 0.01, None, 0.2, "slide"),
    "pyramid_visionllama*_released": (6e-5, 0.01, None, 0.2, "slide"),
    "pyramid_visionllama_large*_released": (6e-5, 0.01, None, 0.3, "slide"),
    "swin_small*": (6e-5, 0.01, None, 0.3, "whole"),
    "swin*": (6e-5, 0.01, None, 0.3, "whole"),
    "twins_svt_small*": (6e-5, 0.01, None, 0.2, "whole"),
    "twins_svt*": (6e-5, 0.01, None, 0.2, "whole"),
    "twins_svt_large*": (6e-5, 0.01, None, 0.3, "whole"),
}


def test_every_ade20k_config_has_a_recipe_to_be_held_against() -> None:
    stems = {model.replace("*", "_upernet_ade20k") for model in RECIPES}
    assert stems == {Path(name).stem for name in ADE_NAMES}


@every_seg_model
def test_segmentation_heads_have_one_output_per_class_of_the_data(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    dataset = DATASETS.get(cfg.train_dataloader.dataset.type)
    classes = len(dataset.METAINFO["classes"])
    assert model.decode_head.conv_seg.out_channels == classes
    assert model.auxiliary_head.conv_seg.out_channels == classes


@every_ade_config
def test_ade20k_steps_see_16_images_on_8_devices(name: str) -> None:
    batch = share_batch(load(name), 8)
    assert 8 * batch.per_device * batch.accumulation == 16


@every_ade_config
def test_four_devices_share_a_step_as_the_document_says(name: str) -> None:
    options = {"train_dataloader.batch_size": 4}
    text = (ROOT / "docs/segmentation.md").read_text()
    assert "4 GPUs take 2 images each, two times" in text
    assert "`--cfg-options train_dataloader.batch_size=4`" in text
    batches = [share_batch(cfg, 4) for cfg in (load(name), load_config(ROOT / name, options))]
    twice = (1, 4) if load(name).train_dataloader.batch_size == 1 else (2, 2)
    assert [(x.per_device, x.accumulation) for x in batches] == [twice, (4, 1)]
    with pytest.raises(ConfigError, match="from which the accumulation follows"):
        share_batch(load_config(ROOT / name, {"optim_wrapper.accumulative_counts": 2}), 4)


@pytest.mark.parametrize(("model", "recipe"), RECIPES.items())
def test_ade20k_recipe_is_the_published_one(model: str, recipe: tuple) -> None:
    cfg = load(f"configs/seg/{model.replace('*', '_upernet_ade20k')}.py")
    optimizer, paramwise = cfg.optim_wrapper.optimizer, cfg.optim_wrapper.paramwise_cfg
    assert recipe == (
        optimizer.lr,
        optimizer.weight_decay,
        paramwise.get("layer_decay_rate"),
        cfg.model.backbone.drop_path_rate,
        cfg.model.test_cfg.mode,
    )


@every_ade_model
def test_ade20k_weight_decay_spares_norms(
    built: tuple[Config, nn.Module], param_groups: list[dict[str, Any]]
) -> None:
    layers = [m for m in built[1].backbone.modules() if isinstance(m, nn.LayerNorm | nn.RMSNorm)]
    norms = {id(x) for layer in layers for x in layer.parameters()}
    decayed = {id(x) for group in param_groups if group["weight_decay"] for x in group["params"]}
    assert norms
    assert not norms & decayed
