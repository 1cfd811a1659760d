"""Measure training steps of one process, of DDP and of FSDP in turn, on CPUs."""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed as dist
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from mmvisionllama.benchmark.model_specs import ModelSpec
from mmvisionllama.benchmark.worker import Setting, build_spec, forward_backbone, make_step, quartiles
from mmvisionllama.errors import LaunchError

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
        return quartiles([self.processes * alone / together for alone, together in pairs])


def measure_scaling(
    spec: ModelSpec, *, processes: int, size: int, batch: int, rounds: int, warmup: int = 2
) -> Scaling:
    """Make a training step in each way in turn, on CPUs with one thread for every process.

    Raises:
        LaunchError: for fewer than two processes or one round.
    """
    if processes < 2 or rounds < 1:
        raise LaunchError(f"need at least two processes and one round, got {processes} and {rounds}")
    setting = Setting("train", (size, size), batch, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        args = (processes, folder, spec, setting, rounds, warmup)
        multiprocessing.start_processes(_work, args, nprocs=processes, start_method="fork")
        return Scaling(processes, batch, torch.load(Path(folder, "seconds")))


def _work(
    rank: int,
    processes: int,
    folder: str,
    spec: ModelSpec,
    setting: Setting,
    rounds: int,
    warmup: int,
) -> None:
    torch.set_num_threads(setting.threads)
    os.environ["LOCAL_RANK"] = str(rank)
    store = dist.FileStore(str(Path(folder, "store")), processes)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=processes)
    steps = {
        way: make_step(_wrapped(way, build_spec(spec, "cpu")), forward_backbone, setting) for way in WAYS
    }
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(warmup + rounds):
        for way, step in steps.items():
            dist.barrier()
            start = time.perf_counter()
            if rank == 0 or way != WAYS[0]:
                step()
            if way != WAYS[0]:
                dist.barrier()  # a step ends when it has ended in all processes
            if turn >= warmup:
                seconds[way].append(time.perf_counter() - start)
    if rank == 0:
        torch.save(seconds, Path(folder, "seconds"))
    dist.barrier()
    dist.destroy_process_group()


def _wrapped(way: str, model: nn.Module) -> nn.Module:
    if way == "DDP":
        return DistributedDataParallel(model)
    if way == "FSDP":
        from mmvisionllama.training.sharding import ShardedDataParallel

        sharded = ShardedDataParallel(model)
        sharded.shard()
        return sharded
    return model
