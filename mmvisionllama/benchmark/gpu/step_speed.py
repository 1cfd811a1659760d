"""Images a second, MFU and peak memory of a training step."""

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmvisionllama.benchmark.gpu.jobs import Record
from mmvisionllama.benchmark.gpu.subjects import Contestant, Subject, subjects
from mmvisionllama.benchmark.worker import Setting, quartiles
from mmvisionllama.reports.flops import peak_of
from mmvisionllama.reports.speed import peak_memory, reset_peak_memory

# Options of a step by its name: what torch.compile gets, None where nothing is compiled; and of AdamW.
STYLES: dict[str, tuple[Mapping[str, Any] | None, Mapping[str, Any]]] = {
    "eager": (None, dict(fused=True)),
    "compiled": ({}, dict(fused=True)),
    "compiled, AdamW not fused": ({}, dict(foreach=True)),
    'compiled, mode="reduce-overhead"': (dict(mode="reduce-overhead"), dict(fused=True)),
    "compiled, AdamW capturable": ({}, dict(fused=True, capturable=True)),
    "traced": (dict(backend="aot_eager"), dict(fused=True)),
}
OURS = ("VisionLLaMA", "PyramidVisionLLaMA", "DiT-LLaMA")
_LEAST_FLOPS = 2  # images that FLOPs are counted of


def measure_subject(
    name: str, styles: list[str], *, scale: str, device: str, seconds: float, ours_only: bool = False
) -> list[Record]:
    """Measure all contestants of a subject in each style, one after another.

    Args:
        seconds: That each is timed for, after its first steps; 0: only the first steps, which fill the
            compiler's cache.
    """
    subject = next(x for x in subjects(scale) if x.name == name)
    found = []
    for style in styles:
        for contestant in subject.contestants[: 1 if ours_only else None]:
            record = dict(subject=name, contestant=contestant.name, style=style, batch=subject.batch)
            try:
                record |= _measure(subject, contestant, style, device, seconds)
            except Exception as error:  # the peer of another library must not end what follows
                record["error"] = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
            torch.compiler.reset()
            gc.collect()
            if device == "cuda":
                torch.cuda.empty_cache()
            found.append(record)
    return found


def training_step(
    subject: Subject, contestant: Contestant, style: str, device: str
) -> tuple[nn.Module, Callable[[], None], float]:
    """Give a model, its step under bfloat16 autocast, and the FLOPs of a step for each image."""
    compiling, adam = STYLES[style]
    torch.manual_seed(0)
    model = contestant.build().to(device).train()
    options = dict(device=device, threads=torch.get_num_threads(), amp=True)
    sides = (subject.size, subject.size)
    few = contestant.loss(model, Setting("train", sides, _LEAST_FLOPS, **options))
    precision = torch.autocast(device, torch.bfloat16)
    with FlopCounterMode(display=False) as counter:
        with precision:
            loss = few()
        loss.backward()
    model.zero_grad(set_to_none=True)
    if compiling is not None:
        contestant.compiled(model).compile(**compiling)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, **adam)
    compute = contestant.loss(model, Setting("train", sides, subject.batch, **options))

    def step() -> None:
        with precision:
            loss = compute()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return model, step, counter.get_total_flops() / _LEAST_FLOPS


def _measure(subject: Subject, contestant: Contestant, style: str, device: str, seconds: float) -> Record:
    reset_peak_memory()
    model, step, flops = training_step(subject, contestant, style, device)
    start = time.perf_counter()
    step()
    _finish(device)
    first = time.perf_counter() - start
    for _ in range(2):
        step()
    _finish(device)
    found = dict(
        parameters=sum(x.numel() for x in model.parameters()),
        first_seconds=round(first, 2),
        flops_of_image=flops,
        peak_bytes=peak_memory(),
    )
    if seconds:
        rates = [subject.batch / x for x in _timed(step, device, seconds)]
        low, rate, high = quartiles(rates)
        peak = peak_of(torch.cuda.get_device_name()) if device == "cuda" else None
        mfu = None if peak is None else rate * flops / (1e12 * peak.half)
        found |= dict(images_per_second=rate, rate_quartiles=(low, high), mfu=mfu)
    return found


def _timed(step: Callable[[], None], device: str, seconds: float) -> list[float]:
    """Give the seconds of a step in rounds, each long enough that waiting for its end does not count."""
    start = time.perf_counter()
    step()
    _finish(device)
    count = max(1, round(seconds / 10 / (time.perf_counter() - start)))
    found, until = [], time.perf_counter() + seconds
    while not found or time.perf_counter() < until:
        start = time.perf_counter()
        for _ in range(count):
            step()
        _finish(device)
        found.append((time.perf_counter() - start) / count)
    return found


def worst(records: list[Record]) -> Record | None:
    """Return the record of ours that makes the fewest FLOPs a second, compiled if there is one."""
    ours = [x for x in records if x.get("images_per_second") and x["contestant"] in OURS]
    ours = [x for x in ours if x["style"] != "eager"] or ours
    return min(ours, key=lambda x: x["images_per_second"] * x["flops_of_image"], default=None)


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
