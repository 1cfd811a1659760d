"""From the arguments of a command to a run: what ``tools/train.py`` and ``tools/test.py`` hand over to."""

import gc
import os
import socket
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from torch import distributed as dist

from mmvisionllama.checkpoint.manifest import newest_good, verify
from mmvisionllama.checkpoint.reading import CheckpointError, make_mmengine_read_safely
from mmvisionllama.config import ConfigError, load_config
from mmvisionllama.config.origins import write_origins
from mmvisionllama.engine.distributed import (
    LaunchError,
    MeanLossHook,
    fit_to_cpu,
    init_distributed,
    is_alone_or_first,
    processes_of,
)
from mmvisionllama.engine.dry_run import dry_run, without_a_trace
from mmvisionllama.engine.global_batch import share_batch, take_global_batch
from mmvisionllama.engine.nan_guard import GoBack
from mmvisionllama.engine.precision import has_bfloat16, mixed_precision_wrapper
from mmvisionllama.engine.preflight import check_testing, check_training
from mmvisionllama.engine.reports import as_json, replaced_when_whole
from mmvisionllama.engine.resumable import ResumableRunner
from mmvisionllama.engine.schedule_checks import ScheduleCheckHook
from mmvisionllama.engine.start_line import StartLineHook
from mmvisionllama.engine.summary import interruption_recorded

USER_ERRORS = (ConfigError, CheckpointError, LaunchError)


def train(args: Namespace) -> None:
    """Train as ``tools/train.py`` was asked to.

    Args:
        args: config, work_dir, resume, amp, compile, cfg_options, launcher, seed, global_batch, dry_run.
    Raises:
        one of ``USER_ERRORS``, before the work directory exists.
        Stopped: after a signal, when everything is saved.
        Diverged: after NaN or infinity that going back to a checkpoint has not helped against.
    """
    cfg = _load(args, "train_dataloader", "train_cfg", "optim_wrapper")
    if args.amp:
        cfg.optim_wrapper = mixed_precision_wrapper(cfg.optim_wrapper)
    notes = [] if args.global_batch is None else [take_global_batch(cfg, args.global_batch)]
    share_batch(cfg, 1 if cfg.launcher == "none" else processes_of(os.environ))
    notes += _choose_start(cfg, args.resume) if is_alone_or_first(cfg.launcher) else []
    with without_a_trace(cfg) if args.dry_run else nullcontext():
        runner = _start(cfg, check_training, notes)
        if args.dry_run:
            _describe(runner)
            dry_run(runner)
            return
        if is_main_process():
            write_origins(cfg, args.cfg_options, cfg.work_dir)
        while runner is not None:
            _describe(runner)
            back = _train_or_go_back(runner)
            del runner  # before the next one needs its memory
            runner = None if back is None else _resumed(cfg, back)


def _describe(runner: Runner) -> None:
    runner.register_hook(ScheduleCheckHook())
    runner.register_hook(StartLineHook(training=True))


def _train_or_go_back(runner: Runner) -> Path | None:
    """Train to the end, or return the checkpoint that the NaN guard wants to go on from."""
    try:
        with interruption_recorded(runner):
            runner.train()
    except GoBack as fault:
        return fault.checkpoint
    return None


def _resumed(cfg: Config, checkpoint: Path) -> Runner:
    gc.collect()  # a Runner and its hooks know each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    cfg.resume, cfg.load_from = True, str(checkpoint)
    return _build(cfg, [])


def test(args: Namespace) -> dict[str, float]:
    """Evaluate a checkpoint as ``tools/test.py`` was asked to, and return the metrics.

    Args:
        args: config, checkpoint, work_dir, amp, compile, cfg_options, launcher, seed, out, show_dir.
    Raises: one of ``USER_ERRORS``, before the work directory exists.
    """
    if args.out is not None and (args.out.suffix != ".json" or args.out.is_dir()):
        raise LaunchError(f"--out {args.out}: give the name of a .json file")
    cfg = _load(args, "test_dataloader", "test_cfg", "test_evaluator")
    cfg.load_from, cfg.resume = str(args.checkpoint), False
    if args.amp:
        cfg.test_cfg.fp16 = True
        device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.set_autocast_dtype(device, torch.bfloat16 if has_bfloat16() else torch.float16)
    if args.show_dir is not None:
        _draw_in(cfg, args.show_dir)
    runner = _start(cfg, check_testing, [])
    runner.register_hook(StartLineHook(training=False))
    runner._maybe_compile("test_step")  # the Runner itself compiles only what train() calls
    started = time.perf_counter()
    metrics = runner.test()
    if args.out is not None and is_main_process():
        seconds = round(time.perf_counter() - started, 3)
        facts = {"config": cfg.filename, "checkpoint": cfg.load_from, "seconds": seconds}
        with replaced_when_whole(args.out) as path:
            path.write_text(as_json({"metrics": metrics, **facts}))
        runner.logger.info("Metrics: %s", args.out)
    return metrics


