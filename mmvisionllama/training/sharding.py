"""Sharded training: weights, gradients, optimizer and averages shared over processes (torch's FSDP2)."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor import empty as empty_sharded

from mmvisionllama.arguments import Positive, checked
from mmvisionllama.checkpoint.reading import read_checkpoint
from mmvisionllama.checkpoint.sharded import is_sharded, read_sharded, with_tensors
from mmvisionllama.config.problems import ConfigProblem
from mmvisionllama.errors import ConfigError
from mmvisionllama.host_internals import replace_deepcopy
from mmvisionllama.registry import MODEL_WRAPPERS

BLOCKS = ("VisionLLaMABlock", "AdaLNBlock")
_OPTIMIZERS = (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD)
_PRECISION = ("param_dtype", "reduce_dtype", "output_dtype")
_WEIGHTS = ("state_dict", "ema_state_dict")
_KEY = "model_wrapper_cfg"


@MODEL_WRAPPERS.register_module()
class ShardedDataParallel(nn.Module):
    """Let every process hold a share of each tensor, and gather a block's weights only while it computes.

    It takes the place of ``MMDistributedDataParallel`` in ``model_wrapper_cfg``, and needs a
    ``ResumableRunner``, which shards the model when its first weights are there and saves
    ``iter_N.sharded`` folders. A run of one process without a launcher is not wrapped at all.

    Args:
        module: The model. It stays whole until ``shard``.
        units: Names of the classes whose modules are gathered one at a time; the rest is one more unit.
        shard_size: Processes that share the tensors among them, e.g. those of one machine; groups of them
            average their gradients. None: all processes.
        precision: ``param_dtype`` and ``reduce_dtype``, e.g. ``dict(param_dtype="bfloat16",
            reduce_dtype="float32")``: in what weights are gathered, and gradients reduced. None: float32.

    Raises: ConfigError: if no module is a unit, or an argument is not as described.
    """

    @checked
    def __init__(
        self,
        module: nn.Module,
        *,
        units: Sequence[str] = BLOCKS,
        shard_size: Positive | None = None,
        precision: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        self.mesh: DeviceMesh | None = None
        self.group: dist.ProcessGroup | None = None  # reads and writes checkpoints, through the CPUs
        self._units, self._policy = tuple(units), _policy(precision or {})
        self._shape = _mesh_shape(shard_size)
        if not any(type(x).__name__ in self._units for x in module.modules()):
            found = sorted(
                {type(x).__name__ for x in module.modules() if next(x.parameters(), None) is not None}
            )
            raise _error("units", f"the model has no {' or '.join(self._units)}", found)

    def shard(self) -> None:
        """Take the share of this process. Whatever holds parameters, an optimizer say, is made afterwards."""
        if self.mesh is not None:
            return
        names = ("replicate", "shard") if len(self._shape) > 1 else ("shard",)
        self.mesh = init_device_mesh(get_device(), self._shape, mesh_dim_names=names)
        self.group = dist.new_group(backend="gloo")
        skeleton = _without_weights(self.module)
        # The rest of the model as well, so that parameters are shards whenever it is not running.
        options = dict(mesh=self.mesh, mp_policy=self._policy, reshard_after_forward=True)
        for unit in outermost(self.module, self._units):
            fully_shard(unit, **options)
        fully_shard(self.module, **options)
        # Averages are copies, which torch refuses to make since a copy cannot compute. It need not.
        replace_deepcopy(self.module, partial(_copied, self.module, skeleton))

    def read(self, path: Path) -> dict[str, Any]:
        """Read a checkpoint, sharded by any number of processes or whole, and take the share of this process.

        Raises: CheckpointError: if it is missing or damaged.
        """
        if is_sharded(path):
            return read_sharded(path, self.empty, self.group)
        return self._distributed(read_checkpoint(path))

    def empty(self, size: torch.Size, *, dtype: torch.dtype) -> DTensor:
        """Return a tensor of which this process has its share, to be filled."""
        return empty_sharded(*size, dtype=dtype, device_mesh=self.mesh, placements=self._placements)

    def require_shardable(self, optim_wrapper: OptimWrapper) -> None:
        """Require that an optimizer wrapper can train shards.

        Raises: ConfigError: if an optimizer needs whole tensors, or a loss scale.
        """
        if not isinstance(optim_wrapper, OptimWrapper) or isinstance(optim_wrapper, AmpOptimWrapper):
            text = f"{type(optim_wrapper).__name__} cannot train shards"
            raise _error(
                "optim_wrapper.type", text, ["OptimWrapper", "mmvisionllama.BFloat16OptimWrapper"], ""
            )
        if type(optim_wrapper.optimizer) not in _OPTIMIZERS:
            text = f"{type(optim_wrapper.optimizer).__name__} may need whole tensors"
            raise _error("optim_wrapper.optimizer.type", text, [x.__name__ for x in _OPTIMIZERS], "")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: Any) -> list[Any]:
        return self.module.val_step(data)

    def test_step(self, data: Any) -> list[Any]:
        return self.module.test_step(data)

    def _distributed(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """Share out the whole tensors of a checkpoint that belong to parameters."""
        sharded = {name for name, _ in self.module.named_parameters()}

        def distribute(name: str, x: Tensor) -> Tensor:
            part, _, key = name.partition("/")
            is_weight = part in _WEIGHTS and key.removeprefix("module.") in sharded
            # Adam's count of steps, which has no dimension, is whole everywhere.
            if not is_weight and not (part == "optimizer" and x.ndim):
                return x
            return distribute_tensor(x.to(self.mesh.device_type), self.mesh, self._placements)

        return with_tensors(checkpoint, distribute)

    @property
    def _placements(self) -> tuple[Replicate | Shard, ...]:
        return (*[Replicate()] * (len(self._shape) - 1), Shard(0))


def _policy(precision: dict[str, str]) -> MixedPrecisionPolicy:
    for key, name in precision.items():
        if key not in _PRECISION:
            raise _error(f"precision.{key}", "is unknown", _PRECISION)
        if not isinstance(getattr(torch, str(name), None), torch.dtype):
            raise _error(f"precision.{key}", f"{name!r} is no dtype", ["bfloat16", "float16", "float32"])
    return MixedPrecisionPolicy(**{key: getattr(torch, name) for key, name in precision.items()})


def _mesh_shape(shard_size: int | None) -> tuple[int, ...]:
    processes = dist.get_world_size()
    if shard_size is None or shard_size == processes:
        return (processes,)
    if shard_size < 1 or processes % shard_size:
        divisors = [str(x) for x in range(1, processes + 1) if processes % x == 0]
        raise _error("shard_size", f"{shard_size} does not divide the {processes} processes", divisors)
    return processes // shard_size, shard_size


def outermost(module: nn.Module, names: Sequence[str]) -> Iterator[nn.Module]:
    """Yield the modules of these classes that lie in no other one of them: the units that are gathered."""
    for child in module.children():
        if type(child).__name__ in names:
            yield child
        else:
            yield from outermost(child, names)


def _without_weights(module: nn.Module) -> nn.Module:
    bare = {id(x): nn.Parameter(x.to("meta"), x.requires_grad) for x in module.parameters()}
    return deepcopy(module, bare)


def _copied(module: nn.Module, skeleton: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Copy the state of a sharded module into a module that is not called."""
    copied = deepcopy(skeleton, memo)
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if id(parameter) not in memo:
            memo[id(parameter)] = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
        owner, _, key = name.rpartition(".")
        setattr(copied.get_submodule(owner), key, memo[id(parameter)])
    with torch.no_grad():
        for new, old in zip(copied.buffers(), module.buffers(), strict=True):
            new.copy_(old)
    return copied


def _error(key: str, text: str, allowed: Sequence[str] = (), place: str = f"{_KEY}.") -> ConfigError:
    problem = ConfigProblem(f"{place}{key}", text, allowed=tuple(allowed))
    return ConfigError(str(problem), [problem])
