"""Pre-training configs: the published recipes, and weights that fit fine-tuning and linear probes."""

from pathlib import Path

import pytest
from mmengine.config import Config
from torch import nn

from tests.configs.shipped import build, load, shapes

# lr, weight decay, second beta, epochs, images a step, feed-forward width (paper; released code)
PRETRAINED = {
    "visionllama_mae_in1k_800e": (2.4e-3, 0.05, 0.95, 800, 4096, 2048),
    "visionllama_mae_in1k_1600e": (2.4e-3, 0.05, 0.95, 1600, 4096, 2048),
    "visionllama_large_mae_in1k_800e": (2.4e-3, 0.05, 0.95, 800, 4096, 2816),
    "visionllama_mae_in1k_800e_released": (2.4e-3, 0.05, 0.95, 800, 4096, 8192),
    "visionllama_mae_in1k_1600e_released": (2.4e-3, 0.05, 0.95, 1600, 4096, 8192),
    "visionllama_large_mae_in1k_800e_released": (2.4e-3, 0.05, 0.95, 800, 2048, 11008),
}


@pytest.mark.parametrize("built", [f"configs/pretrain/{name}.py" for name in PRETRAINED], indirect=True)
def test_pretraining_recipe_is_the_published_one(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    optimizer = cfg.optim_wrapper.optimizer
    assert PRETRAINED[Path(cfg.filename).stem] == (
        *(optimizer.lr, optimizer.weight_decay, optimizer.betas[1], cfg.train_cfg.max_epochs),
        *(8 * cfg.train_dataloader.batch_size, model.backbone.blocks[0].ffn.gate.out_features),
    )


@pytest.mark.parametrize("size", ["", "large_"])
def test_what_pretraining_leaves_fits_its_fine_tuning_and_its_probe(size: str) -> None:
    pretrained = shapes(build(load(f"configs/pretrain/visionllama_{size}mae_in1k_800e.py")))
    for user in ("finetune", "linear"):
        wanted = shapes(build(load(f"configs/cls/visionllama_{size}mae_{user}_in1k.py")))
        backbone = {key: shape for key, shape in wanted.items() if key.startswith("backbone.")}
        new = {key for key, shape in backbone.items() if pretrained.get(key) != shape}
        assert new == {"backbone.norms.all.weight", "backbone.norms.all.bias"}  # after pooling
