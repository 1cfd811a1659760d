"""Every private name and replaced method of mmengine, torch, numpy and the hosts that this package relies on.

Each has its reason. They were checked against the versions in ``CHECKED``; tests/test_host_internals.py fails
where a newer version has changed one of them.
"""

import os
import pickle
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import IO, Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook, EMAHook, Hook, IterTimerHook
from mmengine.model import BaseAveragedModel
from mmengine.optim import OptimWrapper
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner import runner as mmengine_runner
from mmengine.utils.dl_utils import collect_env
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm, _InstanceNorm
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import _MEM_FORMAT_ENCODING
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

CHECKED = {"mmengine": "0.10.12", "numpy": "2.2.6", "torch": "2.13.0"}


# --- mmengine: Runner and loops -------------------------------------------------------------------


@contextmanager
def _closed_standard_error() -> Iterator[None]:
    """Let nothing reach standard error's descriptor, which processes that start inherit."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@cache
def _environment() -> dict[str, str]:
    """Do what mmengine's ``collect_env`` does, once: its shell complains where no compiler is."""
    with _closed_standard_error():
        return collect_env()


mmengine_runner.collect_env = _environment


class OpenRunner(Runner):
    """mmengine's Runner with its private state under public names, for a ``train`` of another order."""

    @property
    def start(self) -> tuple[str | None, bool]:
        """The checkpoint to start from, and whether to resume it rather than to take its weights alone."""
        return self._load_from, self._resume

    @property
    def has_loaded(self) -> bool:
        """Whether the weights of ``start`` are in the model."""
        return self._has_loaded

    @has_loaded.setter
    def has_loaded(self, value: bool) -> None:
        self._has_loaded = value

    @property
    def built_loops(self) -> dict[str, Any]:
        """The loops that exist; asking mmengine for one would build it, and its data set with it."""
        loops = {"train": self._train_loop, "val": self._val_loop, "test": self._test_loop}
        return {name: loop for name, loop in loops.items() if loop is not None and not isinstance(loop, dict)}

    def name_timestamp(self, timestamp: str) -> None:
        """Give the run another time of start, which names its folder, its logger and its message hub."""
        self._timestamp = timestamp

    def use_seed(self, seed: int) -> None:
        """Draw from another seed than the config's."""
        self._randomness_cfg.update(seed=seed)
        self.set_randomness(**self._randomness_cfg)

    def init_model_weights(self) -> None:
        """Initialise the weights, and tell every process those of the first."""
        self._init_model_weights()

    def compile_step(self, name: str) -> None:
        """Compile ``train_step`` or ``test_step`` of the model if the config asks for it."""
        self._maybe_compile(name)


def place_loop(loop: Any, epoch: int, step: int) -> None:
    """Let a loop begin after these; mmengine sets the same two counters when it resumes."""
    loop._epoch, loop._iter = epoch, step


def load_weights(model: nn.Module, checkpoint: dict[str, Any]) -> None:
    """Load the weights of a checkpoint that is in memory; mmengine's public function reads a file."""
    mmengine_checkpoint._load_checkpoint_to_model(model, checkpoint, revise_keys=[(r"^module.", "")])


# --- mmengine: optimizers and averages ------------------------------------------------------------


def accumulate(wrapper: OptimWrapper, batches_per_step: int) -> None:
    """Let a wrapper step after so many batches; the number may only be given to its constructor."""
    wrapper._accumulative_counts = batches_per_step


def count_as_taken(wrapper: OptimWrapper, batches: int) -> None:
    """Count batches that a short step lacks, so that its last one completes it."""
    wrapper._inner_count += batches


def replace_steps(wrapper: OptimWrapper, backward: Callable, step: Callable) -> tuple[Callable, Callable]:
    """Put functions around a wrapper's ``backward`` and ``step``, and return the former ones.

    ``update_params`` calls both, and offers no hook between loss, gradient and step.
    """
    former = wrapper.backward, wrapper.step
    wrapper.backward, wrapper.step = backward, step
    return former


def counted(step: Callable) -> Callable:
    """Mark a step that calls the former one: mmengine's schedules warn of a step that does not count."""
    step._with_counter = True
    return step


