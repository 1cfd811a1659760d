"""From the arguments of a command to a run: what ``tools/train.py`` and ``tools/test.py`` hand over to."""

import os
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from torch import distributed as dist

from mmvisionllama.checkpoint.reading import CheckpointError, make_mmengine_read_safely, require_file
from mmvisionllama.config import ConfigError, load_config
from mmvisionllama.engine.distributed import (
    LaunchError,
    MeanLossHook,
    fit_to_cpu,
    init_distributed,
    rank_of,
)
from mmvisionllama.engine.precision import has_bfloat16, mixed_precision_wrapper
from mmvisionllama.engine.preflight import check_testing, check_training
from mmvisionllama.engine.reports import as_json, replaced_when_whole
from mmvisionllama.engine.start_line import StartLineHook
from mmvisionllama.engine.summary import interruption_recorded

USER_ERRORS = (ConfigError, CheckpointError, LaunchError)


def train(args: Namespace) -> None:
    """Train as ``tools/train.py`` was asked to.

    Args:
        args: config, work_dir, resume, amp, compile, cfg_options, launcher, seed.
    Raises: one of ``USER_ERRORS``, before the work directory exists.
    """
    cfg = _load(args, "train_dataloader", "train_cfg", "optim_wrapper")
    if args.amp:
        cfg.optim_wrapper = mixed_precision_wrapper(cfg.optim_wrapper)
    notes = _choose_start(cfg, args.resume)
    runner = _start(cfg, check_training, notes)
    runner.register_hook(StartLineHook(training=True))
    with interruption_recorded(runner):
        runner.train()


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
        cfg.load_from = str(require_file(resume))
        return []
    pointer = Path(cfg.work_dir) / "last_checkpoint"
    if not pointer.is_file():
        # With resume=True, mmengine would continue the optimizer of the pretrained weights in load_from.
        cfg.resume = False
        return [f"--resume auto: {cfg.work_dir} has no checkpoint, so training starts afresh"]
    latest = Path(pointer.read_text().strip())
    # A work directory that was moved names its checkpoints at their old place.
    cfg.load_from = str(latest if latest.is_file() else require_file(pointer.with_name(latest.name)))
    return []


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
    if rank_of(os.environ) == 0 or cfg.launcher == "none":
        notes = notes + check(cfg)
    init_distributed(cfg.launcher, cfg.get("env_cfg", {}).get("dist_cfg", {}))
    if dist.is_initialized() and not torch.cuda.is_available():
        notes = notes + fit_to_cpu(cfg)
    runner = Runner.from_cfg(cfg)
    if dist.is_initialized():
        runner.register_hook(MeanLossHook())
    for note in notes:
        runner.logger.info(note)
    return runner
