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
    device = "cpu" if cfg.model.backbone.type in ("mmpretrain.SwinTransformer", "mmpretrain.SVT") else "meta"
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
    assert last_step(cfg) == cfg.train_cfg.max_iters


@every_config
def test_validation_divides_the_training_and_checkpoints_are_at_least_two(name: str) -> None:
    cfg = load(name)
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0
    assert cfg.default_hooks.checkpoint.max_keep_ckpts >= 2


@every_config
def test_every_run_is_seeded_and_leaves_summary_curves_and_pictures(name: str) -> None:
    cfg = load(name)
    hooks = {hook.type for hook in cfg.custom_hooks}
    assert isinstance(cfg.randomness.seed, int)
    assert {"mmvisionllama.RunSummaryHook", "mmvisionllama.CurvesHook"} < hooks
    assert any(hook.endswith("PicturesHook") for hook in hooks)


@every_model
def test_every_parameter_gets_an_optimizer_group(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


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
