"""From the arguments of a command to samples, and to cached latents: what the tools hand over to."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.logging import print_log
from torch import distributed as dist

from mmvisionllama.checkpoint import make_mmengine_read_safely
from mmvisionllama.config import ConfigError, load_config
from mmvisionllama.engine.distributed import LaunchError, init_distributed, is_alone_or_first
from mmvisionllama.engine.pictures import class_name
from mmvisionllama.engine.progress import progress
from mmvisionllama.engine.reports import write_png as write_figure
from mmvisionllama.evaluation import GRID, open_images, write_npz, write_png
from mmvisionllama.generation.caching import options_for, prepare_caching
from mmvisionllama.generation.pictures import draw_grid
from mmvisionllama.generation.sample_folder import SampleFolder
from mmvisionllama.generation.sampling import Sampling, batches, draw, prepare_sampling

_IN_GRID = 100
_NPZ = "samples.npz"  # samples.json describes it as it does the folder


def sample(args: Namespace) -> None:
    """Draw samples as ``tools/sample.py`` was asked to; what is there already is not drawn again.

    Args:
        args: config, out, npz, cfg_options, launcher, and those of :func:`prepare_sampling`.

    Raises: ConfigError, CheckpointError or LaunchError, before anything is written.
    """
    cfg = _load(args)
    sampling = _or_launch_error(prepare_sampling, cfg, args)
    folder = SampleFolder(args.out or Path(cfg.work_dir, "samples"), sampling.labels)
    # The other processes wait for the first one in _join, and end with it if it fails.
    if is_alone_or_first(args.launcher):
        _or_launch_error(folder.claim, sampling.identity, sampling.info)
        print_log(sampling.remark, "current")
        print_log(f"{folder.path}: {len(folder.names):,} samples, {sampling.how}", "current")
    device = _join(cfg)
    missing = _of_first(folder.missing)
    work = batches(missing, len(folder.names), args.batch_size)[get_rank() :: get_world_size()]
    mine = len({index for batch in work for index in batch}.intersection(missing))
    with _shown_progress("samples", mine) as advance:
        for count in draw(sampling, work, missing, device, partial(write_png, folder.path)):
            advance(count)
    barrier()
    if is_main_process():
        _finish(folder, sampling, npz=args.npz)


def cache_latents(args: Namespace) -> None:
    """Encode images as ``tools/cache_latents.py`` was asked to; shards that are there are not made again.

    Args:
        args: config, cfg_options, launcher, and those of :func:`prepare_caching`.

    Raises: ConfigError, CheckpointError or LaunchError, before anything is written.
    """
    cfg = _load(args)
    if cfg.get("train_dataloader") is None:
        raise ConfigError(f"{cfg.filename} lacks train_dataloader, whose images would be encoded")
    caching = _or_launch_error(prepare_caching, cfg, args)
    if is_alone_or_first(args.launcher):
        _or_launch_error(caching.claim)
    device = _join(cfg)
    work = _of_first(caching.missing)[get_rank() :: get_world_size()]
    with _shown_progress("images", sum(len(caching.images_of(shard)) for shard in work)) as advance:
        for count in caching.write(work, device, args.batch_size):
            advance(count)
    barrier()
    if is_main_process():
        _require_all(caching.out, caching.missing(), "shards")
        print_log(f"Done. Train on them by --cfg-options {' '.join(options_for(caching.out))}", "current")


def _finish(folder: SampleFolder, sampling: Sampling, *, npz: bool) -> None:
    """Draw a grid, and put all samples into one file if that was asked for."""
    _require_all(folder.path, folder.missing(), "samples")
    images = open_images(folder.path)
    first = [
        {"image": image, "title": class_name(sampling.class_names, label)}
        for image, label in zip(next(images.batches(_IN_GRID)), sampling.labels, strict=False)
    ]
    write_figure(draw_grid(first), folder.path / GRID)
    if npz:
        write_npz(folder.path / _NPZ, images)
    print_log(f"Done: {folder.path / (_NPZ if npz else GRID)}", "current")


def _require_all(folder: Path, missing: Sequence[int], what: str) -> None:
    if missing:
        raise LaunchError(
            f"{folder} lacks {len(missing):,} {what} that were made: all machines need one folder"
        )


def _shown_progress(what: str, count: int) -> AbstractContextManager[Callable[[int], None]]:
    """Show the progress of the first process, whose share is that of the others too."""
    processes = get_world_size()
    what = what if processes == 1 else f"{what} of each of {processes} processes"
    return progress(what, count, shown=is_main_process())


def _load(args: Namespace) -> Config:
    make_mmengine_read_safely()
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    return cfg


def _or_launch_error(function: Callable, *args: Any) -> Any:
    """Call a function whose ValueErrors are about the options of the command."""
    try:
        return function(*args)
    except ValueError as error:
        # Those of configs and checkpoints have classes of their own.
        if type(error) is not ValueError:
            raise
        raise LaunchError(str(error)) from error


def _join(cfg: Config) -> torch.device:
    """Join the other processes and return the device of this one."""
    init_distributed(cfg.launcher, cfg.get("env_cfg", {}).get("dist_cfg", {}))
    return (
        torch.device("cuda", torch.cuda.current_device())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def _of_first(function: Callable[[], Any]) -> Any:
    """Return what a function gives in the first process."""
    holder = [function() if is_main_process() else None]
    if dist.is_initialized():
        dist.broadcast_object_list(holder, src=0)
    return holder[0]
