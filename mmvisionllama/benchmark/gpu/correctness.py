"""Checks of trainings on a device: exact resumes, the CPU's predictions, operators, communication."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mmvisionllama.benchmark.gpu.jobs import Record
from mmvisionllama.errors import Stopped
from mmvisionllama.reports.speed import peak_memory, reset_peak_memory

# One config of each task, most important first.
TASKS = {
    "classification": "configs/toy/visionllama_tiny_digitscenes.py",
    "masked autoencoder": "configs/toy/visionllama_tiny_mae_digitscenes.py",
    "segmentation": "configs/toy/visionllama_tiny_upernet_digitscenes.py",
    "detection": "configs/toy/visionllama_tiny_vitdet_digitscenes.py",
    "generation": "configs/toy/dit_visionllama_tiny_digits.py",
}
_MOST_MEMORY = 1.02  # of a resume, over the run's
_MOST_APART = 1e-3


def write_data(folder: Path) -> Record:
    """Write the images that the tasks train on."""
    from mmvisionllama.datasets.digitscenes import write_digitscenes

    write_digitscenes(folder / "digitscenes", num_train=256, num_val=16)
    return {}


def check_task(task: str, folder: Path, data: Path, **options: Any) -> list[Record]:
    """Do ``train_stop_resume``; also without deterministic operators, where a device lacks one."""
    try:
        return [train_stop_resume(task, folder / "deterministic", data, **options)]
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        refused = dict(error=f"deterministic=True: {' '.join(str(error).split())}"[:500])
    torch.compiler.reset()
    torch.use_deterministic_algorithms(False)
    return [refused, train_stop_resume(task, folder / "ordinary", data, deterministic=False, **options)]


def train_stop_resume(
    task: str,
    folder: Path,
    data: Path,
    *,
    device: str,
    steps: int,
    compile: bool,
    batch: int | None = None,
    deterministic: bool = True,
) -> Record:
    """Train in bfloat16 and compiled; again, stopped on the way and resumed; compare all that was saved.

    Then predict in float32 on the device and on the CPU. ``exact`` is whether every tensor of the two last
    checkpoints is equal, ``apart`` the largest difference of predictions in parts of the largest value.

    Args:
        batch: Images of a step; None: the config's.
    """
    from mmvisionllama import train

    os.environ["MMVISIONLLAMA_DATA"] = str(data)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by cuBLAS, before it starts
    changes: dict[str, Any] = {
        "randomness": dict(seed=0, deterministic=deterministic),
        "train_dataloader.num_workers": 0,
        "train_dataloader.persistent_workers": False,
        "val_dataloader.num_workers": 0,
        "val_dataloader.persistent_workers": False,
        "default_hooks.checkpoint.interval": steps // 2,
        "default_hooks.checkpoint.max_keep_ckpts": -1,
    }
    if batch is not None:
        changes["train_dataloader.batch_size"] = batch
    options = dict(amp=True, compile=compile, steps=steps, cfg_options=changes)
    straight, stopped = folder / "straight", folder / "stopped"
    reset_peak_memory()
    start = time.perf_counter()
    train(TASKS[task], work_dir=straight, **options)
    seconds, peak = time.perf_counter() - start, peak_memory()
    at = None
    with _signal_at(stopped / f"iter_{steps // 2}.pth"):
        try:
            train(TASKS[task], work_dir=stopped, **options)
        except Stopped as error:
            at = str(error)
    torch.compiler.reset()
    reset_peak_memory()
    train(TASKS[task], work_dir=stopped, resume=at is not None, overwrite=at is None, **options)
    resumed_peak = peak_memory()
    last = f"iter_{steps}.pth"
    differing = _differing(*(_saved(x / last) for x in (straight, stopped)))
    apart = _apart(straight / last, device)
    return dict(
        device=device,
        deterministic=deterministic,
        stopped=at,
        exact=at is not None and not differing,
        differing=differing[:5],
        apart=apart,
        seconds=round(seconds, 1),
        peak_bytes=peak,
        resumed_peak_bytes=resumed_peak,
        close=apart <= _MOST_APART,
        memory_kept=device == "cpu" or resumed_peak <= _MOST_MEMORY * peak,
    )


def check_operators(*, device: str) -> Record:
    """Hold NMS and RoIAlign of a device against those of the CPU, forward and backward."""
    from mmcv.ops import nms, roi_align

    from mmvisionllama.ops import backend

    generator = torch.Generator().manual_seed(0)
    corner, sides = torch.rand(2, 300, 2, generator=generator) * torch.tensor([400.0, 100.0])[:, None, None]
    boxes = torch.cat((corner, corner + sides + 1), dim=1)
    scores = torch.rand(300, generator=generator)
    rois = torch.cat((torch.zeros(300, 1), boxes), dim=1)
    maps = torch.randn(1, 16, 128, 128, generator=generator)
    found = {}
    for place in ("cpu", device):
        kept = nms(boxes.to(place), scores.to(place), 0.5)[1].cpu()
        x = maps.to(place).requires_grad_()
        pooled = roi_align(x, rois.to(place), 7, 0.25)
        pooled.square().sum().backward()
        found[place] = (kept, pooled.detach().cpu(), x.grad.cpu())
    (kept, *here), (kept_there, *there) = found["cpu"], found[device]
    apart = max(_relative(x, y) for x, y in zip(here, there, strict=True))
    return dict(operators=backend(device), same_boxes=bool(torch.equal(kept, kept_there)), apart=apart)


def check_communication(folder: Path, *, device: str) -> Record:
    """Reduce, gather and make a step of DDP with one process, by NCCL on a GPU."""
    backend = "nccl" if device == "cuda" else "gloo"
    folder.mkdir(parents=True, exist_ok=True)
    store = distributed.FileStore(str(folder / "store"), 1)
    distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        x = torch.arange(4.0, device=device)
        distributed.all_reduce(x)
        gathered = [torch.empty_like(x)]
        distributed.all_gather(gathered, x)
        torch.manual_seed(0)
        alone = nn.Linear(4, 4).to(device)
        alone(x).sum().backward()
        expected = alone.weight.grad.clone()
        alone.zero_grad()
        DistributedDataParallel(alone)(x).sum().backward()
        return dict(
            backend=backend,
            sums=x.tolist() == gathered[0].tolist() == [0.0, 1.0, 2.0, 3.0],
            gradients=torch.equal(alone.weight.grad, expected),
        )
    finally:
        distributed.destroy_process_group()


@contextmanager
def _signal_at(file: Path) -> Iterator[None]:
    """Send this process the signal of a scheduler as soon as a file exists."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            if file.exists():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _saved(file: Path) -> dict[str, Tensor]:
    """Return all tensors of weights, their average and the optimizer in a checkpoint, by their place."""
    from mmvisionllama.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(file)
    kept = ("state_dict", "ema_state_dict", "optimizer")
    return dict(_tensors("", {key: checkpoint[key] for key in kept if key in checkpoint}))


