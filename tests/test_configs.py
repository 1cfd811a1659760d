"""Every shipped config file: it loads under the strict check, says how it is run, and builds."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmseg.registry import DATASETS
from torch import nn

from mmvisionllama.config import load_config

ROOT = Path(__file__).resolve().parents[1]
HOSTS = {"cls": "mmpretrain", "pretrain": "mmpretrain", "seg": "mmseg", "det": "mmdet"}
FILES = sorted(x for x in (ROOT / "configs").rglob("*.py") if "_base_" not in x.parts)
NAMES = [str(x.relative_to(ROOT)) for x in FILES]
LONGEST_LEAF = 45
SEG_NAMES = [x for x in NAMES if x.startswith("configs/seg/")]
ADE_NAMES = [x for x in SEG_NAMES if "_ade20k" in x]
every_config = pytest.mark.parametrize("name", NAMES)
every_ade_config = pytest.mark.parametrize("name", ADE_NAMES)
every_model = pytest.mark.parametrize("built", NAMES, indirect=True)
every_seg_model = pytest.mark.parametrize("built", SEG_NAMES, indirect=True)
every_ade_model = pytest.mark.parametrize("built", ADE_NAMES, indirect=True)

# lr, weight decay, layer-wise decay, drop-path, inference (paper, Sec. D.6; released code; mmseg's baselines)
RECIPES = {
    "visionllama*": (6e-5, 0.05, 0.65, 0.1, "slide"),
    "visionllama_large*": (6e-5, 0.05, 0.65, 0.1, "slide"),
    "visionllama*_released": (1e-4, 0.05, 0.65, 0.1, "slide"),
    "visionllama_large*_released": (1e-4, 0.05, 0.65, 0.1, "slide"),
    "vit*": (6e-5, 0.05, 0.65, 0.1, "slide"),
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


@cache
def load(name: str) -> Config:
    return load_config(ROOT / name)


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest) -> tuple[Config, nn.Module]:
    """Give a config and its model, built once for all tests that ask for it and then let go."""
    cfg = load(request.param)
    init_default_scope(cfg.default_scope)
    # Swin and Twins read values while they are built; the others need no memory for their weights.
    kind = cfg.model.backbone.type.removeprefix("mmpretrain.")
    device = "cpu" if kind in ("SwinTransformer", "SVT") else "meta"
    with torch.device(device):
        return cfg, MODELS.build(cfg.model)


def header(name: str) -> str:
    """Give the text before the first setting of a config file."""
    return (ROOT / name).read_text().split("\n\n_base_", 1)[0]


def generations(file: Path) -> int:
    """Count the files from this one down to the last of its bases."""
    bases = Config._get_base_files(str(file))
    return 1 + max((generations(file.parent / base) for base in bases), default=0)


def last_step(cfg: Config) -> int:
    return max(scheduler["end"] for scheduler in cfg.param_scheduler)


def length(cfg: Config) -> int:
    """Give the training's length in the unit that its schedule counts in."""
    return cfg.train_cfg.max_epochs if cfg.train_cfg.get("by_epoch") else cfg.train_cfg.max_iters


def test_every_ade20k_config_has_a_recipe_to_be_held_against() -> None:
    stems = {model.replace("*", "_upernet_ade20k") for model in RECIPES}
    assert stems == {Path(name).stem for name in ADE_NAMES}


@every_config
def test_no_key_is_unknown_and_no_type_is_missing(name: str) -> None:
    load(name)


@every_config
def test_header_gives_the_command_for_the_file_itself(name: str) -> None:
    assert re.search(rf"^tools/train\.sh {re.escape(name)}( |$)", header(name), re.MULTILINE)


@every_config
def test_header_says_how_many_images_go_where(name: str) -> None:
    per_device = load(name).train_dataloader.batch_size
    stated = re.search(r"(\d+) GPUs x (\d+) images?\b|One process .*, (\d+) images\b", header(name))
    assert stated, "neither 'N GPUs x M images' nor 'One process ..., M images'"
    assert int(stated.group(2) or stated.group(3)) == per_device


