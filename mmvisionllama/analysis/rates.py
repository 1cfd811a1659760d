"""Learning rates of a training before it begins: schedules over its steps, and rates by block."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.hooks import ParamSchedulerHook
from mmengine.runner import EpochBasedTrainLoop
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from mmvisionllama.analysis.networks import meta_model
from mmvisionllama.analysis.parts import blocks_in, part_of
from mmvisionllama.config import RunConfig, read_config
from mmvisionllama.config.global_batch import share_batch, take_global_batch
from mmvisionllama.errors import ConfigError, UserError
from mmvisionllama.reports.progress import progress
from mmvisionllama.reports.screen import shown
from mmvisionllama.runner_parts import optim_wrappers
from mmvisionllama.training.dry_run import temporary_work_dir
from mmvisionllama.training.precision import mixed_precision_wrapper
from mmvisionllama.training.runner import ResumableRunner
from mmvisionllama.training.trial import make_trial, steps_of_epoch

_SECTIONS = ("model", "train_dataloader", "train_cfg", "optim_wrapper")
_MOST_POINTS = 2000  # of a curve that is drawn
_MOST_IN_LEGEND, _TOLD = 12, 1000
_EVALUATION = [f"{part}_{x}" for part in ("val", "test") for x in ("dataloader", "cfg", "evaluator")]


class Steps(Dataset):
    """A stand-in for training data, of which only the number matters."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index


@dataclass(frozen=True, eq=False)
class PartRates:
    """The rates of the parameters of a part of the model, which may belong to several groups.

    Attributes:
        curves: Indices of the curves that they follow.
        decays: Weight decays.
        parameters: How many numbers are trained.
    """

    name: str
    curves: tuple[int, ...]
    decays: tuple[float, ...]
    parameters: int


