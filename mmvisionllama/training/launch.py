"""train() and test(): from a config and options to a finished run."""

import gc
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.dist import is_main_process

from mmvisionllama.checkpoint.names import is_name, named_weights
from mmvisionllama.checks.run import check_testing, check_training
from mmvisionllama.config import RunConfig, read_config
from mmvisionllama.config.global_batch import share_batch, take_global_batch
from mmvisionllama.errors import ConfigError, GoBack, LaunchError
from mmvisionllama.fault_tolerance.launcher_death import stop_with_launcher
from mmvisionllama.files import write_json
from mmvisionllama.host_imports import uncollected
from mmvisionllama.reports.progress import Status, display
from mmvisionllama.reports.report_hook import validations
from mmvisionllama.reports.run_progress import progress_shown
from mmvisionllama.reports.screen import screen_of, shown
from mmvisionllama.reports.summary import interruption_recorded
from mmvisionllama.reports.tracking import tracked, trackers_with
from mmvisionllama.runner_parts import unwrapped
from mmvisionllama.training.batch_auto import BATCH, batch_norms, fit_batch
from mmvisionllama.training.batch_search import present_room
from mmvisionllama.training.checkpoint_hook import require_resumable
from mmvisionllama.training.distributed import (
    launched_as_main_process,
    processes_of,
    processes_of_machine,
)
from mmvisionllama.training.dry_run import (
    DryRun,
    DryRunHook,
    make_dry_run,
    report_dry_run,
    temporary_work_dir,
)
from mmvisionllama.training.hooks import hooks_by
from mmvisionllama.training.precision import autocast_dtype, mixed_precision_wrapper
from mmvisionllama.training.runner import ResumableRunner
from mmvisionllama.training.saved_predictions import save_predictions
from mmvisionllama.training.scale_plan import plan_lines, take_share
from mmvisionllama.training.starting import (
    build_runner,
    choose_start,
    claim_folders,
    hold_folders,
    start_from,
    start_run,
    start_watched,
)
from mmvisionllama.training.trial import make_trial
from mmvisionllama.training.unlabelled import write_predictions_of_unlabelled

_TIMED_STEPS, _FITTED_STEPS = 12, 6
TRAINING_SECTIONS = ("train_dataloader", "train_cfg", "optim_wrapper")
TEST_SECTIONS = ("test_dataloader", "test_cfg", "test_evaluator")


def train(
    config: str | Path,
    *,
    work_dir: str | Path | None = None,
    resume: str | Path | bool | None = None,
    overwrite: bool = False,
    amp: bool = False,
    compile: bool = False,
    seed: int | None = None,
    global_batch: int | None = None,
    batch: int | Literal["auto"] | None = None,
    steps: int | None = None,
    dry_run: bool = False,
    gpus: int | None = None,
    track: str | Sequence[str] | None = None,
    cfg_options: dict[str, Any] | None = None,
    launcher: str = "none",
    verbose: bool = False,
) -> dict[str, float]:
    """Train by a config, from a notebook as from ``tools/train.sh``; any number of times in one process.

    Args:
        resume: ``"auto"`` or True: from the newest good checkpoint of the work directory, if it has any; a
            path: from this one.
        overwrite: Begin anew in a folder with results, which are moved into a folder ``overwritten_<time>``
            there; without it, that is an error.
        global_batch: Images of an optimizer step over all processes; the learning rate follows.
        batch: Images that a device takes at once, of which several make a step where the global batch is
            larger; ``"auto"``: as many as find room, see ``fit_batch``.
        steps: Make a short trial of the recipe, see ``make_trial``.
        dry_run: Make a few steps, report memory and time of the whole training, and leave nothing behind.
        gpus: Let the dry run be that of one of so many processes, and say what each of them would do.
        track: ``tensorboard``, ``wandb``, ``mlflow``, or several, beside those that the config names.
        launcher: What started this process: ``none``, ``pytorch`` (torchrun) or ``slurm`` (srun).
        verbose: Show all that the log file gets on the screen too, see ``reports.screen``.
    Returns: The metrics of the last validation, none if there was none.
    Raises:
        UserError: before the work directory exists.
        Stopped: after a signal, when everything is saved.
        Diverged: after NaN or infinity that going back to a checkpoint has not helped against.
    """
    with shown(verbose=verbose, first=launched_as_main_process(launcher)):
        options = dict(launcher=launcher, work_dir=work_dir, seed=seed, compile=compile)
        run = _read(config, cfg_options, TRAINING_SECTIONS, **options)
        _look_up_name(run)
        notes = []
        if amp:
            run.set("optim_wrapper", mixed_precision_wrapper(run.cfg.optim_wrapper), "--amp")
        if global_batch is not None:
            with run.changed_by(f"--global-batch {global_batch}") as cfg:
                notes.append(take_global_batch(cfg, global_batch))
        if steps is not None:
            notes.append(make_trial(run, steps))
        if track is not None:
            run.set("track", trackers_with(run.cfg.get("track"), track), "--track")
        if batch is not None:
            _take_batch(run, batch, cfg_options)
        require_resumable(run.cfg)
        _require_dry(gpus, dry_run, launcher)
        processes = gpus or (1 if launcher == "none" else processes_of(os.environ))
        share_batch(run.cfg, processes)
        with ExitStack() as held, temporary_work_dir() if dry_run else nullcontext() as folder:
            with start_watched(run.cfg):
                takes_over, claim = False, list
                if launched_as_main_process(launcher):
                    if not dry_run:
                        notes += hold_folders(run.cfg, held, only_there=True)
                    chosen, takes_over = choose_start(run, resume, overwrite, any_folder=dry_run)
                    notes += chosen
            if batch == "auto" and launched_as_main_process(launcher):
                notes += _fit_batch(run, processes)
            with start_watched(run.cfg):
                if folder is not None:
                    run.set("work_dir", str(folder), "--dry-run")
                    run.set("track", None, "--dry-run")
                else:
                    claim = partial(claim_folders, run.cfg, held, takes_over=takes_over)
                planned = deepcopy(run.cfg)
                if gpus is not None:
                    take_share(run, gpus)
                check = partial(check_training, processes=1 if gpus else processes)
                runner = start_run(run, "training", check, notes, claim)
            if dry_run:
                lines = DryRun.lines if gpus is None else plan_lines(runner, planned, gpus)
                report_dry_run(runner, *hooks_by("dry run", runner), lines)
                return {}
            if is_main_process():
                run.write_origins(run.cfg.work_dir)
                if batch == "auto" and (norms := batch_norms(unwrapped(runner))):
                    runner.logger.warning(f"Batch norm makes results depend on --batch: {norms}")
            while (back := _train_or_go_back(runner)) is not None:
                del runner  # before the next one needs its memory
                runner = _resumed(run, back)
        past = validations(runner)
        return past[-1]["metrics"] if past else {}


