"""Collect what a checkpoint holds: weights, history, optimizer, schedules, state of every process."""

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import mmengine
import torch
from mmengine.runner.checkpoint import weights_to_cpu
from mmengine.utils import apply_to, get_git_hash
from torch import nn

from mmvisionllama.checkpoint.logged_history import plain_values
from mmvisionllama.checkpoint.manifest import INFINITE
from mmvisionllama.host_internals import BATCH_NORM, INSTANCE_NORM
from mmvisionllama.reports.summary import versions
from mmvisionllama.runner_parts import unwrapped

RESUME = "resume"  # the key for what only an exact resume needs


def checkpoint_content(
    runner: Any,
    meta: Mapping[str, Any],
    *,
    save_optimizer: bool,
    save_param_scheduler: bool,
    exact: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Collect a checkpoint in the format of mmengine, which its tools and the hosts read.

    It holds tensors and plain values alone, so that ``torch.load`` reads it by its defaults; a hook that adds
    anything else is at fault. Of the logged history mmengine's own resume then takes the run's facts alone.

    Args:
        runner: A ``ResumableRunner``.
        meta: ``epoch`` and ``iter`` that a run begins with which is resumed from it.
        exact: Place of the loop and state of every process; it is kept beside an optimizer alone.
    Returns: ``meta``, ``state_dict``, ``message_hub``; ``optimizer``, ``param_schedulers`` and ``resume`` if
        asked for; and what hooks add before it is saved, as EMAHook its averages.
    """
    content = {
        "meta": {**meta, **_about(runner)},
        "state_dict": weights_to_cpu(unwrapped(runner).state_dict()),
        "message_hub": plain_values(_on_cpu(runner.message_hub.state_dict())),
    }
    if save_optimizer:
        content["optimizer"] = _on_cpu(runner.optim_wrapper.state_dict())
    if save_param_scheduler and runner.param_schedulers is not None:
        content["param_schedulers"] = _states(runner.param_schedulers)
    runner.call_hook("before_save_checkpoint", checkpoint=content)
    if exact is not None and save_optimizer:
        content[RESUME] = dict(exact)
    return content


def _about(runner: Any) -> dict[str, Any]:
    about = {
        "cfg": runner.config_text,
        "model": plain_config(runner.cfg.get("model")),
        "seed": runner.seed,
        INFINITE: infinite_buffers(unwrapped(runner)),
        "run_id": runner.run.run_id,
        "forked_from": runner.run.forked_from,
        "experiment_name": runner.experiment_name,
        "time": time.strftime("%Y%m%d_%H%M%S"),
        "mmengine_version": _mmengine_version(),
        "versions": versions(),
        "threads": torch.get_num_threads(),
    }
    ids = getattr(runner.train_dataloader.dataset, "cat_ids", None)  # of COCO's categories, by class
    data = {"dataset_meta": dataset_metainfo(runner), "category_ids": ids and list(ids)}
    return {**about, **{key: value for key, value in data.items() if value is not None}}


def infinite_buffers(model: nn.Module) -> list[str]:
    """Name the saved buffers that hold infinity by design, as a mask does; statistics of a norm never do."""
    saved, found = model.state_dict().keys(), []
    for module_name, module in model.named_modules():
        for name, x in module.named_buffers(module_name, recurse=False):
            measured = isinstance(module, (BATCH_NORM, INSTANCE_NORM)) or not x.is_floating_point()
            if name in saved and not measured and bool(torch.isinf(x).any()):
                found.append(name)
    return found


def changes_since(meta: Mapping[str, Any]) -> str:
    """Say which versions and number of threads are others than those of a checkpoint; nothing if none is."""
    saved, now = meta.get("versions"), versions()
    saved = saved if isinstance(saved, dict) else {}
    pairs = [(name, saved[name], now[name]) for name in saved if name in now]
    pairs += [("threads", meta["threads"], torch.get_num_threads())] if "threads" in meta else []
    return ", ".join(f"{name} {now} for {before}" for name, before, now in pairs if now != before)


def dataset_metainfo(runner: Any) -> dict[str, Any] | None:
    """Return what the training data say of themselves: names of classes, colours."""
    return plain_values(getattr(runner.train_dataloader.dataset, "metainfo", None))


def plain_config(value: Any) -> Any:
    """Return a part of a config as dicts, lists, numbers and text: classes by their dotted name."""
    if isinstance(value, Mapping):
        return {str(key): plain_config(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_config(x) for x in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else str(value)


@cache
def _mmengine_version() -> str:
    return mmengine.__version__ + get_git_hash()  # which starts git


def _states(schedulers: Any) -> Any:
    if isinstance(schedulers, dict):
        return {name: _states(some) for name, some in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers]


def _on_cpu(state: Any) -> Any:
    return apply_to(state, lambda x: hasattr(x, "cpu"), lambda x: x.cpu())
