"""Check that learning-rate schedules end with the training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvisionllama.config.problems import ConfigProblem
from mmvisionllama.errors import ConfigError

_SECTION = "param_scheduler"
_KINDS = ("LR", "Momentum", "ParamScheduler")
_OPT_OUT = 'where that is meant, say unchecked = ["param_scheduler"]'


@dataclass(frozen=True)
class _Length:
    """How long a training is, as far as it is known before its data are."""

    by_epoch: bool
    number: int
    iterations_of_epoch: int | None

    @property
    def unit(self) -> str:
        return "epochs" if self.by_epoch else "iterations"

    def in_unit_of(self, scheduler: dict[str, Any]) -> float | None:
        """Return the length in what a scheduler counts in, None if that is not known."""
        by_epoch = scheduler.get("by_epoch", True)
        if by_epoch == self.by_epoch:
            return self.number
        if self.iterations_of_epoch is None:
            return None
        each = self.iterations_of_epoch
        return self.number / each if by_epoch else self.number * each


def check_schedules(cfg: dict[str, Any], iterations_of_epoch: int | None = None) -> None:
    """Require that every schedule ends with the training, that is neither before nor after it.

    A warm-up that leads back to the stated rate may be the only schedule. What ``unchecked`` lists is left
    alone.

    Args:
        cfg: ``param_scheduler``, ``train_cfg`` and ``unchecked`` are read.
        iterations_of_epoch: None: what compares epochs with iterations is not checked.
    Raises: ConfigError: naming both lengths of every schedule that does not fit.
    """
    train = cfg["train_cfg"]
    by_epoch = counts_epochs(train)
    number = train.get("max_epochs" if by_epoch else "max_iters")
    if number is None or _SECTION in (cfg.get("unchecked") or ()):
        return
    problems = list(_problems(cfg.get(_SECTION), _Length(by_epoch, number, iterations_of_epoch)))
    if problems:
        raise ConfigError("\n".join([*map(str, problems), _OPT_OUT]), problems)


def counts_epochs(train_cfg: Mapping[str, Any]) -> bool:
    """Whether a training by this ``train_cfg`` counts epochs, not iterations."""
    return train_cfg.get("by_epoch", train_cfg.get("type") != "IterBasedTrainLoop")


class ScheduleCheckHook(Hook):
    """Check before the first step what compares epochs with iterations; see ``check_schedules``."""

    def before_train(self, runner: Runner) -> None:
        check_schedules(runner.cfg, len(runner.train_dataloader))


def _problems(section: Any, length: _Length) -> Iterator[ConfigProblem]:
    for path, schedulers in _groups(section, _SECTION):
        for kind in _KINDS:
            members = [(p, x) for p, x in zip(path, schedulers, strict=True) if _name(x).endswith(kind)]
            found = [problem for p, x in members for problem in _alone(p, x, length)]
            yield from found or _together(members, length)


def _groups(section: Any, path: str) -> Iterator[tuple[list[str], list[dict[str, Any]]]]:
    """Yield the schedulers of every optimizer, with the path of each."""
    if isinstance(section, dict) and "type" not in section:
        for name, part in section.items():
            yield from _groups(part, f"{path}.{name}")
    elif isinstance(section, dict):
        yield [path], [section]
    elif section:
        yield [f"{path}.{index}" for index in range(len(section))], list(section)


def _alone(path: str, scheduler: dict[str, Any], length: _Length) -> Iterator[ConfigProblem]:
    """Find what is wrong with one scheduler, whatever the others are."""
    name, by_epoch = _name(scheduler), scheduler.get("by_epoch", True)
    if by_epoch and not length.by_epoch and not scheduler.get("convert_to_iter_based"):
        text = f"{name} counts epochs, but the training counts iterations, so it never acts; by_epoch=False"
        yield ConfigProblem(path, text)
        return
    whole = length.in_unit_of(scheduler)
    unit = "epochs" if by_epoch else "iterations"
    begin = scheduler.get("begin", 0)
    end = scheduler.get("end", whole)  # as the Runner completes it
    t_max = scheduler.get("T_max")
    if None not in (end, t_max) and t_max != end - begin:
        yield ConfigProblem(path, f"{name} has T_max={t_max}, but goes on for {_number(end - begin)} {unit}")
    if whole is None:
        return
    training = f"the training has {_number(whole)} {unit}"
    if begin >= whole:
        yield ConfigProblem(path, f"{name} begins at {begin} {unit}, {training}")
    elif end > whole:
        yield ConfigProblem(path, f"{name} ends at {end} {unit}, {training}")
    late = [x for x in scheduler.get("milestones", ()) if x >= whole]
    if late:
        yield ConfigProblem(path, f"{name} has milestones at {', '.join(map(str, late))} {unit}, {training}")


def _together(members: list[tuple[str, dict[str, Any]]], length: _Length) -> Iterator[ConfigProblem]:
    """Find a training that goes on after the last of its schedulers."""
    decays = [(path, x, length.in_unit_of(x)) for path, x in members if not _returns_to_the_rate(x)]
    if not decays or any(whole is None for _, _, whole in decays):
        return
    path, last, whole = max(decays, key=lambda x: x[1].get("end", x[2]) / x[2])
    if (end := last.get("end", whole)) < whole:
        unit = "epochs" if last.get("by_epoch", True) else "iterations"
        text = f"{_name(last)} ends at {end} {unit}, the training has {_number(whole)} {unit}"
        yield ConfigProblem(path, f"{text}: the rest has no schedule")


def _returns_to_the_rate(scheduler: dict[str, Any]) -> bool:
    name = _name(scheduler)
    return name.startswith("Constant") or (
        name.startswith("Linear") and scheduler.get("end_factor", 1.0) == 1.0
    )


def _name(scheduler: dict[str, Any]) -> str:
    type_ = scheduler.get("type", "")
    return type_.rpartition(".")[2] if isinstance(type_, str) else type_.__name__


def _number(value: float) -> str:
    return f"{value:g}" if value != int(value) else str(int(value))
