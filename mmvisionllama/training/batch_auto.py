"""``--batch auto``: the images that a device takes at once, measured, remembered, and priced alternatives."""

import hashlib
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvisionllama import __version__
from mmvisionllama.arguments import NotNegative, Positive, takes
from mmvisionllama.config import RunConfig
from mmvisionllama.config.global_batch import share_batch
from mmvisionllama.errors import ConfigError, LaunchError, UserError
from mmvisionllama.files import as_json, read_record, write_json
from mmvisionllama.host_internals import BATCH_NORM
from mmvisionllama.registry import SCOPE
from mmvisionllama.signatures import accepted_arguments
from mmvisionllama.suggestions import shortened
from mmvisionllama.training.batch_search import Room, largest_batch, unless_full
from mmvisionllama.training.dry_run import DryRun
from mmvisionllama.training.precision import has_bfloat16, mixed_precision_wrapper

BATCH = "train_dataloader.batch_size"
_STATED = "auto_scale_lr"
_GIB = 1 << 30
# Of a config, what changes neither memory nor time of a step.
_INDIFFERENT = ("work_dir", "load_from", "resume", "launcher", "log_level", "track", "visualizer")
_INDIFFERENT += ("randomness", "experiment_name", "train_cfg", "param_scheduler", _STATED)

# Makes a few steps of a training with some settings changed; says meanwhile what it is doing.
Measure = Callable[[Mapping[str, Any], str], DryRun]


@dataclass(frozen=True)
class Price:
    """What another way of training would cost, as parts of what the present one does.

    Attributes:
        option: That switches it on.
        time, memory: Of an image.
    """

    option: str
    time: float
    memory: float

    def __str__(self) -> str:
        return f"{self.option}: measured as {self.time:.2f} x the time and {self.memory:.2f} x the memory"


@dataclass(frozen=True)
class FittedBatch:
    """A batch that was measured.

    Attributes:
        size: Images that a device takes at once.
        need: Bytes at the peak.
        seconds: Of an image.
        measured: When, in words.
    """

    size: int
    need: int
    seconds: float
    measured: str
    prices: tuple[Price, ...] = ()


def fit_batch(run: RunConfig, processes: int, on_machine: int, room: Room, measure: Measure) -> list[str]:
    """Let the config take as many images at once as find room; the global batch stays as it is.

    What was measured is remembered in the user's cache for this config, machine and these versions.

    Args:
        processes: Of the run.
        on_machine: Those of this machine.
        room: Of a process.
    Returns: Remarks.
    Raises:
        ConfigError: if the config says nothing that could be shared.
        LaunchError: if not even one image finds room.
    """
    share = _stated_share(run, processes)
    candidates = [x for x in range(1, share + 1) if share % x == 0]
    file = cache_folder() / f"{_key(run.cfg, processes, on_machine, share)}.json"
    known = _remembered(file)
    notes, fitted = [], known
    if known is None or known.size not in candidates or known.need > room.size:
        fitted = _fit(candidates, room, measure, run)
        try:
            write_json(file, asdict(fitted))
        except OSError as error:
            notes.append(f"--batch auto is measured anew each time: {file}: {error.strerror}")
    run.set(BATCH, fitted.size, "--batch auto")
    when = "measured" if fitted is not known else f"remembered from {fitted.measured}, {file}"
    gibs = f"{fitted.need / _GIB:.3g} of {room.size / _GIB:.3g} GiB"
    return [
        f"--batch auto: {share_batch(run.cfg, processes)}; {gibs} ({when})",
        *(str(price) for price in fitted.prices),
        *notes,
    ]


def batch_norms(model: nn.Module) -> str | None:
    """Return the names of norms whose results depend on how many images a device takes at once."""
    found = [name for name, x in model.named_modules() if isinstance(x, BATCH_NORM)]
    return shortened(found) if found else None


def cache_folder() -> Path:
    """Return where measured batches are remembered: in the user's cache, see XDG_CACHE_HOME."""
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base if base and Path(base).is_absolute() else Path.home() / ".cache", SCOPE, "batches")


