"""Folder of a run: refuse to write over results, or move them aside; tell a resume from a fork."""

import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmvisionllama.checkpoint.as_saved import manifest_of
from mmvisionllama.checkpoint.manifest import checkpoints_in, label_of, newest_good
from mmvisionllama.checkpoint.run_identity import (
    POINTER,
    RECORD,
    RunRecord,
    checkpoint_folder,
    folders_of,
    is_of_job,
    known_id,
    present_job,
    read_record,
)
from mmvisionllama.checkpoint.sharded import is_sharded
from mmvisionllama.errors import LaunchError
from mmvisionllama.evaluation.saved_predictions import PREDICTIONS, has_predictions
from mmvisionllama.fault_tolerance.bad_batches import FOLDER as BAD_BATCHES
from mmvisionllama.fault_tolerance.nan_guard import HISTORY
from mmvisionllama.reports.summary import SUMMARY
from mmvisionllama.reports.tracking import FOLDER as TRACKING

_ASIDE = "overwritten"
_SHOWN = 4
_SAVED = re.compile(r"(nonfinite_|best_.+_)?(iter|epoch)_\d+\.(pth|sharded)")  # where no manifest tells
_REPORTS = (POINTER, RECORD, HISTORY, BAD_BATCHES, SUMMARY, TRACKING)
LOGS = re.compile(r"\d{8}_\d{6}(_\d+)?")  # folders of logs, by the time when a run began
PAGE = "report.html"
_PICTURES = ("curves.png", "predictions.png", "confusion.png", "precision_recall.png")


def out_dir_of(cfg: Mapping[str, Any]) -> str | None:
    """Return where the config wants its checkpoints, beside the work directory; None: in there."""
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    return hook.get("out_dir")


def results_in(work_dir: str | Path, out_dir: str | None) -> list[Path]:
    """List what a new training would write over: checkpoints of any run, else a finished summary."""
    folders = {Path(work_dir).resolve(): Path(work_dir)}
    saves_in = checkpoint_folder(work_dir, out_dir)
    folders.setdefault(saves_in.resolve(), saves_in)
    found = [path for folder in folders.values() for path in checkpoints_in(folder) if _is_saved(path)]
    summary = Path(work_dir, SUMMARY)
    return found or ([summary] if summary.is_file() and '"status": "finished"' in _head(summary) else [])


def _is_saved(path: Path) -> bool:
    """Whether a training has saved this checkpoint; weights that someone put there are no results."""
    return manifest_of(path).is_file() or _SAVED.fullmatch(path.name) is not None


def _head(file: Path) -> str:
    try:
        with file.open(errors="replace") as opened:
            return opened.read(200)
    except OSError:
        return ""


def require_unused(work_dir: str | Path, out_dir: str | None) -> None:
    """Require that a training which begins there writes over nobody's results.

    Raises: LaunchError: that names the folder, what lies there, and the ways on.
    """
    results = results_in(work_dir, out_dir)
    if not results or is_begun_by_this_job(work_dir):
        return
    record = read_record(work_dir)
    names = ", ".join(path.name for path in results[:_SHOWN])
    more = f" and {len(results) - _SHOWN} more" if len(results) > _SHOWN else ""
    whose = "another run" if record is None else f"run {record.run_id[:8]}"
    folder = results[0].parent
    can_go_on = newest_good(work_dir, out_dir).path is not None
    raise LaunchError(
        f"{folder} holds results of {whose}: {names}{more}. "
        + ("To go on with it, add --resume. " if can_go_on else "")
        + f"To begin anew there, add --overwrite, which moves them into {folder}/{_ASIDE}_<time>. To keep "
        "both apart, choose another folder by --work-dir"
    )


def is_begun_by_this_job(work_dir: str | Path) -> bool:
    """Whether the training there was begun by an earlier start of the job that this process is part of."""
    job = present_job()
    return job is not None and is_of_job(work_dir, job)


