"""A step that is computed in parts is the step of the whole batch, and everything counts steps."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

import tests.tools.toy  # noqa: F401  (registers)
from mmvisionllama.checkpoint import make_mmengine_read_safely, read_checkpoint
from mmvisionllama.checks.schedules import ScheduleCheckHook
from mmvisionllama.errors import ConfigError
from mmvisionllama.training.accumulation import images_in
from mmvisionllama.training.runner import ResumableRunner
from tests.processes import in_processes

_RUNS = itertools.count()
COUNT, BATCH = 30, 8  # the last step of an epoch has 6 images
EPOCHS = dict(by_epoch=True, max_epochs=2)
ITERS = dict(by_epoch=False, max_iters=10)
both_loops = pytest.mark.parametrize("train_cfg", [EPOCHS, ITERS], ids=["epochs", "iterations"])


def toy(work_dir: Path, train_cfg: dict, at_once: int, **changes: Any) -> ResumableRunner:
    """Make a Runner whose devices compute with ``at_once`` images."""
    make_mmengine_read_safely()
    by_epoch = train_cfg["by_epoch"]
    cfg = dict(
        default_scope="mmengine",
        model=dict(type="ToyRegression", backbone=dict(type="ToyBackbone", width=8)),
        train_dataloader=dict(
            batch_size=at_once,
            num_workers=0,
            collate_fn=dict(type="default_collate"),
            sampler=dict(type="DefaultSampler", shuffle=True),
            dataset=dict(type="ToyPoints", count=COUNT),
        ),
        train_cfg=train_cfg,
        auto_scale_lr=dict(base_batch_size=BATCH),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9), clip_grad=dict(max_norm=0.5)),
        param_scheduler=[dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=5)],
        default_hooks=dict(
            logger=dict(type="LoggerHook", interval=1, log_metric_by_epoch=False),
            checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=3),
        ),
        custom_hooks=[dict(type="EMAHook", ema_type="ExponentialMovingAverage", momentum=0.1)],
        log_processor=dict(by_epoch=by_epoch),
        randomness=dict(seed=3),
        work_dir=str(work_dir),
        experiment_name=f"accumulating_{next(_RUNS)}",
    )
    cfg.update(changes)
    if cfg.get("launcher", "none") != "none":
        cfg["model_wrapper_cfg"] = dict(type="MMDistributedDataParallel", device_ids=None)
    return ResumableRunner.from_cfg(Config(cfg))


def trained(work_dir: Path, train_cfg: dict, at_once: int, **changes: Any) -> dict[str, Any]:
    """Train, and return weights, averages, rates and losses."""
    runner = toy(work_dir, train_cfg, at_once, **changes)
    runner.train()
    history = runner.message_hub.log_scalars
    content = read_checkpoint(work_dir / f"iter_{runner.iter}.pth") if runner.rank == 0 else {}
    return {
        "steps": runner.iter,
        "weights": content.get("ema_state_dict", {}),
        "averages": content.get("state_dict", {}),
        "rates": history["train/lr"].data[0].tolist(),
        "losses": history["train/loss"].data[0].tolist(),
    }


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["steps"] == other["steps"]
    assert one["rates"] == other["rates"]
    torch.testing.assert_close(one["losses"], other["losses"], rtol=0, atol=1e-6)
    for key in ("weights", "averages"):
        torch.testing.assert_close(one[key], other[key], rtol=0, atol=1e-6)


@both_loops
@pytest.mark.parametrize("at_once", [1, 2, 4, 3])
def test_accumulating_equals_not_accumulating(tmp_path: Path, train_cfg: dict, at_once: int) -> None:
    whole = trained(tmp_path / "whole", train_cfg, BATCH)
    assert_equal(trained(tmp_path / "parts", train_cfg, at_once), whole)
    assert whole["steps"] == (8 if train_cfg["by_epoch"] else 10)


def train_here(rank: int, work_dir: Path, train_cfg: dict, at_once: int) -> dict[str, Any]:
    return trained(work_dir, train_cfg, at_once, launcher="pytorch")


def test_a_sampler_without_an_end_gives_the_parts_of_a_step(tmp_path: Path) -> None:
    sampler = dict(type="InfiniteSampler", shuffle=True)
    parts = dict(batch_size=4, num_workers=0, collate_fn=dict(type="default_collate"), sampler=sampler)
    data = dict(**parts, dataset=dict(type="ToyPoints", count=COUNT))
    runner = toy(tmp_path, ITERS, 4, train_dataloader=data)
    runner.train()
    assert runner.iter == ITERS["max_iters"]
    assert runner.train_dataloader.batches_per_step == 2


@both_loops
def test_two_processes_that_accumulate_equal_two_that_do_not(tmp_path: Path, train_cfg: dict) -> None:
    whole = in_processes(2, train_here, tmp_path / "whole", train_cfg, BATCH)[0]
    assert_equal(in_processes(2, train_here, tmp_path / "parts", train_cfg, 2)[0], whole)


@both_loops
def test_a_resumed_accumulation_is_the_same_run(tmp_path: Path, train_cfg: dict) -> None:
    whole = trained(tmp_path, train_cfg, 2)
    resumed = trained(tmp_path, train_cfg, 2, resume=True, load_from=str(tmp_path / "iter_3.pth"))
    assert resumed["steps"] == whole["steps"]
    for key in ("weights", "averages"):
        assert all(torch.equal(resumed[key][name], whole[key][name]) for name in whole[key])


def test_amounts_at_once_are_those_of_the_config_where_the_batch_is_not_stated(tmp_path: Path) -> None:
    runner = toy(tmp_path, ITERS, 2, auto_scale_lr=None)
    runner.train()
    assert runner.train_dataloader.batch_size == 2
    assert runner.optim_wrapper._accumulative_counts == 1


def test_schedules_are_held_against_steps_not_batches(tmp_path: Path) -> None:
    # Two epochs have 8 steps, but 30 batches.
    late = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=9)]
    runner = toy(tmp_path, EPOCHS, 2, param_scheduler=late)
    runner.register_hook(ScheduleCheckHook())
    with pytest.raises(ConfigError, match="ends at 9 iterations, the training has 8 iterations"):
        runner.train()


@pytest.mark.parametrize(
    ("batch", "images"),
    [
        ({"inputs": torch.zeros(5, 3, 4, 4), "data_samples": []}, 5),
        ({"inputs": [torch.zeros(3, 4, 4)] * 6}, 6),
        ({"inputs": [torch.zeros(7, 3, 4, 4)] * 2}, 7),  # two views of each image
        ([torch.zeros(4, 3, 8, 8), torch.zeros(4)], 4),
        ({"points": torch.zeros(3, 2)}, 3),
    ],
)
def test_images_are_counted_as_the_hosts_collate_them(batch: Any, images: int) -> None:
    assert images_in(batch) == images
