"""Take turns between one process and several together, so that a machine that drifts is fair to all."""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from mmvisionllama import compat
from mmvisionllama.benchmark.specs import Subject
from mmvisionllama.benchmark.worker import build_subject, forward_backbone, make_step

WAYS = ("one process", "DDP", "FSDP")


@dataclass(frozen=True)
class Scaling:
    """Seconds of each step, by how it was made; every process computes ``batch`` images in it.

    Args:
        seconds: For every one of ``WAYS``, the steps in the order of the rounds.
    """

    processes: int
    batch: int
    seconds: dict[str, list[float]]

    def images_per_second(self, way: str) -> float:
        """Return the rate of all processes together, at the median step."""
        processes = 1 if way == WAYS[0] else self.processes
        return processes * self.batch / statistics.median(self.seconds[way])

    def speed_up(self, way: str) -> tuple[float, float, float]:
        """Return the quartiles over rounds of the rate over that of one process in the same round."""
        pairs = zip(self.seconds[WAYS[0]], self.seconds[way], strict=True)
        ratios = [self.processes * alone / together for alone, together in pairs]
        ratios *= 2 if len(ratios) == 1 else 1
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return low, median, high


def measure_scaling(
    subject: Subject, *, processes: int, size: int, batch: int, rounds: int, warmup: int = 2
) -> Scaling:
    """Make a training step in each way in turn, on CPUs with one thread for every process.

    Raises:
        ValueError: for fewer than two processes or one round.
    """
    if processes < 2 or rounds < 1:
        raise ValueError(f"need at least two processes and one round, got {processes} and {rounds}")
    setting = dict(mode="train", size=(size, size), batch=batch, device="cpu", compile=False, amp=False)
    with tempfile.TemporaryDirectory() as folder:
        args = (processes, folder, subject, setting, rounds, warmup)
        multiprocessing.start_processes(_work, args, nprocs=processes, start_method="fork")
        return Scaling(processes, batch, torch.load(Path(folder, "seconds")))


def _work(
    rank: int,
    processes: int,
    folder: str,
    subject: Subject,
    setting: dict[str, Any],
    rounds: int,
    warmup: int,
) -> None:
    compat.prepare()
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    store = dist.FileStore(str(Path(folder, "store")), processes)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=processes)
    steps = {
        way: make_step(_wrapped(way, build_subject(subject, "cpu"), subject), forward_backbone, setting)
        for way in WAYS
    }
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(warmup + rounds):
        for way, step in steps.items():
            dist.barrier()
            start = time.perf_counter()
            if rank == 0 or way != WAYS[0]:
                step()
            if way != WAYS[0]:
                dist.barrier()  # a step has ended when it has in all processes
            if turn >= warmup:
                seconds[way].append(time.perf_counter() - start)
    if rank == 0:
        torch.save(seconds, Path(folder, "seconds"))
    dist.barrier()
    dist.destroy_process_group()


def _wrapped(way: str, model: nn.Module, subject: Subject) -> nn.Module:
    if way == "DDP":
        return DistributedDataParallel(model)
    if way == "FSDP":
        from mmvisionllama.engine.sharding import ShardedDataParallel

        sharded = ShardedDataParallel(model)
        sharded.shard()
        return sharded
    return model
