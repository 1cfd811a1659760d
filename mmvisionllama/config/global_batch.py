"""Global batch: the images of one optimizer step, which the recipe states and the devices share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from mmvisionllama.config.problems import ConfigProblem
from mmvisionllama.errors import ConfigError

_STATED = "auto_scale_lr.base_batch_size"
_BATCH = "train_dataloader.batch_size"
_ACCUMULATION = "optim_wrapper.accumulative_counts"


@dataclass(frozen=True)
class GlobalBatch:
    """How the processes of a run share the images of a step.

    Attributes:
        size: Images of one optimizer step, over all processes.
        per_device: Images that a device computes with at once.
        accumulation: Batches of a device that make its part of a step.
    """

    size: int
    processes: int
    per_device: int
    accumulation: int

    def __str__(self) -> str:
        steps = f" x {self.accumulation} accumulated" if self.accumulation > 1 else ""
        plural = "es" if self.processes > 1 else ""
        return f"global batch {self.size} = {self.processes} process{plural} x {self.per_device}{steps}"


def share_batch(cfg: Mapping[str, Any], processes: int) -> GlobalBatch | None:
    """Share the global batch that a config states among the processes of a run.

    It is stated by ``auto_scale_lr.base_batch_size``, mmengine's name for the batch that the learning rate is
    meant for. ``train_dataloader.batch_size`` is the most that a device takes at once; the batch of a device
    is the largest divisor of its share up to that. With ``auto_scale_lr.enable=True`` mmengine fits the rate
    to whatever batch comes out instead, so nothing is shared then.

    Returns: None if the config states no global batch.
    Raises: ConfigError: if the processes cannot share it evenly, or the accumulation is given as well.
    """
    stated = cfg.get("auto_scale_lr") or {}
    size, most = stated.get("base_batch_size"), cfg["train_dataloader"].get("batch_size")
    if size is None or stated.get("enable") or most is None:
        return None
    given = (cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1)
    if given != 1:
        text = f"{given} contradicts {_STATED}={size}, from which the accumulation follows; leave one out"
        raise _error(_ACCUMULATION, text)
    if not isinstance(size, int) or size < 1:
        raise _error(_STATED, f"expected a whole number of images, got {size!r}")
    share, rest = divmod(size, processes)
    if rest or not share:
        near = sorted({max(size - rest, processes), size - rest + processes})
        could = " or ".join(map(str, near))
        text = f"{processes} processes cannot share {size} images evenly; they can share {could}"
        others = " or ".join(map(str, _nearest_divisors(size, processes)))
        raise _error(_STATED, f"{text} (--global-batch {near[0]}), or take {others} processes")
    per_device = next(x for x in range(min(most, share), 0, -1) if share % x == 0)
    return GlobalBatch(size, processes, per_device, share // per_device)


def _nearest_divisors(size: int, number: int) -> list[int]:
    """Return the divisors of ``size`` below and above a number that is none."""
    divisors = [x for x in range(1, size + 1) if size % x == 0]
    below, above = [x for x in divisors if x < number], [x for x in divisors if x > number]
    return [*below[-1:], *above[:1]]


def take_global_batch(cfg: Config, size: int) -> str:
    """Change a config in place so that a step has ``size`` images, and the learning rate in proportion.

    The rate is scaled linearly (Goyal et al., 2017); what a scheduler states as absolute values stays.

    Returns: A line that says so.
    Raises: ConfigError: if the config states no batch that its learning rate is meant for.
    """
    base = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
    optimizer = cfg.optim_wrapper.get("optimizer") or {}
    if base is None or "lr" not in optimizer:
        lacking = _STATED if base is None else "optim_wrapper.optimizer.lr"
        raise _error(lacking, "is missing, so nobody knows what the learning rate becomes at another batch")
    if size < 1:
        raise _error("--global-batch", f"expected a positive number of images, got {size}")
    rate = optimizer["lr"]
    optimizer["lr"] = rate * size / base
    cfg.auto_scale_lr = dict(base_batch_size=size)
    return f"--global-batch {size}: learning rate {optimizer['lr']:.6g} = {rate:g} x {size} / {base}"


def remark_on_accumulation(cfg: Mapping[str, Any]) -> list[str]:
    """Return a line about a config whose iterations are no steps, none about any other."""
    count = (cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1)
    if count == 1:
        return []
    return [
        f"{_ACCUMULATION}={count}: {count} iterations make a step, and schedules, averages, checkpoints and "
        f"logs count iterations. With {_STATED} instead they count steps"
    ]


def _error(path: str, text: str) -> ConfigError:
    problem = ConfigProblem(path, text)
    return ConfigError(str(problem), [problem])