def measure(config: str | Path, *, cfg_options: dict[str, Any] | None = None) -> DryRun:
    """Make a few steps of a training in this process, and return what they took; nothing is left behind.

    Raises: UserError: for a training that could not begin.
    """
    options = {**(cfg_options or {}), "log_level": "WARNING"}  # the training itself will tell
    with shown(verbose=False, first=True), temporary_work_dir() as folder:
        start = dict(launcher="none", work_dir=folder, seed=None, compile=False)
        run = _read(config, options, TRAINING_SECTIONS, **start)
        run.set("track", None, "a measurement")
        share_batch(run.cfg, 1)
        with start_watched(run.cfg):
            runner = start_run(run, "training", check_training, [])
        return make_dry_run(runner, DryRunHook(_TIMED_STEPS))


def _require_dry(gpus: int | None, dry_run: bool, launcher: str) -> None:
    if gpus is None:
        return
    if not dry_run:
        raise LaunchError(
            f"--gpus {gpus} says what a training on them would be: add --dry-run. A training takes all GPUs "
            "of this machine; GPUS=n before the command chooses some"
        )
    if launcher != "none" and processes_of(os.environ) > 1:
        raise LaunchError(f"--gpus {gpus} tries one of them: start one process")


def _take_batch(run: RunConfig, batch: int | str, cfg_options: Mapping[str, Any] | None) -> None:
    """Let a device take so many images at once, at first one where that is to be found out."""
    if BATCH in (cfg_options or {}):
        raise LaunchError(f"--batch {batch} and {BATCH} in --cfg-options say the same: leave one of them out")
    if batch != "auto":
        run.set(BATCH, batch, f"--batch {batch}")


def _fit_batch(run: RunConfig, processes: int) -> list[str]:
    """Do ``fit_batch`` by dry runs of this training in this process."""
    on_machine = min(processes, processes_of_machine(os.environ))
    room = present_room(on_machine, with_buckets=processes > 1 and not run.cfg.get("model_wrapper_cfg"))

    def measure_with(changes: Mapping[str, Any], what: str) -> DryRun:
        trial = RunConfig(deepcopy(run.cfg))
        aside = dict(launcher="none", resume=False, load_from=None, track=None, log_level="WARNING")
        for key, value in {**changes, **aside}.items():
            trial.set(key, value, "--batch auto")
        with temporary_work_dir() as folder, display(screen_of(logging.getLogger()), lambda: Status(what)):
            trial.set("work_dir", str(folder), "--batch auto")
            return make_dry_run(build_runner(trial.cfg, "training", []), DryRunHook(_FITTED_STEPS))

    return fit_batch(run, processes, on_machine, room, measure_with)


