"""Start of a run: which checkpoint it goes on from, its folders, its processes, and the Runner."""

import gc
import logging
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from torch import distributed as dist

from mmvisionllama.checkpoint.manifest import meta_of, newest_good, verify
from mmvisionllama.checkpoint.run_identity import checkpoint_folder
from mmvisionllama.config import RunConfig
from mmvisionllama.errors import CheckpointError, LaunchError
from mmvisionllama.fault_tolerance.folder_lock import locked
from mmvisionllama.fault_tolerance.random_state import randomness_by
from mmvisionllama.fault_tolerance.watchdog import Watchdog
from mmvisionllama.host_imports import uncollected
from mmvisionllama.reports.progress import Status, display
from mmvisionllama.reports.screen import screen_of
from mmvisionllama.reports.summary import mark_killed
from mmvisionllama.training.batch_auto import BATCH
from mmvisionllama.training.distributed import (
    fit_to_cpu,
    init_distributed,
    launched_as_main_process,
    processes_of,
    rank_of,
    timeout_of,
)
from mmvisionllama.training.hooks import hooks_by
from mmvisionllama.training.run_folder import (
    are_own,
    identified,
    is_begun_by_this_job,
    move_aside,
    out_dir_of,
    require_unused,
)
from mmvisionllama.training.runner import ResumableRunner

_MOST_NOTES = 8  # on the screen


def start_watched(cfg: Config) -> AbstractContextManager[None]:
    """Watch what comes before a run: a download or a check of data that hangs ends with a report."""
    timeout = timeout_of(cfg.get("env_cfg", {}).get("dist_cfg", {}))
    alone = cfg.launcher == "none"
    member = (0, 1) if alone else (rank_of(os.environ), processes_of(os.environ))
    logger = logging.getLogger("mmvisionllama.start")
    return Watchdog(timeout, lambda: "before the first step", logger, starting=member).watching()


def choose_start(
    run: RunConfig, resume: str | Path | bool | None, overwrite: bool, *, any_folder: bool
) -> tuple[list[str], bool]:
    """Make ``resume`` and ``load_from`` of the config say together where to start.

    Args:
        any_folder: The training will not be in the work directory, so what lies there does not matter.
    Returns: Remarks, and whether what lies in the work directory is to be moved aside.
    Raises: LaunchError: if results lie there that this training would write over.
    """
    cfg = run.cfg
    folders = cfg.work_dir, out_dir_of(cfg)
    overwrite = overwrite and not is_begun_by_this_job(cfg.work_dir)
    if resume is None and cfg.get("resume"):
        resume = cfg.get("load_from") or "auto"
    notes: list[str] = []
    if resume is None or resume is False:
        run.set("resume", False, "no --resume")
    elif resume is not True and str(resume) != "auto":
        verdict = verify(resume)
        if verdict.problem:
            raise CheckpointError(f"--resume {verdict}; --resume alone takes the newest good one")
        start_from(run, str(verdict.path), "--resume")
        if not identified(verdict.path, meta_of(verdict.path), *folders)[1]:
            _require_one(overwrite)
            return [], False
    else:
        _require_one(overwrite)
        choice = newest_good(*folders)
        notes = [f"--resume auto: not resumed from {verdict}" for verdict in choice.rejected]
        if choice.path is not None:
            start_from(run, str(choice.path), "--resume")
            return notes, False
        # With resume=True, mmengine would continue the optimizer of the pretrained weights in load_from.
        run.set("resume", False, "--resume, which found no checkpoint")
        good = "good " if choice.rejected else ""
        notes.append(f"--resume auto: {cfg.work_dir} has no {good}checkpoint, so training starts afresh")
        overwrite = are_own(*folders)  # e.g. a best one, from which nothing can go on
    if not overwrite and not any_folder:
        require_unused(*folders)
    return notes, overwrite


def _require_one(overwrite: bool) -> None:
    if overwrite:
        raise LaunchError("--overwrite begins anew and --resume goes on: leave one of them out")