@every_config
def test_files_that_a_header_names_exist(name: str) -> None:
    named = re.findall(r"[\w/]+\.py\b", header(name))
    missing = [x for x in named if not (ROOT / x).exists() and not (ROOT / name).with_name(x).exists()]
    assert not missing


@every_config
def test_leaf_is_short_and_close_to_its_bases(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert len(lines) <= LONGEST_LEAF
    assert generations(ROOT / name) <= 3


@every_config
def test_default_scope_is_that_of_the_host(name: str) -> None:
    assert load(name).default_scope == HOSTS[Path(name).parent.name]


@every_config
def test_learning_rate_schedule_ends_with_the_training(name: str) -> None:
    cfg = load(name)
    assert last_step(cfg) == length(cfg)


@every_config
def test_validation_divides_the_training_and_checkpoints_are_at_least_two(name: str) -> None:
    cfg = load(name)
    assert length(cfg) % cfg.train_cfg.val_interval == 0
    assert cfg.default_hooks.checkpoint.max_keep_ckpts >= 2


@every_config
def test_every_run_is_seeded_and_leaves_summary_curves_and_pictures(name: str) -> None:
    cfg = load(name)
    hooks = {hook.type for hook in cfg.custom_hooks}
    assert isinstance(cfg.randomness.seed, int)
    assert {"mmvisionllama.RunSummaryHook", "mmvisionllama.CurvesHook"} < hooks
    assert any(hook.endswith("PicturesHook") for hook in hooks)


@every_model
def test_every_trained_parameter_gets_an_optimizer_group(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    optimized = [id(x) for group in groups for x in group["params"] if x.requires_grad]
    assert sorted(optimized) == sorted(id(x) for x in model.parameters() if x.requires_grad)


@every_seg_model
def test_segmentation_heads_have_one_output_per_class_of_the_data(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    dataset = DATASETS.get(cfg.train_dataloader.dataset.type)
    classes = len(dataset.METAINFO["classes"])
    assert model.decode_head.conv_seg.out_channels == classes
    assert model.auxiliary_head.conv_seg.out_channels == classes


@every_ade_config
def test_ade20k_steps_see_16_images_on_8_devices(name: str) -> None:
    cfg = load(name)
    assert 8 * cfg.train_dataloader.batch_size * cfg.optim_wrapper.get("accumulative_counts", 1) == 16


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
def test_ade20k_weight_decay_spares_norms(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    norms = {id(x) for m in model.backbone.modules() if isinstance(m, nn.LayerNorm) for x in m.parameters()}
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decayed = {id(x) for group in groups if group["weight_decay"] for x in group["params"]}
    assert norms
    assert not norms & decayed


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
    step = 8 * cfg.train_dataloader.batch_size * cfg.optim_wrapper.get("accumulative_counts", 1)
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


@pytest.mark.parametrize("size", ["", "large_"])
def test_what_pretraining_leaves_fits_its_fine_tuning_and_its_probe(size: str) -> None:
    def weights(name: str) -> dict[str, torch.Size]:
        cfg = load(name)
        init_default_scope(cfg.default_scope)
        with torch.device("meta"):
            return {key: value.shape for key, value in MODELS.build(cfg.model).state_dict().items()}

    pretrained = weights(f"configs/pretrain/visionllama_{size}mae_in1k_800e.py")
    for user in ("finetune", "linear"):
        wanted = weights(f"configs/cls/visionllama_{size}mae_{user}_in1k.py")
        backbone = {key: shape for key, shape in wanted.items() if key.startswith("backbone.")}
        new = {key for key, shape in backbone.items() if pretrained.get(key) != shape}
        assert new == {"backbone.norms.all.weight", "backbone.norms.all.bias"}  # after pooling