@dataclass(frozen=True, eq=False)
class Rates:
    """The learning rates of a training, as its log will have them.

    Attributes:
        curves: (curves, steps): the rate that every step computes with, of each group that differs.
        parts: In the order of the model; without what is frozen.
        epoch_steps: Steps of an epoch; None where the training counts none.
        remarks: About options that changed the recipe.
    """

    name: str
    curves: NDArray
    parts: Sequence[PartRates]
    epoch_steps: int | None
    remarks: Sequence[str] = ()

    @property
    def highest(self) -> int:
        """The curve with the highest rate."""
        return int(self.curves.max(axis=1).argmax())

    def peak_of(self, part: PartRates) -> tuple[float, float]:
        """Return the highest rates that the slowest and the fastest parameters of a part reach."""
        peaks = [float(self.curves[i].max()) for i in part.curves]
        return min(peaks), max(peaks)

    def rows(self) -> Iterator[tuple[str, int, float]]:
        """Yield what is worth saying of the highest curve: a moment, its step and the rate."""
        curve = self.curves[self.highest]
        last = len(curve) - 1
        yield "first step", 0, float(curve[0])
        peak = int(curve.argmax())
        if peak not in (0, last):
            yield "highest", peak, float(curve[peak])
        for share in (0.25, 0.5, 0.75):
            yield f"{share:.0%} of the steps", round(share * last), float(curve[round(share * last)])
        yield "last step", last, float(curve[-1])

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, for JSON; curves at no more than 2,000 steps."""
        steps = self._shown_steps()
        parts = [
            {
                "name": x.name,
                "peaks": list(self.peak_of(x)),
                "curves": list(x.curves),
                "weight_decay": list(x.decays),
                "parameters": x.parameters,
            }
            for x in self.parts
        ]
        told = {"config": self.name, "steps": self.curves.shape[1], "steps_of_epoch": self.epoch_steps}
        curves = {"at": (steps + 1).tolist(), "curves": self.curves[:, steps].tolist()}
        return {**told, "remarks": list(self.remarks), **curves, "parts": parts}

    def plot(self) -> Figure:
        """Draw the curves, and the highest rate of each part."""
        figure = Figure(figsize=(11, max(4, 0.21 * len(self.parts) + 1.2)), dpi=90, layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
        figure.suptitle("; ".join((self.name, *self.remarks)), fontsize="small")
        self._draw_curves(left)
        names = [x.name for x in self.parts]
        peaks = np.array([self.peak_of(x) for x in self.parts])
        right.barh(range(len(names)), peaks[:, 1], color="#4b86c2")
        several = np.flatnonzero(peaks[:, 0] < peaks[:, 1])
        if len(several):
            right.scatter(peaks[several, 0], several, marker="|", color="#c2542d", label="slowest parameters")
            right.legend(fontsize="x-small")
        right.set_yticks(range(len(names)), names, fontsize="x-small")
        right.set(ylim=(len(names) - 0.5, -0.5), title="highest rate of each part")
        if 0 < peaks.min() < 0.02 * peaks.max():
            right.set_xscale("log")
        else:
            right.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
        right.grid(axis="x", alpha=0.3)
        return figure

    def _draw_curves(self, ax: Axes) -> None:
        steps = self._shown_steps()
        for curve in sorted(self.curves, key=lambda x: -x.max()):
            ax.plot(steps + 1, curve[steps], linewidth=1.3, label=f"highest {curve.max():.3g}")
        ax.set(title="rate of every step", xlabel="step", ylabel="learning rate")
        ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        ax.grid(alpha=0.3)
        if len(self.curves) <= _MOST_IN_LEGEND:
            ax.legend(fontsize="x-small")
        if self.epoch_steps is not None:
            size = self.epoch_steps
            above = ax.secondary_xaxis("top", functions=(lambda x: x / size, lambda x: x * size))
            above.set_xlabel("epoch")

    def _shown_steps(self) -> NDArray:
        count = self.curves.shape[1]
        return np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(int))


def rates_of(
    config: str,
    *,
    steps: int | None = None,
    epoch_steps: int | None = None,
    global_batch: int | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> Rates:
    """Step through the schedules of a training with its own optimizer and schedulers, and no data or values.

    Args:
        steps: As ``train --steps``: a short trial of the recipe.
        epoch_steps: Steps of an epoch, where the data that tell are not here.
        global_batch: As ``train --global-batch``.
    Raises: ConfigError, LaunchError: for a config that trains nothing, or options that do not fit it.
    """
    with shown(verbose=False, first=True), temporary_work_dir() as folder:
        run = read_config(config, {**(cfg_options or {}), "log_level": "ERROR"})
        if missing := [name for name in _SECTIONS if run.cfg.get(name) is None]:
            raise ConfigError(f"{run.cfg.filename} lacks {', '.join(missing)}")
        run.set("launcher", "none", "the command")
        run.set("work_dir", str(folder), "the command")
        remarks = []
        if global_batch is not None:
            with run.changed_by(f"--global-batch {global_batch}") as cfg:
                remarks.append(take_global_batch(cfg, global_batch))
        model = meta_model(run.cfg)
        _take_data_away(run, epoch_steps)
        if steps is not None:
            remarks.append(make_trial(run, steps))
        runner = _runner(run.cfg)
        groups = _build_schedules(runner, model)
        curves, which = np.unique(_curves(runner), axis=0, return_inverse=True)
        parts = _parts(model, [(group, int(which.ravel()[i])) for group, i in groups])
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        size = len(runner.train_loop.dataloader) if by_epoch else None
        return Rates(str(config), curves, parts, size, remarks)


def _take_data_away(run: RunConfig, epoch_steps: int | None) -> None:
    """Put a stand-in of the same number of steps in the place of the training data."""
    cfg = run.cfg
    steps = epoch_steps or 1  # of a training that counts none
    kind = str(cfg.train_cfg.get("type", ""))
    if epoch_steps is None and cfg.train_cfg.get("by_epoch", not kind.endswith("IterBasedTrainLoop")):
        try:
            steps = steps_of_epoch(cfg)
        except (UserError, OSError) as error:
            raise ConfigError(
                f"{error}\nWithout the data, say by --epoch-steps how many steps an epoch has"
            ) from error
    shared, batch_size = share_batch(cfg, 1), cfg.train_dataloader.batch_size
    images = steps * (shared.size if shared else batch_size)
    stand_in = dict(type=f"{Steps.__module__}.{Steps.__name__}", count=images)
    sampler = dict(type="DefaultSampler", shuffle=False)
    cfg.train_dataloader = dict(batch_size=batch_size, num_workers=0, dataset=stand_in, sampler=sampler)
    for name in _EVALUATION:
        cfg[name] = None


def _runner(cfg: Config) -> ResumableRunner:
    """Build the Runner of a training around no model, with none of the hooks that a config adds."""
    cfg = copy.deepcopy(cfg)
    cfg.model = dict(type="torch.nn.Identity")
    for name in ("data_preprocessor", "model_wrapper_cfg", "visualizer", "load_from"):
        cfg[name] = None
    cfg.custom_hooks, cfg.resume = [], False
    if cfg.optim_wrapper.get("type") == "AmpOptimWrapper":  # which wants a GPU
        cfg.optim_wrapper = mixed_precision_wrapper(cfg.optim_wrapper)
    cfg.optim_wrapper.get("optimizer", {}).pop("fused", None)  # which wants values
    return ResumableRunner.from_cfg(cfg)


def _build_schedules(runner: ResumableRunner, model: nn.Module) -> list[tuple[dict[str, Any], int]]:
    """Build optimizer and schedulers of a model, and return every group with the number of its curve.

    Schedulers treat groups of one rate alike, so one of these is enough to step through the training.
    """
    runner.model = model
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    wrappers = optim_wrappers(runner.optim_wrapper)
    if len(wrappers) > 1:
        raise ConfigError(
            f"{runner.cfg.filename} has {len(wrappers)} optimizers; rates of one alone are drawn"
        )
    runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
    groups = wrappers[0].optimizer.param_groups
    rates = list(dict.fromkeys(group["lr"] for group in groups))
    numbered = [(group, rates.index(group["lr"])) for group in groups]
    first = {number: group for group, number in reversed(numbered)}
    groups[:] = [first[number] for number in range(len(rates))]
    if runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    return numbered


def _curves(runner: ResumableRunner) -> NDArray:
    """Return the rate of each group at every step, (groups, steps), by the hook that steps the schedules."""
    loop, hook = runner.train_loop, ParamSchedulerHook()
    (wrapper,) = optim_wrappers(runner.optim_wrapper)
    wrapper.step()  # without gradients; schedulers want one before their first step
    groups, total = wrapper.optimizer.param_groups, loop.max_iters
    found = np.empty((len(groups), total))
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    size = len(loop.dataloader) if by_epoch else total
    with progress("steps", total) as advance:
        for step in range(total):
            found[:, step] = [group["lr"] for group in groups]
            hook.after_train_iter(runner, step % size)
            if by_epoch and (step + 1) % size == 0:
                hook.after_train_epoch(runner)
            if (step + 1) % _TOLD == 0:
                advance(_TOLD)
        advance(total % _TOLD)
    return found


def _parts(model: nn.Module, groups: Sequence[tuple[Mapping[str, Any], int]]) -> list[PartRates]:
    """Return the parts of a model with the curves that their parameters follow."""
    place = {id(x): (group, curve) for group, curve in groups for x in group["params"]}
    blocks, found = blocks_in(model), {}
    for name, parameter in model.named_parameters():
        if id(parameter) not in place:
            continue
        group, curve = place[id(parameter)]
        curves, decays, count = found.get(part_of(name, blocks)[0], (set(), set(), 0))
        found[part_of(name, blocks)[0]] = (
            curves | {curve},
            decays | {float(group.get("weight_decay", 0))},
            count + parameter.numel(),
        )
    return [PartRates(x, tuple(sorted(a)), tuple(sorted(b)), n) for x, (a, b, n) in found.items()]