def hold_folders(cfg: Config, held: ExitStack, *, only_there: bool = False) -> list[str]:
    """Lock the folders of a run, at first only those that exist: a start that fails leaves no trace."""
    folders = {Path(cfg.work_dir), checkpoint_folder(cfg.work_dir, out_dir_of(cfg))}
    found = [held.enter_context(locked(x)) for x in sorted(folders) if x.is_dir() or not only_there]
    problems = [problem for problem in found if problem is not None]
    if found and not problems:
        mark_killed(cfg.work_dir)  # an earlier run there that still says it is running
    return problems


def claim_folders(cfg: Config, held: ExitStack, *, takes_over: bool) -> list[str]:
    """Take the folders of a run for it, as the first process; return remarks."""
    notes = hold_folders(cfg, held)
    return notes + (move_aside(cfg.work_dir, out_dir_of(cfg)) if takes_over else [])


def start_from(run: RunConfig, checkpoint: str | None, origin: str, *, resume: bool = True) -> None:
    """Let a config say where to start."""
    run.set("resume", resume, origin)
    run.set("load_from", checkpoint, origin)


def _agree_on_start(run: RunConfig) -> None:
    """Let every process start from what the first one chose, which has read it, with its batch."""
    keys = (BATCH, "auto_scale_lr")
    chosen = [(run.cfg.get("resume"), run.cfg.get("load_from"), [_value_at(run.cfg, x) for x in keys])]
    dist.broadcast_object_list(chosen, src=0)
    resume, load_from, values = chosen[0]
    if not is_main_process():
        start_from(run, load_from, "the first process", resume=bool(resume))
        for key, value in zip(keys, values, strict=True):
            if _value_at(run.cfg, key) != value:
                run.set(key, value, "the first process")
    missing = [None] * dist.get_world_size()
    unseen = bool(resume) and not Path(load_from).exists()
    dist.all_gather_object(missing, socket.gethostname() if unseen else None)
    if any(missing):
        hosts = ", ".join(dict.fromkeys(x for x in missing if x))
        raise LaunchError(f"{load_from} is not there on {hosts}: all machines need one work directory")


def _value_at(cfg: Config, key: str) -> Any:
    section, _, name = key.partition(".")
    value = cfg.get(section)
    return value.get(name) if name and value else value


@uncollected()
def start_run(
    run: RunConfig,
    command: str,
    check: Callable[[Config], list[str]],
    notes: list[str],
    claim: Callable[[], list[str]] = list,
) -> ResumableRunner:
    """Check, join the other processes and build the Runner, which creates the work directory.

    Args:
        claim: Makes the folders the run's own before any process writes there; returns remarks.
    """
    _keep_imports_from_collection()
    # The other processes wait for the first one in init_distributed, and end with it if it fails.
    if launched_as_main_process(run.cfg.launcher):
        # Pipelines draw at random: a start that was refused is refused again, and none by chance.
        with (
            display(screen_of(logging.getLogger()), lambda: Status("checking model and data")),
            randomness_by(0),
        ):
            notes = notes + check(run.cfg)
    init_distributed(run.cfg.launcher, run.cfg.get("env_cfg", {}).get("dist_cfg", {}))
    if is_main_process():
        notes = notes + claim()
    if dist.is_initialized():
        _agree_on_start(run)
        if not torch.cuda.is_available():
            with run.changed_by("several processes without GPUs") as cfg:
                notes = notes + fit_to_cpu(cfg)
    return build_runner(run.cfg, command, notes)


def build_runner(cfg: Config, command: str, notes: list[str]) -> ResumableRunner:
    """Build the Runner with the hooks of a command, and tell what was noticed."""
    runner = ResumableRunner.from_cfg(cfg)
    for hook in hooks_by(command, runner):
        runner.register_hook(hook)
    for number, note in enumerate(notes):
        runner.logger.info(f"Noticed: {note}", extra={"in_log_alone": number >= _MOST_NOTES})
    if len(notes) > _MOST_NOTES:
        runner.logger.info(f"Noticed: {len(notes) - _MOST_NOTES} more, which the log has")
    return runner


@cache
def _keep_imports_from_collection() -> None:
    """Freeze them, once: mmengine collects garbage for each data set, 0.3 s to go through all imports."""
    gc.freeze()
