"""One JSON file that says what a training was and what it reached."""

import math
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmvisionllama.engine.reports import ReportHook, as_json, plain, replaced_when_whole, validations
from mmvisionllama.registry import HOOKS

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


@HOOKS.register_module()
class RunSummaryHook(ReportHook):
    """Write ``summary.json`` in the work directory of every training.

    It is written when training starts and after every validation (``"status": "running"``), at the end
    (``"finished"``), and by ``interruption_recorded`` when the run ends in an exception (``"interrupted"``).
    ``"validations"`` holds step, epoch and metrics of them all, ``"last"`` and ``"best"`` the metrics of two,
    under the host's names; the best is that of the first metric that CheckpointHook's ``save_best`` watches.
    Seconds count the whole training, also what came before a resume.
    """

    def before_train(self, runner: Runner) -> None:
        """Start the clock, from where a resumed training stopped it, and write the first summary."""
        super().before_train(runner)
        self._start = time.perf_counter() - runner.message_hub.runtime_info.get(_SECONDS, 0.0)
        if is_main_process():
            self.report(runner, "running")

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Keep the time in the message hub, which checkpoints hold."""
        runner.message_hub.update_info(_SECONDS, time.perf_counter() - self._start)

    def interrupted(self, runner: Runner, error: BaseException) -> None:
        """Say in the summary what ended the training; does nothing if no training had started."""
        if self._training and is_main_process():
            self.report(runner, "interrupted", f"{type(error).__name__}: {error}".removesuffix(": "))

    def report(self, runner: Runner, status: str, error: str | None = None) -> None:
        """Write ``summary.json``; numbers that JSON has no word for (NaN, infinity) become null."""
        summary = {"status": status, "error": error, **self._facts(runner)}
        with replaced_when_whole(Path(runner.work_dir) / "summary.json") as path:
            path.write_text(as_json(summary))

    def _facts(self, runner: Runner) -> dict[str, Any]:
        hub = runner.message_hub.runtime_info
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        past = validations(runner)
        return {
            "config": _config(runner),
            "seed": runner.seed,
            "seconds": round(time.perf_counter() - self._start, 3),
            "steps": runner.iter,
            "planned_steps": runner.max_iters,
            "epochs": runner.epoch,
            "last": past[-1]["metrics"] if past else None,
            "last_step": past[-1]["step"] if past else None,
            "validations": past,
            "last_checkpoint": hub.get("last_ckpt"),
            **_best(runner),
            "parameters": sum(x.numel() for x in model.parameters()),
            "trained_parameters": sum(x.numel() for x in model.parameters() if x.requires_grad),
            "world_size": get_world_size(),
            "device": str(next(model.parameters()).device),
            "versions": {"python": platform.python_version(), **versions()},
        }


@contextmanager
def interruption_recorded(runner: Runner) -> Iterator[None]:
    """Let the summary say how a training ended that raises in this block, where mmengine calls no hook."""
    try:
        yield
    except BaseException as error:
        for hook in runner.hooks:
            if isinstance(hook, RunSummaryHook):
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


def _best(runner: Runner) -> dict[str, Any]:
    """Return metrics, step and checkpoint of the validation that CheckpointHook found best."""
    hub = runner.message_hub.runtime_info
    watched = [
        name for hook in runner.hooks if isinstance(hook, CheckpointHook) for name in _indicators(hook)
    ]
    if not watched:
        return {}
    suffix = f"_{watched[0]}" if f"best_score_{watched[0]}" in hub else ""
    score = plain(hub.get(f"best_score{suffix}", math.nan))
    best = next((x for x in validations(runner) if x["metrics"].get(watched[0]) == score), None) or {}
    checkpoint = hub.get(f"best_ckpt{suffix}")
    return {"best": best.get("metrics"), "best_step": best.get("step"), "best_checkpoint": checkpoint}


def _indicators(hook: CheckpointHook) -> list[str]:
    return hook.key_indicators if hook.save_best else []


def versions() -> dict[str, str]:
    # Only what the run has imported: asking for more would import it.
    return {name: str(sys.modules[name].__version__) for name in _PACKAGES if name in sys.modules}
