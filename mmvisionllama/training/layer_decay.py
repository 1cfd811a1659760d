"""Layer-wise learning-rate decay, from the head of a network down to its stem."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmvisionllama.config.checker import check_section
from mmvisionllama.config.custom_keys import matching_keys, require_known_custom_keys
from mmvisionllama.config.problems import ConfigProblem, raise_problems
from mmvisionllama.config.sections import LAYER_DECAY
from mmvisionllama.host_internals import BATCH_NORM, INSTANCE_NORM
from mmvisionllama.registry import OPTIM_WRAPPER_CONSTRUCTORS

_DECAY_MULTS = ("norm_decay_mult", "bias_decay_mult", "flat_decay_mult")
_NORMS = (BATCH_NORM, INSTANCE_NORM, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class _Place:
    """What the parameters of one optimizer group have in common."""

    depth: int
    lr_mult: float
    decay_mult: float

    @property
    def name(self) -> str:
        decay = {0.0: "no decay", 1.0: "decay"}.get(self.decay_mult, f"decay x {self.decay_mult:g}")
        return f"depth {self.depth}, {decay}" + ("" if self.lr_mult == 1 else f", lr x {self.lr_mult:g}")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Give a parameter at depth d of L layers the learning rate ``lr * layer_decay_rate ** (L - 1 - d)``.

    The depth is what ``backbone.get_layer_depth`` answers, whatever model wraps the backbone; all that is not
    in the backbone sits at the top, L - 1. Frozen parameters are left out.

    Args:
        optim_wrapper_cfg: As in mmengine; ``optimizer`` must state ``lr``.
        paramwise_cfg: ``layer_decay_rate`` in (0, 1], and optionally mmengine's ``norm_decay_mult``,
            ``bias_decay_mult``, ``flat_decay_mult`` (parameters of one dimension) and ``custom_keys``
            (part of a name -> ``lr_mult``, ``decay_mult``; the longest match replaces the three rules).

    Raises:
        ConfigError: on an unknown or missing key, a rate out of range, or a custom key that no parameter has.
        TypeError: if the backbone has no ``get_layer_depth``.
        ValueError: on a parameter that the backbone cannot place.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        cfg = self.paramwise_cfg
        problems = check_section(cfg, "paramwise_cfg", LAYER_DECAY)
        rate = cfg.get("layer_decay_rate")
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            message = f"expected 0 < rate <= 1, got {rate!r}"
            problems.append(ConfigProblem("paramwise_cfg.layer_decay_rate", message))
        if self.base_lr is None:
            problems.append(
                ConfigProblem("optimizer.lr", "is missing, and every layer's rate is a share of it")
            )
        if self.base_wd is None and any(key in cfg for key in _DECAY_MULTS):
            problems.append(
                ConfigProblem("optimizer.weight_decay", "is missing, and a *_decay_mult multiplies it")
            )
        raise_problems(problems)

    def add_params(self, params: list[dict], module: nn.Module, **_: Any) -> None:
        """Append one group per depth, rate and weight decay to ``params``, from the stem up."""
        require_known_custom_keys(self.paramwise_cfg, module, "paramwise_cfg")
        depths = _Depths(module)
        groups = defaultdict(list)
        for name, owner, parameter in _trained_parameters(module):
            groups[self._place(name, owner, parameter, depths)].append(parameter)
        for place in sorted(groups, key=lambda place: (place.depth, place.decay_mult, place.lr_mult)):
            group = {"params": groups[place], "name": place.name, "lr": self._lr(place, depths.number)}
            if self.base_wd is not None:
                group["weight_decay"] = self.base_wd * place.decay_mult
            params.append(group)
        table = self._table(groups, depths.number)
        MMLogger.get_current_instance().info(table, extra={"in_log_alone": True})

    def _place(self, name: str, owner: nn.Module, parameter: nn.Parameter, depths: "_Depths") -> _Place:
        cfg, depth = self.paramwise_cfg, depths.of(name)
        custom = max(matching_keys(name, sorted(cfg.get("custom_keys", {}))), key=len, default=None)
        if custom is not None:
            options = cfg["custom_keys"][custom]
            return _Place(depth, float(options.get("lr_mult", 1)), float(options.get("decay_mult", 1)))
        applying = {
            "norm_decay_mult": isinstance(owner, _NORMS),
            "bias_decay_mult": name.rpartition(".")[2] == "bias",
            "flat_decay_mult": parameter.ndim == 1,
        }
        key = next((key for key, applies in applying.items() if applies and key in cfg), None)
        return _Place(depth, 1.0, 1.0 if key is None else float(cfg[key]))

    def _lr(self, place: _Place, number: int) -> float:
        scale = self.paramwise_cfg["layer_decay_rate"] ** (number - 1 - place.depth)
        return self.base_lr * scale * place.lr_mult

    def _table(self, groups: dict[_Place, list[nn.Parameter]], number: int) -> str:
        rate = self.paramwise_cfg["layer_decay_rate"]
        lines = [
            f"Learning rates by depth (lr {self.base_lr:g}, rate {rate:g}, {number} layers):",
            f"{'depth':>5} {'scale':>10} {'lr':>10} {'tensors':>8} {'parameters':>12}",
        ]
        for depth in sorted({place.depth for place in groups}):
            tensors = [x for place, members in groups.items() if place.depth == depth for x in members]
            scale, size = rate ** (number - 1 - depth), sum(x.numel() for x in tensors)
            lr = self.base_lr * scale
            lines.append(f"{depth:>5} {scale:>10.3g} {lr:>10.3g} {len(tensors):>8} {size:>12,}")
        return "\n".join(lines)


class _Depths:
    """The depth of every parameter of a model, asked from its backbone."""

    def __init__(self, model: nn.Module) -> None:
        self._prefix = "backbone." if hasattr(model, "backbone") else ""
        self._backbone = getattr(model, "backbone", model)
        self._class = type(self._backbone).__name__
        if not hasattr(self._backbone, "get_layer_depth"):
            raise TypeError(
                f"{type(self._backbone).__module__}.{self._class} has no get_layer_depth(param_name, prefix) "
                "to ask for learning rates by depth; take a backbone that has it, as VisionLLaMA and "
                "mmpretrain's VisionTransformer and SwinTransformer, or another optim_wrapper.constructor"
            )
        first = next((name for name, _ in self._backbone.named_parameters()), None)
        if first is None:
            raise ValueError(f"the backbone {self._class} has no parameters")
        self.number = self._ask(self._prefix + first)[1]

    def of(self, name: str) -> int:
        """Return the depth of a parameter of the model, ``number - 1`` outside the backbone."""
        if not name.startswith(self._prefix):
            return self.number - 1
        depth, number = self._ask(name)
        if number != self.number or not 0 <= depth < number:
            raise ValueError(
                f"{self._class}.get_layer_depth puts {name!r} at depth {depth} of {number} layers; "
                f"expected 0 to {self.number - 1} of {self.number}"
            )
        return depth

    def _ask(self, name: str) -> tuple[int, int]:
        try:
            return self._backbone.get_layer_depth(name, self._prefix)
        except (ValueError, LookupError) as error:
            raise ValueError(f"{self._class} cannot place the parameter {name!r}: {error}") from error


def _trained_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Parameter]]:
    """Yield (name, owning module, parameter) of every trained parameter, once also where it is shared."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, model.get_submodule(name.rpartition(".")[0]), parameter
