"""Measure ops.py against mmcv's compiled operators: PYTHONPATH=. python docs/figures/measure_operators.py"""

import multiprocessing
import resource
import sys
from collections.abc import Callable
from statistics import median, quantiles
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from mmvisionllama import compat, ops

if not compat.operators_are_compiled():
    raise SystemExit("nothing to compare with: mmcv has no compiled operators here")
import mmcv._ext as compiled
import torch
from mmcv.ops import nms, roi_align

ROUNDS = 15
MODULES = {"compiled": compiled, "ops": SimpleNamespace(**ops.MODULE)}


def boxes(count: int, image: int, largest: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    sides = torch.rand(count, 2, generator=generator) * (largest - 8) + 8
    corners = torch.rand(count, 2, generator=generator) * (image - sides)
    return torch.cat([corners, corners + sides], 1)


def align(
    count: int, image: int, largest: int, channels: int, stride: int, *options: Any
) -> Callable[[], None]:
    """Return a pooling of random boxes; with its backward pass, unless the map is a mask."""
    maps = torch.randn(1, channels, image // stride, image // stride, requires_grad=channels > 1)
    rois = torch.cat([torch.zeros(count, 1), boxes(count, image, largest)], 1)

    def work() -> None:
        pooled = roi_align(maps, rois, options[0], 1 / stride, *options[1:])
        if channels > 1:
            pooled.backward(pooled)

    return work


def suppress(count: int, largest: int) -> Callable[[], None]:
    found, scores = boxes(count, 1024, largest), torch.rand(count)
    return lambda: nms(found, scores, 0.7)


CASES = {
    "RoIAlign 7 x 7, 1,000 boxes, 1024 px, stride 4, 256 channels": align(1000, 1024, 112, 256, 4, 7),
    "the same, two samples a bin": align(1000, 1024, 112, 256, 4, 7, 2),
    "RoIAlign 14 x 14, 128 boxes, the same map": align(128, 1024, 112, 256, 4, 14),
    "RoIAlign 7 x 7, 256 boxes, 64 px, stride 4, 64 channels": align(256, 64, 40, 64, 4, 7),
    "mask targets 28 x 28, 64 boxes, 1024 px (forward alone)": align(64, 1024, 400, 1, 1, 28),
    "NMS, 1,000 boxes": suppress(1000, 200),
    "NMS, 4,000 boxes": suppress(4000, 200),
}


def use(name: str) -> None:
    for operator in ("nms", "roi_align"):
        sys.modules[f"mmcv.ops.{operator}"].ext_module = MODULES[name]


def seconds(work: Callable[[], None]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def peak_mib(name: str, work: Callable[[], None]) -> int:
    """Return what the process grows by at most, a process of its own."""

    def measure(answers: Any) -> None:
        use(name)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work()
        answers.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)

    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=measure, args=(answers,))
    process.start()
    grown = answers.get()
    process.join()
    return grown


def main() -> None:
    torch.set_num_threads(1)
    for title, work in CASES.items():
        times: dict[str, list[float]] = {name: [] for name in MODULES}
        peaks = [peak_mib(name, work) for name in MODULES]
        for _ in range(ROUNDS):
            for name, taken in times.items():
                use(name)
                taken.append(seconds(work))
        ratios = [mine / theirs for theirs, mine in zip(*times.values(), strict=True)]
        low, _, high = quantiles(ratios, n=4)
        theirs, mine = (1000 * median(x) for x in times.values())
        sys.stdout.write(
            f"| {title} | {theirs:.1f}, {mine:.1f} | **{median(ratios):.2f}** | {low:.2f}-{high:.2f} "
            f"| {peaks[0]}, {peaks[1]} |\n"
        )
        sys.stdout.flush()


main()
