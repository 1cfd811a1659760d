"""Processes that fill one output folder together: joining, progress, and a check that nothing is missing."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_world_size, is_main_process

from mmvisionllama.config import load_config
from mmvisionllama.errors import LaunchError
from mmvisionllama.reports.progress import progress
from mmvisionllama.training.distributed import init_distributed


def load(config: str | Path, cfg_options: Mapping[str, Any] | None, launcher: str) -> Config:
    """Read the config of a model that is to be used, with the launcher of ``join``."""
    cfg = load_config(config, cfg_options)
    cfg.launcher = launcher
    return cfg


def join(cfg: Config) -> torch.device:
    """Join the other processes, which wait for the first one here, and return the device of this one."""
    init_distributed(cfg.launcher, cfg.get("env_cfg", {}).get("dist_cfg", {}))
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def of_first(function: Callable[[], Any]) -> Any:
    """Return what a function gives in the first process."""
    holder = [function() if is_main_process() else None]
    broadcast_object_list(holder)
    return holder[0]


def shown_progress(what: str, count: int) -> AbstractContextManager[Callable[[int], None]]:
    """Show the progress of the first process, whose share is that of the others too."""
    processes = get_world_size()
    what = what if processes == 1 else f"{what} of each of {processes} processes"
    return progress(what, count, shown=is_main_process())


def require_all(folder: Path, missing: Sequence[int], what: str) -> None:
    """Raises: LaunchError: if not all that was made is there."""
    if missing:
        raise LaunchError(
            f"{folder} lacks {len(missing):,} {what} that were made: all machines need one folder"
        )
