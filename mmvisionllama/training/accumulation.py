"""Gradient accumulation whose schedules, checkpoints, averages and logs count whole steps.

mmengine's ``accumulative_counts`` makes every part an iteration, and all that counts iterations counts parts.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from mmvisionllama.config.global_batch import share_batch
from mmvisionllama.errors import ConfigError
from mmvisionllama.host_internals import accumulate, count_as_taken, replace_train_step


def accumulation_of(runner: Runner) -> int:
    """Return how many batches of a process make a step, 1 where the config states no global batch."""
    batch = share_batch(runner.cfg, runner.world_size)
    return 1 if batch is None else batch.accumulation


def step_dataloader(runner: Runner) -> "StepLoader | dict[str, Any] | None":
    """Return the dataloader of a training whose config states a global batch, see ``share_batch``.

    It yields the batches of a step together where there are several; None without a global batch.
    """
    batch, dataloader = share_batch(runner.cfg, runner.world_size), runner.cfg.get("train_dataloader")
    if batch is None or not isinstance(dataloader, dict):
        return None
    shared = {**dataloader, "batch_size": batch.per_device}
    if batch.accumulation == 1:
        return shared
    different = runner.cfg.get("randomness", {}).get("diff_rank_seed", False)
    return StepLoader(runner.build_dataloader(shared, runner.seed, different), batch.accumulation)


class StepLoader:
    """A dataloader that yields the batches of a step together; else it is ``dataloader``.

    Args:
        dataloader: Yields what a device computes with at once.
        batches_per_step: How many of these make a step. The last step of an epoch may have fewer.
    """

    def __init__(self, dataloader: DataLoader, batches_per_step: int) -> None:
        self.__dict__.update(dataloader=dataloader, batches_per_step=batches_per_step)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "dataloader" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.dataloader, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.dataloader, name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> "StepLoader":
        """Stay the same: mmengine copies the dict of a loop, and samplers without an end cannot be copied."""
        return self

    def __len__(self) -> int:
        return -(-len(self.dataloader) // self.batches_per_step)

    def __iter__(self) -> Iterator[list[Any]]:
        batches = iter(self.dataloader)
        while step := list(itertools.islice(batches, self.batches_per_step)):
            yield step


class AccumulationHook(Hook):
    """Let ``train_step`` take the batches of a step, which ``StepLoader`` yields, one after another.

    Each counts by its number of images, so that a step of several batches has the gradient of one large batch
    where the loss is a mean over images.

    Args:
        batches_per_step: How many batches make a full step.
    Raises: ConfigError: for several optimizers.
    """

    def __init__(self, batches_per_step: int) -> None:
        self.batches_per_step = batches_per_step

    def before_train(self, runner: Runner) -> None:
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper):
            raise ConfigError(
                f"{self.batches_per_step} batches would have to make a step, but the model has several "
                "optimizers; give train_dataloader.batch_size so that one batch does"
            )
        accumulate(wrapper, self.batches_per_step)
        wrapper.initialize_count_status(runner.model, 0, -1)
        step = _WholeStep(runner.model.train_step, self.batches_per_step)
        replace_train_step(runner.model, step)


class _WholeStep:
    def __init__(self, train_step: Any, batches_per_step: int) -> None:
        self.train_step = train_step.train_step if isinstance(train_step, _WholeStep) else train_step
        self.batches_per_step = batches_per_step

    def __call__(self, batches: list[Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        images = [images_in(batch) for batch in batches]
        count_as_taken(optim_wrapper, self.batches_per_step - len(batches))
        even = len(images) == self.batches_per_step and len(set(images)) == 1
        shares = [number / sum(images) for number in images]
        logged = []
        for batch, share in zip(batches, shares, strict=True):
            wrapper = optim_wrapper if even else _Weighted(optim_wrapper, share * self.batches_per_step)
            logged.append(self.train_step(batch, optim_wrapper=wrapper))
        return {key: _mean([x[key] for x in logged], shares) for key in logged[0]}


class _Weighted:
    """An optimizer wrapper that multiplies the loss of one batch."""

    def __init__(self, optim_wrapper: OptimWrapper, weight: float) -> None:
        self.optim_wrapper = optim_wrapper
        self.weight = weight

    def __getattr__(self, name: str) -> Any:
        return getattr(self.optim_wrapper, name)

    def update_params(self, loss: Tensor, **kwargs: Any) -> None:
        self.optim_wrapper.update_params(loss * self.weight, **kwargs)


def images_in(batch: Any) -> int:
    """Return the number of images in a collated batch: of its ``inputs``, else of its first part."""
    if isinstance(batch, dict):
        return images_in(batch.get("inputs", next(iter(batch.values()))))
    if isinstance(batch, (list, tuple)) and _is_column(batch[0]):
        return images_in(batch[0])
    return len(batch)


def _is_column(part: Any) -> bool:
    """Whether a part of a batch holds something of every image, rather than being one image."""
    return isinstance(part, (dict, list, tuple)) or (isinstance(part, Tensor) and part.ndim > 3)


def _mean(values: list[Any], shares: list[float]) -> Any:
    values = [value.detach() if isinstance(value, Tensor) else value for value in values]
    return sum(value * share for value, share in zip(values, shares, strict=True))