def _stated_share(run: RunConfig, processes: int) -> int:
    """Return the images of a step that each process has, stating them where the config does not."""
    cfg = run.cfg
    stated = cfg.get(_STATED) or {}
    if stated.get("enable"):
        text = "changes the learning rate with the batch; --batch auto keeps both: leave it out"
        raise ConfigError(f"{_STATED}.enable=True {text}")
    if "base_batch_size" not in stated:
        accumulated = (cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1)
        batch = cfg.train_dataloader.get("batch_size")
        if accumulated != 1 or batch is None:
            raise ConfigError(
                f"--batch auto: the config states no global batch ({_STATED}=dict(base_batch_size=...)), and "
                f"{'accumulative_counts' if batch else BATCH} does not say it either"
            )
        run.set(_STATED, dict(base_batch_size=batch * processes), "--batch auto")
    run.set(BATCH, 1, "--batch auto")
    return share_batch(cfg, processes).accumulation


def _fit(candidates: Sequence[int], room: Room, measure: Measure, run: RunConfig) -> FittedBatch:
    def tried(batch: int, **changes: Any) -> DryRun:
        with_what = "".join(f", {key}" for key in changes)
        settings = {BATCH: batch, _STATED: dict(base_batch_size=batch), **changes}
        return measure(settings, f"--batch auto: trying {batch} images at once{with_what}")

    found = largest_batch(candidates, tried, room)
    if found is None:
        raise LaunchError(
            f"--batch auto: not one image finds room in {room.size / _GIB:.3g} GiB; take a smaller model or "
            f"smaller images{', or --amp' if has_bfloat16() else ''}"
        )
    batch, base = found
    prices = []
    for option, changes in _alternatives(run):
        other = unless_full(partial(tried, **changes), batch)
        if other is not None:  # what does not fit has no price
            time_ratio = other.step_seconds / base.step_seconds
            prices.append(Price(option, round(time_ratio, 3), round(other.peak / base.peak, 3)))
    now = time.strftime("%Y-%m-%d %H:%M")
    return FittedBatch(batch, room.need(base), base.step_seconds / batch, now, tuple(prices))


def _alternatives(run: RunConfig) -> list[tuple[str, dict[str, Any]]]:
    """Return ways of training that take less memory and are not in use: options, and what they change."""
    cfg, found = run.cfg, []
    init_default_scope(cfg.get("default_scope", "mmengine"))
    for part in ("backbone", "network"):
        given = cfg.model.get(part)
        kind = MODELS.get(given.type) if given and isinstance(given.get("type"), str) else None
        if kind and "with_cp" in accepted_arguments(kind).by_name and not given.get("with_cp"):
            key = f"model.{part}.with_cp"
            found.append((f"--cfg-options {key}=True", {key: True}))
    if has_bfloat16() and cfg.optim_wrapper.get("type", "OptimWrapper") == "OptimWrapper":
        found.append(("--amp", {"optim_wrapper": mixed_precision_wrapper(cfg.optim_wrapper)}))
    return found


def _key(cfg: Any, processes: int, on_machine: int, share: int) -> str:
    """Return a hash of all that a measured batch depends on."""
    config = {key: x for key, x in cfg.to_dict().items() if key not in _INDIFFERENT}
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    machine = {
        "node": platform.node(),
        "gpus": [(x.name, x.total_memory) for x in gpus],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "mmengine": mmengine.__version__,
        SCOPE: __version__,
    }
    parts = dict(config=repr(config), machine=machine, versions=versions, share=share)
    text = as_json({**parts, "processes": [processes, on_machine]})
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _remembered(file: Path) -> FittedBatch | None:
    try:
        record = read_record(file) or {}
        prices = tuple(Price(**x) for x in record.pop("prices"))
        known = FittedBatch(**record, prices=prices)
    except (UserError, TypeError, KeyError):
        return None  # nothing, or a damaged file, which the next measurement replaces
    kinds = (Positive, Positive, NotNegative, str)
    values = (known.size, known.need, known.seconds, known.measured)
    numbers = [x for price in known.prices for x in (price.time, price.memory)]
    is_sound = all(map(takes, kinds, values)) and all(takes(NotNegative, x) for x in numbers)
    return known if is_sound else None
