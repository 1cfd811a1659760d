"""summary.json: config, progress, metrics, best checkpoint and versions of a training."""

import math
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmvisionllama.arguments import Count, NotNegative, Positive, takes
from mmvisionllama.errors import UserError
from mmvisionllama.fault_tolerance.folder_lock import is_free
from mmvisionllama.files import damaged, plain_float, read_json, read_record, write_json
from mmvisionllama.registry import HOOKS
from mmvisionllama.reports.class_results import ClassResults
from mmvisionllama.reports.provenance import provenance
from mmvisionllama.reports.report_hook import ReportHook, validations
from mmvisionllama.runner_parts import unwrapped

_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "mmengine",
    "mmcv",
    "mmpretrain",
    "mmseg",
    "mmdet",
    "mmvisionllama",
)
_SECONDS = "seconds_trained"
_CLASSES = "class_results"
SUMMARY = "summary.json"
_KILLED = "its process ended without a word, e.g. by SIGKILL or as its machine went down"
_METRICS = Mapping[str, float | None]
# What readers rely on.
_KINDS = {
    "status": Literal["running", "finished", "interrupted", "killed"],
    "steps": Count,
    "planned_steps": Count,
    "seconds": NotNegative,
    "parameters": NotNegative,
    "world_size": Positive,
    "device": str,
    "last_checkpoint": str | None,
    "validations": list[dict],
    "error": str | None,
    "config": dict,
    "versions": dict,
    "forked_from": dict | None,
    "run_id": str | None,
    "command": str | None,
    "best_step": Count | None,
    "best_checkpoint": str | None,
    "history": dict,
    "last_classes": dict | None,
    "best_classes": dict | None,
}


@HOOKS.register_module()
class RunSummaryHook(ReportHook):
    """Write ``summary.json`` in the work directory of every training.

    It is written when training starts and after every validation (``"status": "running"``), at the end
    (``"finished"``), and by ``interruption_recorded`` when the run ends in an exception (``"interrupted"``).
    A process that is killed leaves "running"; ``read_summary`` and the next start say ``"killed"`` then.
    ``"validations"`` holds step, epoch and metrics of them all, ``"last"`` and ``"best"`` the metrics of two,
    under the host's names; the best is that of the first metric that CheckpointHook's ``save_best`` watches.
    ``"history"`` has steps and values of each metric, ``"last_classes"`` and ``"best_classes"`` the results
    of each class in percent; docs/follow.md shows all of it.
    Seconds count the whole training, also what came before a resume.
    """

    def __init__(self) -> None:
        self._classes = ClassResults()

    def before_train(self, runner: Runner) -> None:
        """Start the clock, from where a resumed training stopped it, and write the first summary."""
        super().before_train(runner)
        self._start = time.perf_counter() - runner.message_hub.runtime_info.get(_SECONDS, 0.0)
        self._provenance = provenance(get_world_size()) if is_main_process() else {}
        if is_main_process():
            self.report(runner, "running")

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Keep the time in the message hub, which checkpoints hold."""
        runner.message_hub.update_info(_SECONDS, time.perf_counter() - self._start)

    def before_val_epoch(self, runner: Runner) -> None:
        """Listen to what the metrics find of each class."""
        self._classes.follow(runner.val_loop.evaluator)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Keep the results of each class beside those of the best validation, where checkpoints have them."""
        super().after_val_epoch(runner, metrics)
        if self._training and (found := self._classes.by_name()):
            best = best_of(runner).get("best_step")
            kept = [x for x in _class_results(runner) if x["step"] == best and best < runner.iter]
            this = {"step": runner.iter, "results": found}
            runner.message_hub.update_info(_CLASSES, [*kept, this])

    def interrupted(self, runner: Runner, error: BaseException) -> None:
        """Say in the summary what ended the training; does nothing if no training had started."""
        if self._training and is_main_process():
            self.report(runner, "interrupted", f"{type(error).__name__}: {error}".removesuffix(": "))

    def report(self, runner: Runner, status: str, error: str | None = None) -> None:
        """Write ``summary.json``; numbers that JSON has no word for (NaN, infinity) become null."""
        summary = {"status": status, "error": error, **self._facts(runner)}
        _write(Path(runner.work_dir, SUMMARY), summary)

    def _facts(self, runner: Runner) -> dict[str, Any]:
        hub = runner.message_hub.runtime_info
        model = unwrapped(runner)
        past = validations(runner)
        last_step, best = past[-1]["step"] if past else None, best_of(runner)
        run = getattr(runner, "run", None)  # mmengine's own Runner has none
        return {
            "config": _config(runner),
            "run_id": run and run.run_id,
            "forked_from": run and run.forked_from,
            **self._provenance,
            "seed": runner.seed,
            "seconds": round(time.perf_counter() - self._start, 3),
            "steps": runner.iter,
            "planned_steps": runner.max_iters,
            "epochs": runner.epoch,
            "last": past[-1]["metrics"] if past else None,
            "last_step": last_step,
            "last_classes": _classes_at(runner, last_step),
            "history": history_of(past),
            "validations": past,
            "last_checkpoint": hub.get("last_ckpt"),
            **best,
            **({"best_classes": _classes_at(runner, best["best_step"])} if best else {}),
            "parameters": sum(x.numel() for x in model.parameters()),
            "trained_parameters": sum(x.numel() for x in model.parameters() if x.requires_grad),
            "world_size": get_world_size(),
            "device": str(next(model.parameters()).device),
            "versions": {"python": platform.python_version(), **versions()},
        }


