"""FLOPs of a training step, counted once, and the peak FLOP/s of GPUs, of which they are the utilisation."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.distributed.tensor import DTensor
from torch.utils.flop_counter import FlopCounterMode

from mmvisionllama.fault_tolerance.random_state import capture_random_state, restore_random_state
from mmvisionllama.host_internals import not_timed
from mmvisionllama.reports.start_report import images_of_step
from mmvisionllama.runner_parts import optim_wrappers, unwrapped

_FLOPS = "flops_of_image"
_IMAGES = 2  # the least that batch norm takes


class Peak(NamedTuple):
    """Dense matrix products of a GPU in 10^12 FLOP/s; float16 and bfloat16 accumulate in float32."""

    half: float
    tf32: float
    float32: float


# By torch's name of the device, whole. From the vendors' data sheets, without the factor 2 for sparsity.
# Where a name stands for several clocks or a part of a GPU (laptops, MIG, vGPU) there is no entry.
PEAKS = {
    r"(Tesla|NVIDIA) V100-SXM[23]-\d+GB(-LS)?": Peak(125, 15.7, 15.7),
    r"(Tesla|NVIDIA) V100-PCIE-\d+GB": Peak(112, 14, 14),
    r"(Tesla|NVIDIA) T4": Peak(65, 8.1, 8.1),
    r"NVIDIA A100.*-[48]0GB|NVIDIA A100 80GB PCIe": Peak(312, 156, 19.5),
    r"NVIDIA A10": Peak(125, 62.5, 31.2),
    r"NVIDIA A30": Peak(165, 82, 10.3),
    r"NVIDIA A40": Peak(149.7, 74.8, 37.4),
    r"NVIDIA RTX A6000": Peak(154.8, 77.4, 38.7),
    r"NVIDIA L4": Peak(121, 60, 30.3),
    r"NVIDIA L40": Peak(181, 90.5, 90.5),
    r"NVIDIA L40S": Peak(362, 183, 91.6),
    r"NVIDIA RTX 6000 Ada Generation": Peak(364.2, 182.1, 91.1),
    r"NVIDIA H100 80GB HBM3": Peak(989.4, 494.7, 66.9),
    r"NVIDIA H100 PCIe": Peak(756, 378, 51),
    r"NVIDIA H100 NVL": Peak(835.5, 417.5, 60),
    r"NVIDIA H200": Peak(989.5, 494.5, 67),
    r"NVIDIA H200 NVL": Peak(835.5, 417.5, 60),
    r"NVIDIA B200": Peak(2250, 1100, 75),
    r"NVIDIA GeForce RTX 3090": Peak(71, 35.6, 35.6),
    r"NVIDIA GeForce RTX 4090": Peak(165.2, 82.6, 82.6),
    r"NVIDIA GeForce RTX 5090": Peak(209.5, 104.8, 104.8),
    r"AMD Instinct MI300X.*": Peak(1307.4, 653.7, 163.4),
}


class FlopsHook(Hook):
    """Count the FLOPs of an image at the first step of a training on a GPU whose peak is known.

    One more pass of two images, forward and backward; nothing of it stays, nor is it in any measured time.
    """

    def __init__(self) -> None:
        self._is_counted = False

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if self._is_counted:
            return
        self._is_counted = True
        runner.message_hub.update_info(_FLOPS, None)  # a checkpoint may have been of another machine
        model = unwrapped(runner)
        if _peak() is None or any(isinstance(x, DTensor) for x in model.parameters()):
            return
        start = time.time()
        try:
            flops = flops_of_image(model, data_batch, runner.optim_wrapper)
        except Exception as error:  # of operators that the counter does not know, and of a user's own model
            text = " ".join(str(error).split())[:200]
            runner.logger.info(f"No MFU: FLOPs cannot be counted ({type(error).__name__}: {text})")
        else:
            runner.message_hub.update_info(_FLOPS, flops)
        torch.cuda.synchronize()
        not_timed(runner.hooks, time.time() - start)


def step_flops(runner: Runner) -> float | None:
    """Return the FLOPs of a step over all processes, None where they were not counted."""
    each = runner.message_hub.runtime_info.get(_FLOPS)
    return None if each is None else each * images_of_step(runner, "train")


def present_peak(runner: Runner) -> float | None:
    """Return the FLOP/s of all GPUs of a run at the precision of its optimizer, None where not known."""
    if (peak := _peak()) is None:
        return None
    half = any("bfloat16" in x.lower() or x.startswith("Amp") for x in _wrappers(runner))
    if not half and torch.backends.cuda.matmul.allow_tf32:
        return runner.world_size * 1e12 * peak.tf32
    return runner.world_size * 1e12 * (peak.half if half else peak.float32)


def peak_of(device: str) -> Peak | None:
    """Return the peak of a GPU by torch's name for it, None for one that is not in the table."""
    return next((peak for name, peak in PEAKS.items() if re.fullmatch(name, device)), None)


def flops_of_image(model: nn.Module, batch: Any, optim_wrapper: Any) -> float:
    """Count the FLOPs of a training step for each image of a batch, of the first two where it can be cut.

    A multiplication with its addition is two FLOPs; torch counts matrix products, convolutions and attention.
    What activation checkpointing (``with_cp``) would compute twice counts once. Weights, gradients, buffers
    and random states are as before.

    Args:
        batch: As the dataloader gives it, or a list of those that make a step.
    """
    if isinstance(batch, list) and isinstance(batch[0], dict):
        batch = batch[0]
    if isinstance(batch, dict):
        batch = {key: x[:_IMAGES] if hasattr(x, "__getitem__") else x for key, x in batch.items()}
    images = len(batch["inputs"] if isinstance(batch, dict) else batch[0])
    context = optim_wrappers(optim_wrapper)[0].optim_context(model)
    with _undone(model), FlopCounterMode(display=False) as counter, context:
        data = model.data_preprocessor(batch, True)
        losses = model(**data, mode="loss") if isinstance(data, dict) else model(*data, mode="loss")
        model.parse_losses(losses)[0].backward()
    return counter.get_total_flops() / images


@contextmanager
def _undone(model: nn.Module) -> Iterator[None]:
    """Leave a model and the random state of the process as they were; compute without checkpointing."""
    random = capture_random_state()
    buffers = [(x, x.clone()) for x in model.buffers()]
    gradients = [(x, x.grad) for x in model.parameters()]
    checkpointing = [x for x in model.modules() if getattr(x, "with_cp", False) is True]
    for parameter, _ in gradients:
        parameter.grad = None
    for module in checkpointing:
        module.with_cp = False
    try:
        yield
    finally:
        for module in checkpointing:
            module.with_cp = True
        for parameter, gradient in gradients:
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        restore_random_state(random)


def _peak() -> Peak | None:
    return peak_of(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


def _wrappers(runner: Runner) -> list[str]:
    return [type(x).__name__ for x in optim_wrappers(runner.optim_wrapper)]
