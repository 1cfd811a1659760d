"""Trainings in miniature with every kind of randomness, stopped at will: what the tests of resuming share."""

import itertools
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
from torch import Tensor, nn

from mmvisionllama.checkpoint import make_mmengine_read_safely, read_checkpoint
from mmvisionllama.errors import Stopped
from mmvisionllama.fault_tolerance.random_state import capture_random_state
from mmvisionllama.runner_parts import local, unwrapped
from mmvisionllama.training.runner import ResumableRunner

_RUNS = itertools.count()
POINTS = dict(type="mmengine.JitteredPoints", count=23, pipeline=[dict(type="mmengine.Jitter")])
# What depends on the clock or on the place where a run lies.
_VOLATILE = ("time", "eta", "ckpt", "experiment_name", "cfg", "seconds", "kept_checkpoints", "loop_stage")


class Crash(Exception):
    """Stands for a kill: nothing is saved."""


@TRANSFORMS.register_module()
class Jitter:
    """Augment by all three generators that the hosts' transforms use; now and then refuse the sample."""

    def __call__(self, results: dict) -> dict | None:
        if random.random() < 0.1:
            return None
        noise = torch.rand(4) + float(np.random.rand()) + random.random()
        return {**results, "inputs": results["inputs"] + 0.1 * noise}


