"""Collective operations of a run's processes on their CPUs, beside those of the training."""

from datetime import timedelta
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size
from torch import distributed as dist


class CPUCollectives:
    """What the processes of a run tell each other beside the training, through their CPUs alone.

    Args:
        timeout: Seconds after which one that does not answer is an error.
    """

    def __init__(self, timeout: float) -> None:
        self._group = None
        if get_world_size() > 1:
            self._group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
        self._pending: tuple[Any, torch.Tensor] | None = None

    def highest(self, number: int) -> int:
        """Return the highest number of any process, at once."""
        if self._group is None:
            return number
        value = torch.tensor(number)
        dist.all_reduce(value, dist.ReduceOp.MAX, group=self._group)
        return int(value)

    def highest_of_last(self, number: int) -> int:
        """Return the highest of the numbers that the processes gave to the previous call.

        It travels while the next step is computed, so nobody waits for it.
        """
        if self._group is None:
            return number
        last = 0
        if self._pending is not None:
            work, value = self._pending
            work.wait()
            last = int(value)
        value = torch.tensor(number)
        work = dist.all_reduce(value, dist.ReduceOp.MAX, group=self._group, async_op=True)
        self._pending = work, value
        return last

    def gathered(self, thing: Any) -> list[Any]:
        """Return what every process has, by rank; complete on the first one alone."""
        if self._group is None:
            return [thing]
        found = [None] * get_world_size() if get_rank() == 0 else None
        dist.gather_object(thing, found, dst=0, group=self._group)
        return found or [thing]

    def of_first(self, thing: Any) -> Any:
        """Return what the first process has."""
        if self._group is None:
            return thing
        holder = [thing]
        dist.broadcast_object_list(holder, src=0, group=self._group)
        return holder[0]