def _load(args: Namespace, *sections: str) -> Config:
    """Read the config, require that it has ``sections``, and follow the options that every command has."""
    cfg = load_config(args.config, args.cfg_options)
    missing = [name for name in sections if cfg.get(name) is None]
    if missing:
        raise ConfigError(f"{cfg.filename} lacks {', '.join(missing)}")
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = str(args.work_dir)
    if args.seed is not None:
        cfg.randomness = {**cfg.get("randomness", {}), "seed": args.seed}
    if args.compile and not cfg.get("compile"):
        cfg.compile = True
    return cfg


def _choose_start(cfg: Config, resume: str | None) -> list[str]:
    """Make ``resume`` and ``load_from`` of the config say together where to start; return remarks."""
    if resume is None and cfg.get("resume"):
        resume = cfg.get("load_from") or "auto"
    cfg.resume = resume is not None
    if resume is None:
        return []
    if resume != "auto":
        verdict = verify(resume)
        if verdict.problem:
            raise CheckpointError(f"--resume {verdict}; --resume alone takes the newest good one")
        cfg.load_from = str(verdict.path)
        return []
    choice = newest_good(cfg.work_dir)
    notes = [f"--resume auto: not resumed from {verdict}" for verdict in choice.rejected]
    if choice.path is None:
        # With resume=True, mmengine would continue the optimizer of the pretrained weights in load_from.
        cfg.resume = False
        good = "good " if choice.rejected else ""
        return [*notes, f"--resume auto: {cfg.work_dir} has no {good}checkpoint, so training starts afresh"]
    cfg.load_from = str(choice.path)
    return notes


def _agree_on_start(cfg: Config) -> None:
    """Let every process start from what the first one chose, which has read it."""
    chosen = [(cfg.get("resume"), cfg.get("load_from"))]
    dist.broadcast_object_list(chosen, src=0)
    cfg.resume, cfg.load_from = chosen[0]
    missing = [None] * dist.get_world_size()
    unseen = bool(cfg.resume) and not Path(cfg.load_from).exists()
    dist.all_gather_object(missing, socket.gethostname() if unseen else None)
    if any(missing):
        hosts = ", ".join(dict.fromkeys(x for x in missing if x))
        raise LaunchError(f"{cfg.load_from} is not there on {hosts}: all machines need one work directory")


def _draw_in(cfg: Config, folder: Path) -> None:
    hooks = [x for x in cfg.get("custom_hooks") or [] if str(x["type"]).endswith("PicturesHook")]
    if not hooks:
        raise LaunchError(
            f"--show-dir: {cfg.filename} has no hook that draws, e.g. "
            "custom_hooks=[dict(type='mmvisionllama.SegPicturesHook')]"
        )
    for hook in hooks:
        hook["out_dir"] = str(folder)


def _start(cfg: Config, check: Callable[[Config], list[str]], notes: list[str]) -> Runner:
    """Check, join the other processes and build the Runner, which creates the work directory."""
    make_mmengine_read_safely()
    # The other processes wait for the first one in init_distributed, and end with it if it fails.
    if is_alone_or_first(cfg.launcher):
        notes = notes + check(cfg)
    init_distributed(cfg.launcher, cfg.get("env_cfg", {}).get("dist_cfg", {}))
    if dist.is_initialized():
        _agree_on_start(cfg)
        if not torch.cuda.is_available():
            notes = notes + fit_to_cpu(cfg)
    return _build(cfg, notes)


def _build(cfg: Config, notes: list[str]) -> Runner:
    runner = ResumableRunner.from_cfg(cfg)
    if dist.is_initialized():
        runner.register_hook(MeanLossHook())
    for note in notes:
        runner.logger.info(note)
    return runner
