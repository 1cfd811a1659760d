"""The search for the largest batch, with memories of a known size."""

import pytest
import torch

from mmvisionllama.training.batch_search import Room, free_memory, largest_batch, present_room
from mmvisionllama.training.dry_run import DryRun

GPU = Room(1000, by_trying=True)


def run(peak: int = 0, seconds: float = 1.0, gradients: int = 0, base: int = 0) -> DryRun:
    return DryRun(0.5, seconds, 10, peak, dict(weights=1, gradients=gradients), base=base)


class Memory:
    """A device on which every image takes so many bytes, beside what is there anyway."""

    def __init__(self, size: int, each: int = 1, base: int = 0) -> None:
        self.size, self.each, self.base = size, each, base
        self.asked: list[int] = []

    def measure(self, batch: int) -> DryRun:
        self.asked.append(batch)
        peak = self.base + self.each * batch
        if peak > self.size:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(peak, base=self.base)


@pytest.mark.parametrize("count", [1, 12, 720, 1024, 97])
@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 8, 31, 33, 90, 100, 5000])
def test_a_gpu_gets_the_largest_divisor_that_it_takes(count: int, limit: int) -> None:
    divisors = [x for x in range(1, count + 1) if count % x == 0]
    memory = Memory(limit)
    found = largest_batch(divisors, memory.measure, Room(10**9, by_trying=True))
    fitting = [x for x in divisors if x <= limit]
    assert (found and found[0]) == (fitting[-1] if fitting else None)
    assert len(memory.asked) <= 2 * len(divisors).bit_length() + 10
    assert len(memory.asked) == len({*memory.asked})


def test_a_cpu_is_never_asked_for_more_than_it_has() -> None:
    room = Room(1000, by_trying=False)
    for each, base in ((10, 100), (1, 0), (37, 500), (200, 0)):
        memory = Memory(1000, each, base)  # an error here would be the end of the process
        found = largest_batch(range(1, 1001), memory.measure, room)
        assert max(memory.asked) == found[0] <= (1000 - base) // each
        assert found[0] > (1000 - base) // each * 0.9


def test_what_was_measured_must_leave_the_room_that_others_need() -> None:
    assert largest_batch([1, 2, 4], lambda x: run(peak=300 * x), GPU)[0] == 2
    buckets = Room(1000, by_trying=True, with_buckets=True)
    assert largest_batch([1, 2, 4], lambda x: run(peak=300 * x, gradients=500), buckets)[0] == 1
    assert largest_batch([1], lambda x: run(peak=2000), GPU) is None


def test_a_batch_that_is_no_faster_does_not_pay() -> None:
    found = largest_batch([2, 4, 8, 16], lambda x: run(seconds=max(x, 8) / 8), GPU, pays=1.1)
    assert found[0] == 8


def test_an_error_that_is_not_about_memory_is_raised() -> None:
    def fails(batch: int) -> DryRun:
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        largest_batch([1], fails, GPU)

    def full(batch: int) -> DryRun:
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")

    assert largest_batch([1], full, GPU) is None


def test_the_room_of_this_machine_is_shared_by_its_processes() -> None:
    assert free_memory() > 0
    one, four = present_room(), present_room(4)
    assert 0 < four.size < one.size
    assert one.by_trying == torch.cuda.is_available()
