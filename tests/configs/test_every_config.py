"""Every shipped config: strict loading, header, schedule and optimizer groups."""

import re
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from torch import nn

from mmvisionllama.checks.same_model import differences
from mmvisionllama.checks.schedules import check_schedules
from mmvisionllama.config.custom_keys import require_known_custom_keys
from mmvisionllama.config.global_batch import share_batch
from tests.configs.shipped import NAMES, ROOT, header, load, saved

HOSTS = {
    "cls": "mmpretrain",
    "pretrain": "mmpretrain",
    "ablation": "mmpretrain",
    "seg": "mmseg",
    "det": "mmdet",
    "gen": "mmpretrain",
}
TOY_HOSTS = {"upernet": "mmseg", "maskrcnn": "mmdet", "vitdet": "mmdet"}  # by the head
LONGEST_LEAF = 40
every_config = pytest.mark.parametrize("name", NAMES)
every_model = pytest.mark.parametrize("built", NAMES, indirect=True)


def generations(file: Path) -> int:
    """Count the files from this one down to the last of its bases."""
    bases = [base for base in Config._get_base_files(str(file)) if "::" not in base]  # those of a host end it
    return 1 + max((generations(file.parent / base) for base in bases), default=0)


def last_step(cfg: Config) -> int:
    """Give the end of the schedule, in the unit of the training; a warm-up may count iterations in epochs."""
    unit = bool(cfg.train_cfg.get("by_epoch"))
    return max(x["end"] for x in cfg.param_scheduler if x.get("by_epoch", True) == unit)


def length(cfg: Config) -> int:
    """Give the training's length in the unit that its schedule counts in."""
    return cfg.train_cfg.max_epochs if cfg.train_cfg.get("by_epoch") else cfg.train_cfg.max_iters


@every_config
def test_no_key_is_unknown_and_no_type_is_missing(name: str) -> None:
    load(name)


@every_config
def test_a_checkpoint_has_no_difference_from_its_own_config(name: str) -> None:
    assert differences(saved(load(name)), "x.pth", load(name)) == []


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
def test_the_devices_of_the_header_make_the_global_batch_that_the_rate_is_meant_for(name: str) -> None:
    cfg = load(name)
    stated = re.search(r"(\d+) GPUs x (\d+) images?(, two batches to a step)?", header(name))
    if stated is None:
        return
    devices, per_device = int(stated.group(1)), int(stated.group(2))
    accumulation = 2 if stated.group(3) else 1
    batch = share_batch(cfg, devices)
    assert (batch.per_device, batch.accumulation) == (per_device, accumulation)


@every_config
@pytest.mark.parametrize("devices", [1, 2, 4, 8, 16])
def test_any_usual_number_of_devices_shares_the_global_batch_of_a_published_recipe(
    name: str, devices: int
) -> None:
    cfg = load(name)
    if "GPUs x" in header(name):
        batch = share_batch(cfg, devices)
        assert devices * batch.per_device * batch.accumulation == cfg.auto_scale_lr.base_batch_size


@every_config
def test_files_that_a_header_names_exist(name: str) -> None:
    named = re.findall(r"[\w/]+\.py\b", header(name))
    missing = [x for x in named if not (ROOT / x).exists() and not (ROOT / name).with_name(x).exists()]
    assert not missing


@every_config
def test_leaf_is_short_and_close_to_its_bases(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert len(lines) <= LONGEST_LEAF
    assert generations(ROOT / name) <= 4  # an ablation, its size, the recipe of all sizes, a part of it


@every_config
def test_default_scope_is_that_of_the_host(name: str) -> None:
    folder, stem = Path(name).parent.name, Path(name).stem
    host = (
        TOY_HOSTS.get(stem.removesuffix("_narrow").split("_")[-2], "mmpretrain")
        if folder == "toy"
        else HOSTS[folder]
    )
    assert load(name).default_scope == host


@every_config
def test_learning_rate_schedule_ends_with_the_training(name: str) -> None:
    cfg = load(name)
    assert last_step(cfg) == length(cfg)
    check_schedules(cfg)


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
def test_every_trained_parameter_gets_an_optimizer_group(
    built: tuple[Config, nn.Module], param_groups: list[dict[str, Any]]
) -> None:
    optimized = [id(x) for group in param_groups for x in group["params"] if x.requires_grad]
    assert sorted(optimized) == sorted(id(x) for x in built[1].parameters() if x.requires_grad)


@every_model
def test_every_custom_key_is_part_of_a_parameters_name(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    require_known_custom_keys(cfg.optim_wrapper.get("paramwise_cfg"), model, "optim_wrapper.paramwise_cfg")


@every_model
def test_weight_decay_spares_class_tokens_position_tables_and_position_convolutions(
    built: tuple[Config, nn.Module], param_groups: list[dict[str, Any]]
) -> None:
    model = built[1]
    groups = [group["params"] for group in param_groups if group["weight_decay"]]
    decayed = {id(x) for group in groups for x in group if x.requires_grad}
    mixing = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    decayed -= {id(m.weight) for m in mixing if getattr(m, "groups", 1) == 1}
    # ViTDet decays its relative positions.
    decayed -= {id(x) for name, x in model.named_parameters() if ".rel_pos_" in name}
    # What else has more than one dimension says where a token is, or is one.
    assert not [name for name, x in model.named_parameters() if id(x) in decayed and x.ndim > 1]
