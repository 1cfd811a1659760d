"""Report at the start of a run: model, data, batch, sizes, rate, length, device, and where it writes."""

import math
from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor
from torch.utils.data import DataLoader

from mmvisionllama.config.config_files import shown
from mmvisionllama.config.global_batch import GlobalBatch, share_batch
from mmvisionllama.reports.provenance import hardware
from mmvisionllama.runner_parts import optim_wrappers, unwrapped


class StartReportHook(Hook):
    """Log what a run is about to do, before its first step.

    Args:
        training: Describe a training run, otherwise a test.
    """

    def __init__(self, training: bool) -> None:
        self.training = training
        self._is_first_batch = True

    def before_run(self, runner: Runner) -> None:
        self._is_first_batch = True
        facts = self._training(runner) if self.training else self._test(runner)
        log = shown(Path(runner.log_dir, f"{runner.timestamp}.log").absolute())
        facts = {"model": _model(runner), **facts, "seed": str(runner.seed)}
        facts |= {"folder": shown(Path(runner.work_dir).absolute()), "log": log}
        name = Path(runner.cfg.filename).stem if runner.cfg.filename else runner.experiment_name
        lines = [f"{'Training' if self.training else 'Test'}: {name}"]
        runner.logger.info("\n".join([*lines, *(_line(key, text) for key, text in facts.items())]))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._report_sizes(runner, data_batch)

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._report_sizes(runner, data_batch)

    def _report_sizes(self, runner: Runner, data_batch: Any) -> None:
        images = data_batch.get("inputs") if isinstance(data_batch, Mapping) else None
        if self._is_first_batch and images is not None and all(isinstance(x, Tensor) for x in images):
            shapes = sorted({tuple(x.shape) for x in images}, key=math.prod)
            sizes = " to ".join(" x ".join(map(str, x)) for x in dict.fromkeys((shapes[0], shapes[-1])))
            runner.logger.info(_line("images", f"{sizes}, the first {len(images)}"))
        self._is_first_batch = False

    def _training(self, runner: Runner) -> dict[str, str]:
        data = f"train {_data(runner.train_dataloader, runner.cfg.train_dataloader)}"
        if runner.val_loop is not None:
            data += f", val {_data(runner.val_dataloader, runner.cfg.val_dataloader)}"
        # The config's own rate: parameter groups have theirs, and a warm-up has lowered what they hold.
        wrappers = optim_wrappers(runner.optim_wrapper)
        rate = max(x.optimizer.defaults["lr"] for x in wrappers)
        optimizer = ", ".join(dict.fromkeys(type(x.optimizer).__name__ for x in wrappers))
        precision = "mixed precision" if any(hasattr(x, "loss_scaler") for x in wrappers) else "float32"
        return {
            "data": data,
            "batch": str(_batch(runner, "train")),
            "rate": f"learning rate {rate:.3g}, {optimizer}",
            "length": _length(runner),
            "device": _device(runner, precision),
        }

    def _test(self, runner: Runner) -> dict[str, str]:
        return {
            "weights": str(runner.cfg.get("load_from")),
            "data": f"test {_data(runner.test_dataloader, runner.cfg.test_dataloader)}",
            "batch": str(_batch(runner, "test")),
            "device": _device(runner, "mixed precision" if runner.cfg.test_cfg.get("fp16") else "float32"),
        }


def _line(name: str, text: str) -> str:
    return f"  {name:<11} {text}"


def images_of_step(runner: Runner, mode: str) -> int:
    """Return how many images an iteration of ``train``, ``val`` or ``test`` takes in all processes."""
    if mode == "train" and (stated := share_batch(runner.cfg, runner.world_size)) is not None:
        return stated.size
    return runner.world_size * _batch_size(runner.built_loops[mode].dataloader)


def _model(runner: Runner) -> str:
    model = unwrapped(runner)
    parts = [type(model).__name__]
    parts += [
        type(getattr(model, x)).__name__
        for x in ("backbone", "network", "decode_head", "roi_head", "head")
        if hasattr(model, x)
    ]
    count = sum(x.numel() for x in model.parameters())
    trainable = sum(x.numel() for x in model.parameters() if x.requires_grad)
    return f"{' + '.join(parts)}, {count / 1e6:.2f} M parameters ({trainable / 1e6:.2f} M trainable)"


def _data(dataloader: DataLoader, cfg: Mapping[str, Any]) -> str:
    size = f"{len(dataloader.dataset):,}" if isinstance(dataloader.dataset, Sized) else "endless"
    root = cfg.dataset.get("data_root") if isinstance(cfg.get("dataset"), dict) else None
    return size + (f" ({shown(Path(root).absolute())})" if root else "")


def _batch_size(dataloader: DataLoader) -> int:
    return dataloader.batch_size or getattr(dataloader.batch_sampler, "batch_size", 1)


def _batch(runner: Runner, mode: str) -> GlobalBatch:
    stated = share_batch(runner.cfg, runner.world_size) if mode == "train" else None
    if stated is not None:
        return stated
    batch = _batch_size(getattr(runner, f"{mode}_dataloader"))
    accumulation = runner.cfg.optim_wrapper.get("accumulative_counts", 1) if mode == "train" else 1
    return GlobalBatch(runner.world_size * batch * accumulation, runner.world_size, batch, accumulation)


def _length(runner: Runner) -> str:
    loop = runner.train_loop
    length, unit = f"{loop.max_iters:,} steps", "steps"
    if isinstance(loop, EpochBasedTrainLoop):
        length, unit = f"{loop.max_epochs:,} epochs, {length}", "epochs"
    if runner.val_loop is None:
        return f"{length}; no validation"
    first = f" from {loop.val_begin:,} on" if loop.val_begin > 1 else ""
    return f"{length}; validation every {loop.val_interval:,} {unit}{first}, and at the end"


def _device(runner: Runner, precision: str) -> str:
    return f"{hardware(runner.world_size)}, {precision}"
