"""What the plain and the pyramid backbone share: sizes, output choice, freezing, checkpointing."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, ClassVar, Literal

import torch
from mmengine.model import BaseModule
from mmengine.utils import to_2tuple
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmvisionllama.models.rope import Grid, RoPE2D, Tables
from mmvisionllama.names import did_you_mean, refusal
from mmvisionllama.registry import build_component


def resolve_arch(arch: str | dict, archs: dict[str, dict]) -> dict[str, Any]:
    """Look a size up by name, or check a dict of one."""
    if isinstance(arch, str):
        if arch not in archs:
            hint = did_you_mean(arch, archs)
            raise ValueError(f"unknown arch {arch!r}.{hint} Allowed: {', '.join(archs)}, or a dict")
        return archs[arch]
    if set(arch) != (required := set(archs["base"])):
        raise ValueError(f"an arch dict has exactly the keys {sorted(required)}, got {sorted(arch)}")
    return dict(arch)


def resolve_indices(out_indices: int | Sequence[int], count: int, unit: str) -> tuple[int, ...]:
    """Turn (possibly negative) indices into sorted ones below ``count``."""
    wanted = [out_indices] if isinstance(out_indices, int) else list(out_indices)
    resolved = [i + count if i < 0 else i for i in wanted]
    if any(not 0 <= i < count for i in resolved) or len(set(resolved)) < len(resolved):
        raise ValueError(f"out_indices {wanted}: need distinct indices of {unit}s in {-count} .. {count - 1}")
    return tuple(sorted(resolved))


def choose(name: str, value: Any, allowed: Sequence[Any]) -> Any:
    """Return ``value`` if it is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {list(allowed)}, got {value!r}")
    return value


def check_img_size(img_hw: Grid, patch_size: int) -> None:
    """Refuse training images that do not fill one patch."""
    if min(img_hw) < patch_size:
        raise ValueError(f"img_size {img_hw} (height, width) is smaller than a patch of {patch_size} pixels")


def check_keys(name: str, given: Iterable[str], allowed: Sequence[str]) -> None:
    """Refuse keys, or names, that the argument ``name`` has no use for."""
    if message := refusal(name, given, allowed):
        raise ValueError(message)


def drop_path_rates(rate: float, schedule: str, depth: int) -> list[float]:
    """Give each block's drop-path probability: the same, or growing linearly from 0."""
    choose("drop_path_schedule", schedule, ("constant", "linear"))
    if not 0 <= rate < 1:
        raise ValueError(f"drop_path_rate must be in [0, 1), got {rate}")
    return [rate if schedule == "constant" else rate * i / max(depth - 1, 1) for i in range(depth)]


class RotaryBackbone(BaseModule):
    """What every VisionLLaMA backbone takes.

    Args:
        img_size: Training size in pixels, one side or (height, width): the anchor of auto-scaled positions.
            Any size runs; sides that no patch divides are padded at the bottom and right.
        out_indices: Blocks (plain) or stages (pyramid) whose outputs are returned.
        rope: Rotary component (``RoPE1D``, ``RoPE2D``, ``AS2DRoPE``, ``NTKRoPE2D``), or None.
        pos_embed: Absolute component (``LearnedPosEmbed``, ``SinCosPosEmbed``, ``PEG``), or None.
        attn: Options of :class:`RotaryAttention`, e.g. ``dict(num_kv_heads=2)``.
        ffn: Feed-forward component (``SwiGLU``, ``GELUFFN``).
        layer_scale: Initial value of LayerScale; None: no LayerScale.
        drop_path_rate: Probability that a sample skips a branch.
        drop_path_branches: Branches that may be skipped; ``("attn",)`` in the release's MAE encoders.
        frozen_stages: -1 freezes nothing, 0 what comes before the first group of blocks, n also the first n
            groups (blocks of the plain backbone, stages of the pyramid); all of them, also the output norms.
        with_cp: Recompute each block's activations in the backward pass.
    """

    def __init__(
        self,
        *,
        img_size: int | tuple[int, int] = 224,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = -1,
        rope: dict | None = dict(type="AS2DRoPE"),  # noqa: B006  (read only)
        pos_embed: dict | None = None,
        attn: dict | None = None,
        ffn: dict = dict(type="SwiGLU"),  # noqa: B006
        layer_scale: float | None = 1e-4,
        drop_path_rate: float = 0.0,
        drop_path_branches: Sequence[Literal["attn", "ffn"]] = ("attn", "ffn"),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        user_cfg = init_cfg if isinstance(init_cfg, list) else [init_cfg] if init_cfg else []
        super().__init__(init_cfg=[*self.default_init, *user_cfg])
        self.img_hw: Grid = to_2tuple(img_size)
        self.in_channels, self.out_indices = in_channels, out_indices
        self.rope_cfg, self.pos_embed_cfg, self.attn_cfg = rope, pos_embed, attn or {}
        check_keys("drop_path_branches", drop_path_branches, ("attn", "ffn"))
        self.block_cfg = dict(ffn=ffn, layer_scale=layer_scale, drop_path_branches=drop_path_branches)
        self.drop_path_rate, self.frozen_stages, self.with_cp = drop_path_rate, frozen_stages, with_cp

    default_init: ClassVar[tuple[dict, ...]] = (dict(type="TruncNormal", layer="Linear", std=0.02, bias=0.0),)

    def _build_rope(self, embed_dims: int, num_heads: int) -> RoPE2D | None:
        if embed_dims % num_heads:
            raise ValueError(f"embed_dims {embed_dims} is not divisible by num_heads {num_heads}")
        if self.rope_cfg is None:
            return None
        return build_component(self.rope_cfg, head_dims=embed_dims // num_heads, num_heads=num_heads)

    def _build_pos_embed(self, embed_dims: int, train_hw: Grid) -> nn.Module | None:
        cfg = self.pos_embed_cfg
        return None if cfg is None else build_component(cfg, embed_dims=embed_dims, train_hw=train_hw)

    def _run(self, block: nn.Module, x: Tensor, hw: Grid, tables: Tables | None) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, x, hw, tables, use_reentrant=False)
        return block(x, hw, tables)

    def _freezable(self) -> list[list[nn.Module | nn.Parameter | None]]:
        """List what ``frozen_stages`` 0, 1, ... n freeze in addition, last what follows the blocks."""
        raise NotImplementedError

    def _freeze(self) -> None:
        groups = self._freezable()
        last = len(groups) - 2
        if not -1 <= self.frozen_stages <= last:
            raise ValueError(f"frozen_stages must be in -1 .. {last}, got {self.frozen_stages}")
        count = self.frozen_stages + 1 + (self.frozen_stages == last)
        for part in chain.from_iterable(groups[:count]):
            if part is not None:
                part.requires_grad_(False)

    def train(self, mode: bool = True) -> "RotaryBackbone":
        """Set the mode; frozen parts stay in evaluation mode, so no drop-path disturbs their features."""
        super().train(mode)
        if self.frozen_stages >= 0:
            for part in chain.from_iterable(self._freezable()[: self.frozen_stages + 1]):
                if isinstance(part, nn.Module):
                    part.eval()
        return self