def count_step(wrapper: OptimWrapper) -> None:
    """Count a step that changes nothing, for the same schedules."""
    wrapper._global_step = getattr(wrapper, "_global_step", -1) + 1


def replace_averaging(average: BaseAveragedModel, function: Callable) -> None:
    """Put a function in the place of an average's update, which EMAHook calls after every step."""
    average.avg_func = function


def swap_averages(hook: EMAHook) -> None:
    """Exchange weights and averages; EMAHook does it around a validation, which a stop may leave."""
    hook._swap_ema_parameters()


def replace_train_step(model: nn.Module, function: Callable) -> None:
    """Put a function in the place of ``train_step`` on the instance, as mmengine does to compile it."""
    model.train_step = function


def loss_scale(wrapper: OptimWrapper) -> Tensor | None:
    """Return the scale of the loss under float16, None if there is none yet."""
    return getattr(getattr(wrapper, "loss_scaler", None), "_scale", None)


# --- mmengine: checkpoints, configs, data, norms --------------------------------------------------


def replace_checkpoint_readers(read: Callable[[str], dict], unpickle: Callable[[IO[bytes]], Any]) -> None:
    """Let mmengine and the hosts read checkpoints by these functions for the rest of the process.

    Their own loaders run the code in a file that they cannot read safely. The loaders of all other addresses
    (torchvision://, openmmlab://, s3://, ...) end in one of the three that are replaced here.
    """

    # Whoever asks copies the tensors into a model or an optimizer, which keep their device.
    def load(filename: str, map_location: Any = None) -> dict[str, Any]:
        return read(filename)

    def load_open(file: str | IO[bytes], map_location: Any = None, weights_only: Any = None) -> Any:
        return read(file) if isinstance(file, str) else unpickle(file)

    CheckpointLoader.register_scheme(("", "http://", "https://"), load, force=True)
    mmengine_checkpoint.load_from_local = mmengine_checkpoint.load_from_http = load
    mmengine_checkpoint._safe_torch_load = load_open


def watch_first_metric(hook: CheckpointHook, metrics: dict[str, Any]) -> None:
    """Let ``save_best="auto"`` mean the first metric of a validation, with the host's rule for its name."""
    hook._init_rule(hook.rules, [next(iter(metrics))])


def path_of_base(base: str, config: Path) -> Path:
    """Return the file of a ``_base_`` of another package, ``package::path``."""
    return Path(Config._get_cfg_path(base, str(config))[0])


def uses_part(dataset: BaseDataset) -> bool:
    """Whether a data set was told to use some of its samples alone."""
    return dataset._indices is not None


def shortened_dataset(dataset: Dataset) -> Dataset:
    """Return the data set inside the one that mmengine makes for ``num_batch_per_epoch``."""
    return dataset._dataset


def not_timed(hooks: Iterable[Hook], seconds: float) -> None:
    """Leave what has just taken so long out of the time of the present iteration, and of its data."""
    for hook in hooks:
        if isinstance(hook, IterTimerHook):
            hook.t += seconds


def restart_timer(hooks: Iterable[Hook]) -> None:
    """Let the time of the next iteration begin now: mmengine counts what came between as waiting for data."""
    for hook in hooks:
        if isinstance(hook, IterTimerHook):
            hook.t = time.time()


def tell_class_scores(metric: BaseMetric, told: Callable[[dict[str, NDArray]], None]) -> None:
    """Let a metric of mmseg tell the results of each class by name, in percent; it only logs them."""
    former = metric.total_area_to_metrics

    def telling(*args: Any, **kwargs: Any) -> dict[str, Any]:
        result = former(*args, **kwargs)
        told({name: 100 * value for name, value in result.items() if np.ndim(value) == 1})
        return result

    metric.total_area_to_metrics = telling


def tell_results(metric: BaseMetric, told: Callable[[list[Any]], None]) -> None:
    """Let a metric tell what it has gathered of all images before it computes; ``evaluate`` forgets that."""
    former = metric.compute_metrics

    def telling(results: list[Any]) -> dict[str, Any]:
        told(results)
        return former(results)

    metric.compute_metrics = telling


