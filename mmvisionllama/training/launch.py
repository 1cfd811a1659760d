"""train() and test(): from a config and options to a finished run."""

import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from torch import distributed as dist

from mmvisionllama.checkpoint.manifest import meta_of, newest_good, verify
from mmvisionllama.checkpoint.names import is_name, named_weights
from mmvisionllama.checkpoint.run_identity import checkpoint_folder
from mmvisionllama.checks.run import check_testing, check_training
from mmvisionllama.config import RunConfig, read_config
from mmvisionllama.config.global_batch import share_batch, take_global_batch
from mmvisionllama.errors import CheckpointError, ConfigError, GoBack, LaunchError
from mmvisionllama.fault_tolerance.folder_lock import locked
from mmvisionllama.fault_tolerance.launcher_death import stop_with_launcher
from mmvisionllama.fault_tolerance.watchdog import Watchdog
from mmvisionllama.files import write_json
from mmvisionllama.reports.progress import Status, display
from mmvisionllama.reports.report_hook import validations
from mmvisionllama.reports.run_progress import progress_shown
from mmvisionllama.reports.screen import screen_of, shown
from mmvisionllama.reports.summary import interruption_recorded, mark_killed
from mmvisionllama.reports.tracking import tracked, trackers_with
from mmvisionllama.runner_parts import unwrapped
from mmvisionllama.training.batch_auto import BATCH, batch_norms, fit_batch
from mmvisionllama.training.batch_search import present_room
from mmvisionllama.training.checkpoint_hook import require_resumable
from mmvisionllama.training.distributed import (
    fit_to_cpu,
    init_distributed,
    launched_as_main_process,
    processes_of,
    processes_of_machine,
    rank_of,
    timeout_of,
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
from mmvisionllama.training.run_folder import (
    are_own,
    identified,
    is_begun_by_this_job,
    move_aside,
    out_dir_of,
    require_unused,
)
from mmvisionllama.training.runner import ResumableRunner
from mmvisionllama.training.saved_predictions import save_predictions
from mmvisionllama.training.scale_plan import plan_lines, take_share
from mmvisionllama.training.trial import make_trial
from mmvisionllama.training.unlabelled import write_predictions_of_unlabelled

_MOST_NOTES = 8  # on the screen
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
            with _start_watched(run.cfg):
                takes_over, claim = False, list
                if launched_as_main_process(launcher):
                    if not dry_run:
                        notes += _hold(run.cfg, held, only_there=True)
                    chosen, takes_over = _choose_start(run, resume, overwrite, any_folder=dry_run)
                    notes += chosen
            if batch == "auto" and launched_as_main_process(launcher):
                notes += _fit_batch(run, processes)
            with _start_watched(run.cfg):
                if folder is not None:
                    run.set("work_dir", str(folder), "--dry-run")
                    run.set("track", None, "--dry-run")
                else:
                    claim = partial(_claim, run.cfg, held, takes_over=takes_over)
                planned = deepcopy(run.cfg)
                if gpus is not None:
                    take_share(run, gpus)
                check = partial(check_training, processes=1 if gpus else processes)
                runner = _start(run, "training", check, notes, claim)
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
        with _start_watched(run.cfg):
            runner = _start(run, "training", check_training, [])
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
            return make_dry_run(_build(trial.cfg, "training", []), DryRunHook(_FITTED_STEPS))

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
        with _start_watched(run.cfg):
            runner = _start(run, "test", check_testing, notes)
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


def _start_watched(cfg: Config) -> AbstractContextManager[None]:
    """Watch what comes before a run: a download or a check of data that hangs ends with a report."""
    timeout = timeout_of(cfg.get("env_cfg", {}).get("dist_cfg", {}))
    alone = cfg.launcher == "none"
    member = (0, 1) if alone else (rank_of(os.environ), processes_of(os.environ))
    logger = logging.getLogger("mmvisionllama.start")
    return Watchdog(timeout, lambda: "before the first step", logger, starting=member).watching()


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
    _start_from(run, str(checkpoint), "the NaN guard")
    return _build(run.cfg, "training", [])


def _choose_start(
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
        _start_from(run, str(verdict.path), "--resume")
        if not identified(verdict.path, meta_of(verdict.path), *folders)[1]:
            _require_one(overwrite)
            return [], False
    else:
        _require_one(overwrite)
        choice = newest_good(*folders)
        notes = [f"--resume auto: not resumed from {verdict}" for verdict in choice.rejected]
        if choice.path is not None:
            _start_from(run, str(choice.path), "--resume")
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


def _hold(cfg: Config, held: ExitStack, *, only_there: bool = False) -> list[str]:
    """Lock the folders of a run, at first only those that exist: a start that fails leaves no trace."""
    folders = {Path(cfg.work_dir), checkpoint_folder(cfg.work_dir, out_dir_of(cfg))}
    found = [held.enter_context(locked(x)) for x in sorted(folders) if x.is_dir() or not only_there]
    problems = [problem for problem in found if problem is not None]
    if found and not problems:
        mark_killed(cfg.work_dir)  # an earlier run there that still says it is running
    return problems


def _claim(cfg: Config, held: ExitStack, *, takes_over: bool) -> list[str]:
    """Take the folders of a run for it, as the first process; return remarks."""
    notes = _hold(cfg, held)
    return notes + (move_aside(cfg.work_dir, out_dir_of(cfg)) if takes_over else [])


def _start_from(run: RunConfig, checkpoint: str | None, origin: str, *, resume: bool = True) -> None:
    run.set("resume", resume, origin)
    run.set("load_from", checkpoint, origin)


def _agree_on_start(run: RunConfig) -> None:
    """Let every process start from what the first one chose, which has read it, with its batch."""
    keys = (BATCH, "auto_scale_lr")
    chosen = [(run.cfg.get("resume"), run.cfg.get("load_from"), [_value_at(run.cfg, x) for x in keys])]
    dist.broadcast_object_list(chosen, src=0)
    resume, load_from, values = chosen[0]
    if not is_main_process():
        _start_from(run, load_from, "the first process", resume=bool(resume))
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


def _start(
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
    if not gc.get_freeze_count():
        # mmengine collects garbage for each data set; to go through all imports takes 0.3 s each time.
        gc.freeze()
    # The other processes wait for the first one in init_distributed, and end with it if it fails.
    if launched_as_main_process(run.cfg.launcher):
        with display(screen_of(logging.getLogger()), lambda: Status("checking model and data")):
            notes = notes + check(run.cfg)
    init_distributed(run.cfg.launcher, run.cfg.get("env_cfg", {}).get("dist_cfg", {}))
    if is_main_process():
        notes = notes + claim()
    if dist.is_initialized():
        _agree_on_start(run)
        if not torch.cuda.is_available():
            with run.changed_by("several processes without GPUs") as cfg:
                notes = notes + fit_to_cpu(cfg)
    return _build(run.cfg, command, notes)


def _build(cfg: Config, command: str, notes: list[str]) -> ResumableRunner:
    runner = ResumableRunner.from_cfg(cfg)
    for hook in hooks_by(command, runner):
        runner.register_hook(hook)
    for number, note in enumerate(notes):
        runner.logger.info(f"Noticed: {note}", extra={"in_log_alone": number >= _MOST_NOTES})
    if len(notes) > _MOST_NOTES:
        runner.logger.info(f"Noticed: {len(notes) - _MOST_NOTES} more, which the log has")
    return runner


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