def test(
    config: str | Path,
    checkpoint: str | Path,
    *,
    work_dir: str | Path | None = None,
    out: Path | None = None,
    show_dir: Path | None = None,
    predictions: Path | None = None,
    amp: bool = False,
    compile: bool = False,
    seed: int | None = None,
    cfg_options: dict[str, Any] | None = None,
    launcher: str = "none",
    verbose: bool = False,
) -> dict[str, float]:
    """Evaluate a checkpoint by the test section of a config, and return the metrics; see ``train``.

    Args:
        out: A ``.json`` file for the metrics.
        show_dir: A folder for pictures of predictions.
        predictions: A folder for predictions and truth of every image, see ``evaluation.saved_predictions``.
    Raises: UserError: before the work directory exists.
    """
    if out is not None and (out.suffix != ".json" or out.is_dir()):
        raise LaunchError(f"--out {out}: give the name of a .json file")
    with shown(verbose=verbose, first=launched_as_main_process(launcher)):
        options = dict(launcher=launcher, work_dir=work_dir, seed=seed, compile=compile)
        run = _read(config, cfg_options, TEST_SECTIONS, **options)
        run.set("load_from", str(checkpoint), "the command")
        _look_up_name(run)
        run.set("resume", False, "the command")
        if amp:
            run.set("test_cfg.fp16", True, "--amp")
        if show_dir is not None:
            _draw_in(run, show_dir)
        notes = write_predictions_of_unlabelled(run)
        if predictions is not None and notes:
            raise LaunchError(f"--predictions needs labels: {notes[0]}, without that option")
        if predictions is not None:
            save_predictions(run, predictions)
        with start_watched(run.cfg):
            runner = start_run(run, "test", check_testing, notes)
        runner.compile_step("test_step")  # the Runner itself compiles only what train() calls
        started = time.perf_counter()
        with _autocast_to(autocast_dtype()) if amp else nullcontext(), progress_shown(runner):
            metrics = runner.test()
        if out is not None and is_main_process():
            seconds = round(time.perf_counter() - started, 3)
            facts = {"config": run.cfg.filename, "checkpoint": run.cfg.load_from, "seconds": seconds}
            write_json(out, {"metrics": metrics, **facts})
            runner.logger.info("Metrics: %s", out)
        return metrics


def _read(
    config: str | Path,
    cfg_options: dict[str, Any] | None,
    sections: Sequence[str],
    *,
    launcher: str,
    work_dir: str | Path | None,
    seed: int | None,
    compile: bool,
) -> RunConfig:
    """Read the config, require that it has ``sections``, and follow the options that every command has."""
    if launcher == "pytorch":
        stop_with_launcher()
    with uncollected():
        run = read_config(config, cfg_options)
    missing = [name for name in sections if run.cfg.get(name) is None]
    if missing:
        raise ConfigError(f"{run.cfg.filename} lacks {', '.join(missing)}")
    run.set("launcher", launcher, "--launcher")
    if work_dir is not None:
        run.set("work_dir", str(work_dir), "--work-dir")
    if seed is not None:
        run.set("randomness", {**run.cfg.get("randomness", {}), "seed": seed}, "--seed")
    if compile and not run.cfg.get("compile"):
        run.set("compile", True, "--compile")
    return run


def _look_up_name(run: RunConfig) -> None:
    """Start from the weights that the name of a model in ``load_from`` stands for.

    The first process alone looks them up, as they may have to be fetched; see ``_agree_on_start``.
    """
    name = run.cfg.get("load_from")
    if name and is_name(name) and launched_as_main_process(run.cfg.launcher):
        run.set("load_from", str(named_weights(name)), f"the name {name}")


def _train_or_go_back(runner: ResumableRunner) -> Path | None:
    """Train to the end, or return the checkpoint that the NaN guard wants to go on from."""
    try:
        with interruption_recorded(runner), progress_shown(runner), tracked(runner):
            runner.train()
    except GoBack as fault:
        return fault.checkpoint
    return None


def _resumed(run: RunConfig, checkpoint: Path) -> ResumableRunner:
    gc.collect()  # a Runner and its hooks know each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    start_from(run, str(checkpoint), "the NaN guard")
    return build_runner(run.cfg, "training", [])


def _draw_in(run: RunConfig, folder: Path) -> None:
    hooks = enumerate(run.cfg.get("custom_hooks") or [])
    drawing = [index for index, hook in hooks if str(hook["type"]).endswith("PicturesHook")]
    if not drawing:
        raise LaunchError(
            f"--show-dir: {run.cfg.filename} has no hook that draws, e.g. "
            "custom_hooks=[dict(type='mmvisionllama.SegPicturesHook')]"
        )
    for index in drawing:
        run.set(f"custom_hooks.{index}.out_dir", str(folder), "--show-dir")


@contextmanager
def _autocast_to(dtype: torch.dtype) -> Iterator[None]:
    """Let autocast compute in ``dtype`` where nobody says otherwise, as mmengine's test loop does."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    before = torch.get_autocast_dtype(device)
    torch.set_autocast_dtype(device, dtype)
    try:
        yield
    finally:
        torch.set_autocast_dtype(device, before)