def history_of(past: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float | None]]]:
    """Return steps and values of each metric of validations, in their order.

    Args:
        past: ``"validations"`` of a summary; of an older one, too, which has no ``"history"``.
    """
    history: dict[str, dict[str, list[float | None]]] = {}
    for validation in past:
        for name, value in validation["metrics"].items():
            points = history.setdefault(name, {"steps": [], "values": []})
            points["steps"].append(validation["step"])
            points["values"].append(value)
    return history


def _class_results(runner: Runner) -> list[dict[str, Any]]:
    return runner.message_hub.runtime_info.get(_CLASSES, [])


def _classes_at(runner: Runner, step: int | None) -> dict[str, dict[str, float]] | None:
    return next((x["results"] for x in _class_results(runner) if x["step"] == step), None)


def _write(path: Path, summary: dict[str, Any]) -> None:
    """Write a summary; on a full disk, a last one takes the place of the one that says "running"."""
    try:
        write_json(path, summary)
    except OSError:
        if summary["status"] == "running":
            raise
        path.unlink(missing_ok=True)  # which may free what it needs
        write_json(path, summary)


def read_summary(work_dir: str | Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """Return what ``summary.json`` says of a training so far, nothing if there is none.

    Where it says "running" and nobody holds the folder any more, the status is "killed".

    Args:
        needed: Keys that must be there.
    Raises: UserError: if it is damaged, or there is none with what is needed, naming the file.
    """
    path = Path(work_dir, SUMMARY)
    if (summary := read_record(path)) is None:
        if needed:
            raise UserError(f"{path} is missing, which has {', '.join(needed)} of the training")
        return {}
    for key in (*needed, *_KINDS):
        if key in needed and key not in summary:
            raise damaged(path, f"it has no {key!r}")
        if key in summary and not takes(_KINDS[key], summary[key]):
            raise damaged(path, f"{key} is {summary[key]!r:.40}")
    for validation in summary.get("validations") or ():
        if not (takes(Count, validation.get("step")) and takes(_METRICS, validation.get("metrics"))):
            raise damaged(path, f"a validation is {validation!r:.60}")
    if summary.get("status") == "running" and is_free(Path(work_dir)):
        summary |= {"status": "killed", "error": _KILLED}
    return summary


def mark_killed(work_dir: str | Path) -> None:
    """Let a summary that says "running" say "killed"; whoever calls this holds the folder."""
    mark_interrupted(work_dir, _KILLED, status="killed")


def mark_interrupted(work_dir: str | Path, error: str, *, status: str = "interrupted") -> None:
    """Let a summary that says "running" say what ended the training, where its process can do no more."""
    path = Path(work_dir, SUMMARY)
    try:
        summary = read_json(path)
        if summary["status"] == "running":
            _write(path, {**summary, "status": status, "error": error})
    except (OSError, ValueError, KeyError, TypeError):
        return  # there is none, or nothing can be written any more


@contextmanager
def interruption_recorded(runner: Runner) -> Iterator[None]:
    """Let the summary say how a training ended that raises in this block, where mmengine calls no hook."""
    try:
        yield
    except BaseException as error:
        for hook in runner.hooks:
            if isinstance(hook, RunSummaryHook):
                faults = getattr(runner, "disk_faults", None)  # as above
                with nullcontext() if faults is None else faults.survived(SUMMARY):
                    hook.interrupted(runner, error)
        raise


def _config(runner: Runner) -> dict[str, str | None]:
    source = runner.cfg.filename
    dump = Path(runner.work_dir) / (Path(source).name if source else f"{runner.timestamp}.py")
    return {
        "name": Path(source).stem if source else runner.experiment_name,
        "file": str(Path(source).resolve()) if source else None,
        "resolved": str(dump),
    }


def best_of(runner: Runner) -> dict[str, Any]:
    """Return metrics, step and checkpoint of the validation that CheckpointHook found best."""
    hub = runner.message_hub.runtime_info
    hooks = [x for x in runner.hooks if isinstance(x, CheckpointHook) and x.save_best]
    watched = [name for hook in hooks for name in hook.key_indicators]
    if not watched:
        return {}
    suffix = f"_{watched[0]}" if f"best_score_{watched[0]}" in hub else ""
    score = plain_float(hub.get(f"best_score{suffix}", math.nan))
    best = next((x for x in validations(runner) if x["metrics"].get(watched[0]) == score), None) or {}
    checkpoint = hub.get(f"best_ckpt{suffix}")
    return {"best": best.get("metrics"), "best_step": best.get("step"), "best_checkpoint": checkpoint}


def versions() -> dict[str, str]:
    # Only packages that the run has imported: reading another version would import it.
    return {name: str(sys.modules[name].__version__) for name in _PACKAGES if name in sys.modules}