def are_own(work_dir: str | Path, out_dir: str | None) -> bool:
    """Whether all results there are of the run that the work directory belongs to."""
    record = read_record(work_dir)
    labels = [label_of(x) for x in results_in(work_dir, out_dir) if x.name != SUMMARY]
    return record is None or all(not x.is_known or record.owns(x.run_id) for x in labels)


def move_aside(work_dir: str | Path, out_dir: str | None) -> list[str]:
    """Move what runs have left in these folders into ``overwritten_<time>`` there; say what went where.

    Files that are none of a run's, and folders of other runs below, stay.
    """
    folders = {x.resolve(): x for x in (checkpoint_folder(work_dir, out_dir), Path(work_dir)) if x.is_dir()}
    left = {folder: _left_by_runs(folder) for folder in folders.values()}
    return [set_aside(folder, paths) for folder, paths in left.items() if paths]


def move_later_aside(work_dir: str | Path, out_dir: str | None, run: RunRecord, step: int) -> list[str]:
    """Move this run's checkpoints of after ``step`` aside: it goes on from there on another way."""
    notes = []
    for folder in folders_of(work_dir, out_dir):
        labels = {path: label_of(path) for path in checkpoints_in(folder)}
        later = [x for x, y in labels.items() if y.is_known and run.owns(y.run_id) and y.step > step]
        if later:
            notes.append(set_aside(folder, [x for path in later for x in _with_manifest(path)]))
    return notes


def _left_by_runs(folder: Path) -> list[Path]:
    left = [x for path in checkpoints_in(folder) if _is_saved(path) for x in _with_manifest(path)]
    left += [folder / name for name in (*_REPORTS, *_PICTURES, PAGE)]
    left += [folder / PREDICTIONS] if has_predictions(folder / PREDICTIONS) else []
    left += [x for x in folder.iterdir() if x.is_dir() and LOGS.fullmatch(x.name)]
    for origins in folder.glob("*_origins.txt"):
        left += [origins, folder / f"{origins.name.removesuffix('_origins.txt')}.py"]
    return [x for x in left if x.exists() or x.is_symlink()]


def _with_manifest(path: Path) -> list[Path]:
    return [path] if is_sharded(path) else [path, manifest_of(path)]


def set_aside(folder: Path, paths: Iterable[Path]) -> str:
    """Move what is in a folder into ``overwritten_<time>`` there; say what went where."""
    name, count = f"{_ASIDE}_{time.strftime('%Y%m%d_%H%M%S')}", 1
    aside = folder / name
    while aside.exists():
        count += 1
        aside = folder / f"{name}_{count}"
    aside.mkdir()
    moved = [path for path in paths if path.exists() or path.is_symlink()]
    for path in moved:
        os.replace(path, aside / path.name)
    shown = ", ".join(path.name for path in moved[:_SHOWN])
    return f"Moved {len(moved)} files and folders of an earlier training to {aside}: {shown}" + (
        ", ..." if len(moved) > _SHOWN else ""
    )


def identified(
    checkpoint: str | Path, meta: Mapping[str, Any], work_dir: str | Path, out_dir: str | None
) -> tuple[RunRecord, bool]:
    """Tell which run goes on from a checkpoint in this work directory.

    Args:
        meta: Of the checkpoint.
    Returns: Its record, and whether it is another run than the one that saved the checkpoint: a fork.
    """
    found, record = known_id(meta.get("run_id")), read_record(work_dir)
    path = Path(checkpoint).resolve()
    is_inside = any(path.parent == x.resolve() for x in folders_of(work_dir, out_dir))
    if record is not None and record.owns(found) and (is_inside or found is not None):
        return record, False
    if record is None and is_inside:
        known = dict(forked_from=meta.get("forked_from"), takes_unnamed=found is None)
        return (RunRecord(run_id=found, **known) if found else RunRecord.drawn(**known)), False
    origin = {"run_id": found, "checkpoint": str(path), "step": meta.get("iter")}
    return RunRecord.drawn(forked_from=origin), True