def tell_coco_evaluations(metric: BaseMetric, told: Callable[[Any], None]) -> None:
    """Let a metric of mmdet tell its COCO evaluations, which have the precision of each class.

    With ``classwise`` it gives rounded ones among its metrics, under names that boxes and masks share.
    """
    former, names = metric.compute_metrics, type(metric).compute_metrics.__globals__
    kinds = [name for name in ("COCOeval", "COCOevalMP", "COCOeval_faster") if names.get(name) is not None]

    def subclass(kind: type) -> type:
        class Telling(kind):
            def accumulate(self, *args: Any, **kwargs: Any) -> None:
                super().accumulate(*args, **kwargs)
                told(self)

        return Telling

    def telling(results: list[Any]) -> dict[str, Any]:
        kept = {name: names[name] for name in kinds}
        names.update({name: subclass(kind) for name, kind in kept.items()})
        try:
            return former(results)
        finally:
            names.update(kept)

    metric.compute_metrics = telling


# The bases of the layers for one, two and three dimensions and of the synchronised one.
BATCH_NORM: type[nn.Module] = _BatchNorm
INSTANCE_NORM: type[nn.Module] = _InstanceNorm


# --- torch ----------------------------------------------------------------------------------------


def end_workers(dataloader: DataLoader) -> None:
    """End the processes that a dataloader keeps for its next epoch.

    Left to the garbage collector or to the end of the process, each of them may take five seconds.
    """
    iterator, dataloader._iterator = dataloader._iterator, None
    if iterator is not None:
        iterator._shutdown_workers()


# torch.compiler.disable imports the compiler at once, half a second; torch marks its own functions by this.
not_compiled = torch._disable_dynamo


def takes_found_inf(optimizer: Optimizer) -> bool:
    """Whether an optimizer skips a step by a tensor ``found_inf``, as torch's fused ones do."""
    return getattr(optimizer, "_step_supports_amp_scaling", False)


def replace_deepcopy(module: nn.Module, function: Callable[[dict[int, Any]], nn.Module]) -> None:
    """Let ``deepcopy`` of a sharded module call this; FSDP2 refuses to copy, since a copy cannot compute."""
    module.__deepcopy__ = function


def replace_class(module: nn.Module, cls: type[nn.Module]) -> None:
    """Let a built module behave as this subclass; a wrapper would change the names of its weights."""
    module.__class__ = cls


def is_watched(module: nn.Module) -> bool:
    """Whether a module has hooks, so that it has to be called as one."""
    forward = module._forward_hooks or module._forward_pre_hooks
    return bool(forward or module._backward_hooks or module._backward_pre_hooks)


def _memory_format(owner: Any, name: str) -> Any:
    """Return a member of an enumeration, which Python 3.11.0 to 3.11.3 saves as an attribute of its class."""
    if owner is _MEM_FORMAT_ENCODING and name in _MEM_FORMAT_ENCODING.__members__:
        return _MEM_FORMAT_ENCODING[name]
    raise pickle.UnpicklingError(
        f"it holds getattr({owner!r:.80}, {name!r:.80}), and loading that could run code"
    )


# What torch's sharded format names beside its public classes.
SHARDED_GLOBALS: dict[tuple[str, str], Any] = {
    **{(x.__module__, x.__name__): x for x in (_StorageInfo, _MEM_FORMAT_ENCODING)},
    ("builtins", "getattr"): _memory_format,
    ("torch.serialization", "_get_layout"): torch.serialization._get_layout,
}


# --- numpy and Python -----------------------------------------------------------------------------


def numpy_globals() -> list[tuple[Any, str]]:
    """Return the functions that pickled arrays name, under the modules where old and new numpy have them."""
    functions = {
        "multiarray": (np._core.multiarray._reconstruct, np._core.multiarray.scalar),
        "numeric": (np._core.numeric._frombuffer,),
    }
    return [
        (function, f"numpy.{core}.{module}.{function.__name__}")
        for core in ("core", "_core")
        for module, some in functions.items()
        for function in some
    ]


def frames_of_threads() -> Iterable[tuple[int, FrameType]]:
    """Return identity and present frame of every thread, for a report of where a process hangs."""
    return sys._current_frames().items()