@DATASETS.register_module()
class JitteredPoints(BaseDataset):
    def __init__(self, count: int, **kwargs: Any) -> None:
        self.count = count
        super().__init__(serialize_data=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        points = torch.randn(self.count, 4, generator=torch.Generator().manual_seed(1))
        return [
            {"inputs": point, "target": point.prod(), "width": 4 + index % 3, "height": 5}
            for index, point in enumerate(points)
        ]

    def __getitem__(self, idx: int) -> dict:
        return {**super().__getitem__(idx), "drawn": idx}


@MODELS.register_module()
class RandomRegression(BaseModel):
    """Drop-out, drop-path, mix-up in the batch and masks, each by the global generators of its process."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 8), nn.Linear(8, 8)])
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 1)

    def forward(self, inputs: Tensor, target: Tensor, mode: str = "tensor", **others: Any) -> Any:
        if mode == "loss":
            share = float(np.random.beta(0.8, 0.8))
            inputs = share * inputs + (1 - share) * inputs.flip(0)
            target = share * target + (1 - share) * target.flip(0)
            inputs = inputs * (torch.rand_like(inputs) > 0.2)
        x = self.layers[0](inputs).tanh()
        kept = float(mode != "loss" or random.random() > 0.3)
        x = x + kept * self.norm(nn.functional.dropout(self.layers[1](x), 0.5, mode == "loss"))
        predicted = self.head(x).squeeze(1)
        if mode == "loss":
            return {"loss": (predicted - target).square().mean()}
        # A random validation, as the masks of MAE make it.
        return [{"error": e} for e in (predicted - target).abs() + torch.rand(len(target))]


@METRICS.register_module()
class RandomError(BaseMetric):
    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += [x["error"].item() for x in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {"error": sum(results) / len(results)}


@HOOKS.register_module()
class AskToStop(Hook):
    """AskToStop for a stop in the middle of a training or a validation, and note what was drawn.

    Args:
        train: The stop is asked for in this training iteration, counted from 0.
        val: (training iterations behind the validation, its iteration).
        rank: The process that is asked.
        crash: Do not ask: break off, as a kill does.
        number: The signal.
    """

    def __init__(
        self,
        train: int = -1,
        val: tuple[int, int] = (-1, -1),
        rank: int = 0,
        crash: bool = False,
        number: int = signal.SIGTERM,
    ) -> None:
        self.train, self.val, self.rank, self.crash, self.number = train, tuple(val), rank, crash, number
        self.drawn: list[tuple[int, list[int]]] = []
        self.steps = 0

    def before_train(self, runner: ResumableRunner) -> None:
        step = runner.optim_wrapper.step

        def counted(**kwargs: Any) -> None:
            self.steps += 1
            step(**kwargs)

        runner.optim_wrapper.step = counted

    def before_train_iter(self, runner: ResumableRunner, batch_idx: int, data_batch: Any) -> None:
        self.drawn.append((runner.iter, data_batch["drawn"].tolist()))
        self._ask(runner, runner.iter == self.train)

    def before_val_iter(self, runner: ResumableRunner, batch_idx: int, data_batch: Any = None) -> None:
        self._ask(runner, (runner.iter, batch_idx) == self.val)

    def _ask(self, runner: ResumableRunner, now: bool) -> None:
        if now and self.crash:
            raise Crash
        if now and get_rank() == self.rank:
            os.kill(os.getpid(), self.number)


def training(work_dir: Path, *, epochs: int = 0, **changes: Any) -> ResumableRunner:
    """Make a Runner of two epochs or ten iterations.

    Args:
        changes: ``workers``, ``accumulate``, ``ask``, ``every`` (interval of checkpoints), ``sampler``,
            ``batch_sampler``, ``resume``, ``seed``, ``max_iters``, ``checkpoint``, ``model``, ``wrapper``,
            ``dataset``, ``timeout``, ``optim``, ``optimizer``.
    """
    make_mmengine_read_safely()
    workers = changes.get("workers", 0)
    loader = dict(
        batch_size=changes.get("batch_size", 4),
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=dict(type="default_collate"),
    )
    iters = dict(by_epoch=False, max_iters=changes.get("max_iters", 10), val_interval=5)
    sampler = changes.get("sampler", "DefaultSampler" if epochs else "InfiniteSampler")
    checkpoint = dict(
        type="CheckpointHook",
        by_epoch=bool(epochs),
        interval=changes.get("every", 1 if epochs else 5),
        max_keep_ckpts=2,
        save_best="error",
        rule="less",
    )
    cfg = Config(
        dict(
            default_scope=changes.get("scope", "mmengine"),
            model=dict(type=changes.get("model", "mmengine.RandomRegression")),
            train_dataloader=dict(
                **loader,
                sampler=dict(type=sampler, shuffle=True),
                batch_sampler=changes.get("batch_sampler"),
                dataset=changes.get("dataset", POINTS),
            ),
            val_dataloader=dict(
                **loader,
                sampler=dict(type="DefaultSampler", shuffle=False),
                dataset=dict(type="mmengine.JitteredPoints", count=12),
            ),
            val_evaluator=dict(type="mmengine.RandomError"),
            train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1) if epochs else iters,
            val_cfg=dict(),
            optim_wrapper=dict(
                type=changes.get("optim", "OptimWrapper"),
                optimizer=dict(type=changes.get("optimizer", "AdamW"), lr=0.01),
                accumulative_counts=changes.get("accumulate", 1),
                clip_grad=dict(max_norm=1.0),
            ),
            param_scheduler=[
                dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=4),
                dict(type="CosineAnnealingLR", by_epoch=bool(epochs), T_max=epochs or 10),
            ],
            default_hooks=dict(
                logger=dict(type="LoggerHook", interval=1, log_metric_by_epoch=bool(epochs)),
                checkpoint=dict(checkpoint, **changes.get("checkpoint", {})),
            ),
            custom_hooks=[
                dict(type="EMAHook", ema_type="ExponentialMovingAverage", momentum=0.1),
                dict(type="mmvisionllama.RunSummaryHook"),
                dict(type="mmengine.AskToStop", **changes.get("ask", {})),
                *changes.get("hooks", []),
            ],
            log_processor=dict(by_epoch=bool(epochs)),
            randomness=dict(seed=changes.get("seed", 3)),
            env_cfg=dict(dist_cfg=dict(backend="gloo", timeout=changes.get("timeout", 1800))),
            launcher=changes.get("launcher", "none"),
            work_dir=str(work_dir),
            resume=changes.get("resume", False),
            load_from=changes.get("load_from"),
            experiment_name=f"resuming_{next(_RUNS)}",
        )
    )
    if changes.get("launcher", "none") != "none":
        plain = dict(type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False)
        cfg.model_wrapper_cfg = dict(changes.get("wrapper", plain))
    return ResumableRunner.from_cfg(cfg)


def ask_of(runner: ResumableRunner) -> AskToStop:
    return next(hook for hook in runner.hooks if isinstance(hook, AskToStop))


def stopped_and_resumed(work_dir: Path, ask: dict[str, Any], **changes: Any) -> list[ResumableRunner]:
    """Train until the stop, then on to the end; return both Runners."""
    first = training(work_dir, ask=ask, **changes)
    with pytest.raises(Crash if ask.get("crash") else Stopped):
        first.train()
    second = training(work_dir, resume=True, **changes)
    second.train()
    return [first, second]


def left_by(runner: ResumableRunner) -> dict[str, Any]:
    """Return all that a training leaves, under flat names: its last checkpoint and its state in memory."""
    content = read_checkpoint(runner.message_hub.get_info("last_ckpt"))
    everything = {
        "saved": {key: content[key] for key in content if key != "meta"},
        "model": {name: local(x) for name, x in unwrapped(runner).state_dict().items()},
        "history": runner.message_hub.state_dict(),
        "random": capture_random_state(),
    }
    flat = dict(_flat(everything, ""))
    return {name: x for name, x in flat.items() if not any(word in name for word in _VOLATILE)}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name what is not the same, bit for bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not _same(one[name], other[name])]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return one == other


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, HistoryBuffer):
        value = {"history": value.data[0], "counts": value.data[1]}
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _flat(item, f"{name}.{index}")
    else:
        yield name, value