def _tensors(place: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, Mapping | list | tuple):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, x in pairs:
            yield from _tensors(f"{place}.{key}", x)


def _differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    if one.keys() != other.keys():
        return sorted(one.keys() ^ other.keys())
    return [key for key, x in one.items() if not torch.equal(x, other[key])]


@torch.no_grad()
@torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
def _apart(checkpoint: Path, device: str) -> float:
    """Return how far float32 predictions of a device are from the CPU's, in parts of the largest value."""
    from mmvisionllama import load

    found = []
    for place in ("cpu", device):
        module = load(checkpoint).to(place).module
        torch.manual_seed(0)
        if hasattr(module, "network"):
            network = module.network
            x = torch.randn(4, network.in_channels, *network.input_hw)
            inputs = (x, torch.arange(4), torch.arange(4))
            outputs = network(*(part.to(place) for part in inputs))
        elif "MAE" in type(module).__name__:
            outputs = module.backbone(torch.randn(4, 3, 64, 64).to(place), mask=None)
        else:
            outputs = module.backbone(torch.randn(4, 3, 64, 64).to(place))
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        found.append([x.float().cpu() for x in outputs])
    return max(_relative(x, y) for x, y in zip(*found, strict=True))


def _relative(x: Tensor, y: Tensor) -> float:
    return float((x - y).abs().max() / x.abs().max().clamp(min=1e-12))
