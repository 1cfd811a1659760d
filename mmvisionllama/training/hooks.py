"""The one list of hooks: all that this package registers or its configs name, in the order in which they act.

Hooks of one priority act in the order in which they are registered: mmengine's defaults, then those of the
config, the runner and the command. ``docs/architecture.md`` shows this list.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner

from mmvisionllama.checks.schedules import ScheduleCheckHook
from mmvisionllama.fault_tolerance.nan_guard import NanGuardHook
from mmvisionllama.fault_tolerance.stopping import StopHook
from mmvisionllama.reports.flops import FlopsHook
from mmvisionllama.reports.run_end import RunEndHook
from mmvisionllama.reports.run_progress import ProgressHook
from mmvisionllama.reports.start_report import StartReportHook
from mmvisionllama.reports.tracking import TrackingHook
from mmvisionllama.training.accumulation import AccumulationHook, accumulation_of
from mmvisionllama.training.distributed import MeanLossHook
from mmvisionllama.training.dry_run import DryRunHook
from mmvisionllama.training.results_order import ResultsOrderHook


@dataclass(frozen=True)
class HookEntry:
    """A hook and its place.

    Attributes:
        name: Of its class.
        priority: mmengine's word for it; a ``priority`` in a config goes before this one.
        does: What it does, in words.
        by: Who registers it: mmengine's defaults or the config, the runner, a command, a dry run.
        applies: When the runner or a command registers it, in words.
        make: Builds it for a run, or returns None where it does not apply.
    """

    name: str
    priority: str
    does: str
    by: Literal["default", "config", "runner", "training", "test", "dry run"]
    applies: str = "always"
    make: Callable[[Any], Hook | None] | None = None


def _mean_loss(runner: Runner) -> Hook | None:
    return MeanLossHook() if runner.distributed else None


def _accumulation(runner: Runner) -> Hook | None:
    batches = accumulation_of(runner)
    return AccumulationHook(batches) if batches > 1 else None


def _tracking(runner: Runner) -> Hook | None:
    return TrackingHook(runner.cfg.track) if runner.cfg.get("track") else None


def _nan_guard(runner: Runner) -> Hook | None:
    return None if any(isinstance(hook, NanGuardHook) for hook in runner.hooks) else NanGuardHook()


HOOKS = (
    HookEntry(
        "MeanLossHook", "HIGHEST", "averages what a step reports over the processes", "runner",
        "with several processes", _mean_loss,
    ),
    HookEntry("RuntimeInfoHook", "VERY_HIGH", "notes step, epoch, losses and learning rates", "default"),
    HookEntry(
        "AccumulationHook", "VERY_HIGH", "makes one step of several batches", "runner",
        "if the global batch is more than the processes take at once", _accumulation,
    ),
    HookEntry(
        "ScheduleCheckHook", "VERY_HIGH", "holds schedules in epochs against the length in iterations",
        "training", make=lambda runner: ScheduleCheckHook(),
    ),
    HookEntry(
        "FlopsHook", "ABOVE_NORMAL", "counts the FLOPs of a step once, for the MFU", "training", "on a GPU",
        make=lambda runner: FlopsHook() if torch.cuda.is_available() else None,
    ),
    HookEntry("IterTimerHook", "NORMAL", "times steps and data loading", "default"),
    HookEntry("DistSamplerSeedHook", "NORMAL", "shuffles anew for every epoch", "default"),
    HookEntry("EMAHook", "NORMAL", "keeps moving averages of the weights, and validates with them", "config"),
    HookEntry("RunSummaryHook", "NORMAL", "writes summary.json", "config"),
    HookEntry("CurvesHook", "NORMAL", "draws curves.png", "config"),
    HookEntry("SegPicturesHook", "NORMAL", "draws predictions.png of a segmentation", "config"),
    HookEntry("ClsPicturesHook", "NORMAL", "draws predictions.png of a classifier", "config"),
    HookEntry("ConfusionHook", "NORMAL", "draws confusion.png after a test", "config"),
    HookEntry("DetPicturesHook", "NORMAL", "draws predictions.png of a detector", "config"),
    HookEntry("PrecisionRecallHook", "NORMAL", "draws precision_recall.png after a test", "config"),
    HookEntry("MAEPicturesHook", "NORMAL", "draws predictions.png of a masked autoencoder", "config"),
    HookEntry("SamplePicturesHook", "NORMAL", "draws predictions.png of a generator", "config"),
    HookEntry(
        "ResultsOrderHook", "NORMAL", "puts results of an evaluation into the order of its data", "runner",
        make=lambda runner: ResultsOrderHook(),
    ),
    HookEntry("LoggerHook", "BELOW_NORMAL", "writes log lines and scalars", "default"),
    HookEntry(
        "NanGuardHook", "BELOW_NORMAL", "skips steps with NaN; after too many, goes back to a checkpoint",
        "runner", "unless the config has one", _nan_guard,
    ),
    HookEntry(
        "TrackingHook", "BELOW_NORMAL", "sends scalars, pictures and the config to trackers", "training",
        "if `track` of the config names some", _tracking,
    ),
    HookEntry("ParamSchedulerHook", "LOW", "steps the schedules", "default"),
    HookEntry(
        "DryRunHook", "LOW", "measures a few steps, and ends the run before anything is saved", "dry run",
        make=lambda runner: DryRunHook(),
    ),
    HookEntry(
        "SafeCheckpointHook", "VERY_LOW", "saves checkpoints when the loop asks, and best ones", "default",
        "in the place of mmengine's CheckpointHook",
    ),
    HookEntry(
        "StartReportHook", "VERY_LOW", "logs what a training is about to do", "training",
        make=lambda runner: StartReportHook(training=True),
    ),
    HookEntry(
        "StartReportHook", "VERY_LOW", "logs what a test is about to do", "test",
        make=lambda runner: StartReportHook(training=False),
    ),
    HookEntry(
        "ProgressHook", "VERY_LOW", "shows bar or lines, and metrics of validations", "training",
        make=lambda runner: ProgressHook(),
    ),
    HookEntry(
        "ProgressHook", "VERY_LOW", "shows bar or lines of a test, and its metrics", "test",
        make=lambda runner: ProgressHook(),
    ),
    HookEntry(
        "RunEndHook", "VERY_LOW", "says what came out of a training, and the next command", "training",
        make=lambda runner: RunEndHook(),
    ),
    HookEntry(
        "RunEndHook", "VERY_LOW", "says what a test has drawn", "test",
        make=lambda runner: RunEndHook(),
    ),
    HookEntry(
        "StopHook", "LOWEST", "saves and ends the training after a signal", "runner",
        make=lambda runner: StopHook(runner.stop_request, runner.collectives),
    ),
)  # fmt: skip


def hooks_by(who: str, runner: Runner) -> Iterator[Hook]:
    """Build the hooks that the runner, a command or a dry run adds to a run."""
    for entry in HOOKS:
        if entry.by == who and (hook := entry.make(runner)) is not None:
            yield hook


def priority_of(hook: str) -> str | None:
    """Return the priority of a hook of the list by the name of its class, None for any other."""
    return next((entry.priority for entry in HOOKS if entry.name == hook), None)


def only_reports(hook: Hook) -> bool:
    """Whether a hook writes what a training can do without: reports, pictures, logged scalars."""
    kind = type(hook)
    ours = kind.__module__.startswith("mmvisionllama.reports.")
    return ours or isinstance(hook, LoggerHook) or kind.__name__.endswith("VisualizationHook")
