"""Run a function in several processes of one training, on CPUs."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist


def in_processes(count: int, function: Callable[..., Any], *args: Any, grouped: bool = True) -> list[Any]:
    """Return what ``function(rank, *args)`` returns in each of ``count`` processes that can talk.

    Args:
        grouped: Whether they form a process group before; else ``function`` does, or does not.
    Raises: RuntimeError: if one of them fails, with its message.
    """
    import_ahead()
    context = multiprocessing.get_context("fork")  # importing everything anew would take seconds
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=_work, args=(rank, count, folder, function, args, grouped))
            for rank in range(count)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        failed = [rank for rank, process in enumerate(processes) if process.exitcode != 0]
        for process in processes:
            process.kill()
        if failed:
            texts = [x.read_text() for x in sorted(Path(folder).glob("*.error"))]
            raise RuntimeError(f"processes {failed} failed: {texts}")
        return [torch.load(Path(folder, f"{rank}.result"), weights_only=False) for rank in range(count)]


@cache
def import_ahead() -> None:
    """Import what every training imports late, once for all processes that are forked from this one."""
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401
    from mmengine.runner import runner

    runner.collect_env()  # torchvision and setuptools; it keeps what it has found, too


def _work(rank: int, count: int, folder: str, function: Callable[..., Any], args: Any, grouped: bool) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
    if grouped:
        store, timeout = dist.FileStore(str(Path(folder, "store")), count), timedelta(seconds=60)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=timeout)
    try:
        torch.save(function(rank, *args), Path(folder, f"{rank}.result"))
    except BaseException as error:
        Path(folder, f"{rank}.error").write_text(f"{type(error).__name__}: {error}")
        raise
    if grouped:
        dist.barrier()
        dist.destroy_process_group()
