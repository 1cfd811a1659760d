"""Kernels of a training step, by time."""

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

from mmvisionllama.benchmark.gpu.jobs import Record
from mmvisionllama.benchmark.gpu.step_speed import training_step
from mmvisionllama.benchmark.gpu.subjects import subjects

_TOP = 15


def profile_step(name: str, style: str, *, scale: str, device: str) -> Record:
    """List the kernels of our step of a subject that take most of its time, on a CPU its operators."""
    subject = next(x for x in subjects(scale) if x.name == name)
    _, step, _ = training_step(subject, subject.contestants[0], style, device)
    for _ in range(3):
        step()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as profiled:
        for _ in range(3):
            step()
    events = profiled.key_averages()
    time_of: Callable = lambda event: (  # noqa: E731
        event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
    )
    if device == "cuda":
        events = [x for x in events if str(x.device_type).endswith("CUDA")]
    total = sum(map(time_of, events))
    rows = [
        dict(kernel=event.key, calls=event.count / 3, ms=time_of(event) / 3000, share=time_of(event) / total)
        for event in sorted(events, key=time_of, reverse=True)[:_TOP]
    ]
    return dict(subject=name, style=style, kernels=rows, total_ms=total / 3000)
