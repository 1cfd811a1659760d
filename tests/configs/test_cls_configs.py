"""Classifiers: the published recipes and sizes, fine-tuning and linear probes."""

from pathlib import Path

import pytest
from mmengine.config import Config
from torch import nn

from tests.configs.shipped import NAMES, load

# lr, weight decay, drop-path, its schedule, LayerScale, epochs, images a step, training and evaluation size,
# share of the edge that evaluation keeps, repeated augmentation (paper, Tab. 13; released code)
CLASSIFIERS = {
    "visionllama_small_in1k": (3e-3, 0.02, 0.05, "constant", 1e-4, 800, 2048, 224, 224, 1.0, True),
    "visionllama_small_in1k_released": (4e-3, 0.05, 0.05, "constant", 1e-4, 800, 2048, 224, 224, 0.875, True),
    "visionllama_in1k_pre192": (3e-3, 0.02, 0.2, "constant", 1e-4, 800, 2048, 192, 192, 1.0, True),
    "visionllama_in1k_pre192_released": (3e-3, 0.05, 0.2, "constant", 1e-4, 800, 2048, 192, 192, 0.875, True),
    "visionllama_in1k": (1e-5, 0.1, 0.2, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "visionllama_in1k_released": (1e-5, 0.1, 0.2, "constant", 1e-4, 20, 512, 224, 224, 0.875, False),
    "visionllama_large_in1k_pre160": (3e-3, 0.02, 0.45, "constant", 1e-4, 800, 2048, 160, 160, 1.0, True),
    "visionllama_large_in1k_pre128_released": (
        *(3e-3, 0.05, 0.45, "constant", 1e-4, 800, 2048, 128, 128, 0.875, True),
    ),
    "visionllama_large_in1k": (1e-5, 0.1, 0.45, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "visionllama_large_in1k_released": (1e-5, 0.1, 0.45, "constant", 1e-4, 20, 512, 224, 224, 0.875, False),
    "deit3_small_in1k": (3e-3, 0.02, 0.05, "constant", 1e-4, 800, 2048, 224, 224, 1.0, True),
    "deit3_in1k_pre192": (3e-3, 0.02, 0.2, "constant", 1e-4, 800, 2048, 192, 192, 1.0, True),
    "deit3_in1k": (1e-5, 0.1, 0.2, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "deit3_large_in1k_pre160": (3e-3, 0.02, 0.45, "constant", 1e-4, 800, 2048, 160, 160, 1.0, True),
    "deit3_large_in1k": (1e-5, 0.1, 0.45, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "pyramid_visionllama_small_in1k": (1e-3, 0.05, 0.2, "linear", None, 300, 1024, 224, 224, 0.875, True),
    "pyramid_visionllama_in1k": (1e-3, 0.05, 0.3, "linear", None, 300, 1024, 224, 224, 0.875, True),
    "pyramid_visionllama_large_in1k": (1e-3, 0.05, 0.5, "linear", None, 300, 1024, 224, 224, 0.875, True),
    "pyramid_visionllama_small_in1k_released": (
        *(1e-3, 0.05, 0.2, "linear", 1e-4, 300, 1024, 224, 224, 0.875, False),
    ),
    "pyramid_visionllama_in1k_released": (
        *(1e-3, 0.05, 0.3, "linear", 1e-4, 300, 1024, 224, 224, 0.875, False),
    ),
    "pyramid_visionllama_large_in1k_released": (
        *(1e-3, 0.05, 0.5, "linear", 1e-4, 300, 1024, 224, 224, 0.875, False),
    ),
}


@pytest.mark.parametrize(("name", "recipe"), CLASSIFIERS.items())
def test_classification_recipe_is_the_published_one(name: str, recipe: tuple) -> None:
    cfg = load(f"configs/cls/{name}.py")
    defaults = {"drop_path_schedule": "constant", "layer_scale": 1e-4}
    if cfg.model.backbone.type.endswith("PyramidVisionLLaMA"):
        defaults["drop_path_schedule"] = "linear"
    schedule, layer_scale = (cfg.model.backbone.get(key, value) for key, value in defaults.items())
    optimizer = cfg.optim_wrapper.optimizer
    train, test = (cfg[f"{split}_dataloader"].dataset.pipeline for split in ("train", "test"))
    crop, edge = test[2].crop_size, test[1].scale
    assert cfg.val_dataloader == cfg.test_dataloader
    assert recipe == (
        *(optimizer.lr, optimizer.weight_decay, cfg.model.backbone.drop_path_rate, schedule, layer_scale),
        *(cfg.train_cfg.max_epochs, 8 * cfg.train_dataloader.batch_size, train[1].scale, crop),
        *(pytest.approx(crop / edge, abs=0.003), cfg.train_dataloader.sampler.type == "RepeatAugSampler"),
    )


# Millions, with the head of 1,000 classes: DeiT III's own table; mmpretrain's for Swin and Twins.
SIZES = {
    "deit3_small_in1k": 22.06,
    "deit3_in1k": 86.59,
    "deit3_large_in1k": 304.37,
    "swin_tiny_in1k": 28.29,
    "swin_small_in1k": 49.61,
    "swin_in1k": 87.77,
    "twins_svt_small_in1k": 24.06,
    "twins_svt_in1k": 56.07,
    "twins_svt_large_in1k": 99.27,
    "vit_small_in1k": 22.05,
    "visionllama_in1k": 86.39,
    "pyramid_visionllama_small_in1k": 25.89,
}


@pytest.mark.parametrize("built", [f"configs/cls/{name}.py" for name in SIZES], indirect=True)
def test_classifiers_have_the_published_number_of_parameters(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(SIZES[Path(cfg.filename).stem], abs=0.06)


# lr, layer-wise decay, drop-path, epochs, images a step (paper, Tab. 15; released code; mmpretrain)
FINETUNED = {
    "visionllama_mae_finetune_in1k": (4e-3, 0.45, 0.1, 100, 1024),
    "visionllama_large_mae_finetune_in1k": (4e-3, 0.45, 0.1, 50, 1024),
    "visionllama_mae_finetune_in1k_released": (2e-3, 0.45, 0.1, 100, 1024),
    "visionllama_large_mae_finetune_in1k_released": (4e-3, 0.45, 0.2, 50, 1024),
    "vit_mae_finetune_in1k": (2e-3, 0.65, 0.1, 100, 1024),
    "vit_large_mae_finetune_in1k": (4e-3, 0.75, 0.2, 50, 1024),
}


@pytest.mark.parametrize(("name", "recipe"), FINETUNED.items())
def test_fine_tuning_recipe_is_the_published_one(name: str, recipe: tuple) -> None:
    cfg = load(f"configs/cls/{name}.py")
    step = cfg.auto_scale_lr.base_batch_size
    rate, decay = cfg.optim_wrapper.optimizer.lr, cfg.optim_wrapper.paramwise_cfg.layer_decay_rate
    assert recipe == (rate, decay, cfg.model.backbone.drop_path_rate, cfg.train_cfg.max_epochs, step)


PROBES = [name for name in NAMES if "_linear_in1k" in name]


@pytest.mark.parametrize("built", PROBES, indirect=True)
def test_probes_train_the_last_layer_alone(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.partition(".")[0] for name in trained} == {"head"}
    assert 8 * cfg.train_dataloader.batch_size == 16384
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.1 * 16384 / 256)
