"""Base class of both backbones: shared arguments, output indices, freezing, activation checkpointing."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmengine.utils import to_2tuple
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmvisionllama.arguments import AtLeast, Component, NotEmpty, Positive, Sides, Within, check, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.grids import Grid
from mmvisionllama.models.rope import RoPE2D, Tables
from mmvisionllama.registry import build_component
from mmvisionllama.suggestions import check_keys, did_you_mean


def resolve_arch(arch: str | dict, archs: dict[str, dict]) -> dict[str, Any]:
    """Look a size up by name, or check a dict of one."""
    if isinstance(arch, str):
        if arch not in archs:
            hint = did_you_mean(arch, archs)
            raise ArgumentError(f"unknown arch {arch!r}.{hint} Allowed: {', '.join(archs)}, or a dict")
        return archs[arch]
    if set(arch) != (required := set(archs["base"])):
        raise ArgumentError(f"an arch dict has exactly the keys {sorted(required)}, got {arch}")
    for name, known in archs["base"].items():
        one_a_stage = not isinstance(known, int)
        check(f"arch.{name}", arch[name], tuple[(Positive,) * len(known)] if one_a_stage else Positive)
    return dict(arch)


def resolve_indices(name: str, indices: int | Sequence[int], count: int, unit: str) -> tuple[int, ...]:
    """Turn (possibly negative) indices into sorted ones below ``count``."""
    wanted = [indices] if isinstance(indices, int) else list(indices)
    resolved = [i + count if i < 0 else i for i in wanted]
    if any(not 0 <= i < count for i in resolved) or len(set(resolved)) < len(resolved):
        raise ArgumentError(f"{name} {wanted}: need distinct indices of {unit}s in {-count} .. {count - 1}")
    return tuple(sorted(resolved))


ATTENTION_OPTIONS = ("num_kv_heads", "qkv_bias", "proj_bias", "qk_norm", "inner_norm")


def build_rope(
    rope: dict | None, heads: dict[str, int], depth: int, attn: Mapping[str, Any]
) -> RoPE2D | None:
    """Build the rotary positions of ``depth`` blocks whose attention has the options ``attn``."""
    if rope is None:
        return None
    built = build_component(rope, **heads, depth=depth)
    if built.learned and attn.get("num_kv_heads"):
        raise ArgumentError("attn.num_kv_heads: keys that heads share have no frequencies of a head")
    return built


class CompleteInit:
    """Mixin of a BaseModule whose ``init_weights`` sets every weight and buffer, also after the meta device.

    mmengine's sets what an ``init_cfg`` names, and leaves the rest as constructors made it. A model that was
    made on the meta device has nothing there; of any other, what constructors drew stays.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._without_values = torch.empty(0).is_meta

    def init_weights(self) -> None:
        """Set what lacks values and has ``reset_parameters``, then what ``init_cfg`` names."""
        if self._without_values and not self.is_init:
            for part in reversed(list(self.modules())):  # a module after its parts
                if isinstance(part, ConvModule):  # mmengine finds none inside a container of torch
                    part.init_weights()
                # Every linear layer is drawn by an init_cfg; to draw those of a large model twice takes long.
                elif hasattr(part, "reset_parameters") and type(part) is not nn.Linear:
                    part.reset_parameters()
        super().init_weights()


class RotaryBackbone(CompleteInit, BaseModule):
    """What every VisionLLaMA backbone takes.

    Args:
        img_size: Training size in pixels, one side or (height, width): the anchor of auto-scaled positions.
            Any size runs; sides that no patch divides are padded at the bottom and right.
        out_indices: Blocks (plain) or stages (pyramid) whose outputs are returned. Those after the last one
            keep their weights' names, so that checkpoints load, but are neither run nor trained.
        rope: Rotary component (``RoPE1D``, ``RoPE2D``, ``AS2DRoPE``, ``NTKRoPE2D``, ``NormalisedRoPE2D``,
            ``MixedRoPE2D``), or None.
        pos_embed: Absolute component (``LearnedPosEmbed``, ``SinCosPosEmbed``, ``PEG``), or None.
        attn: Options of :class:`RotaryAttention`, e.g. ``dict(num_kv_heads=2)`` or
            ``dict(qk_norm=dict(type="RMSNorm", eps=1e-6))``.
        ffn: Feed-forward component (``SwiGLU``, ``GELUFFN``).
        layer_scale: Initial value of LayerScale; None: no LayerScale.
        drop_path_rate: Probability that a sample skips a branch.
        drop_path_branches: Branches that may be skipped; ``("attn",)`` in the release's MAE encoders.
        frozen_stages: -1 freezes nothing, 0 what comes before the first group of blocks, n also the first n
            groups (blocks of the plain backbone, stages of the pyramid); all of them, also the output norms.
        with_cp: Recompute each block's activations in the backward pass.
    """

    @checked
    def __init__(
        self,
        *,
        img_size: Sides = 224,
        in_channels: Positive = 3,
        out_indices: int | Annotated[Sequence[int], NotEmpty()] = -1,
        rope: Component | None = dict(type="AS2DRoPE"),  # noqa: B006  (read only)
        pos_embed: Component | None = None,
        attn: dict | None = None,
        ffn: Component = dict(type="SwiGLU"),  # noqa: B006
        layer_scale: float | None = 1e-4,
        drop_path_rate: Annotated[float, Within("[0, 1)")] = 0.0,
        drop_path_branches: Sequence[Literal["attn", "ffn"]] = ("attn", "ffn"),
        frozen_stages: Annotated[int, AtLeast(-1)] = -1,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        user_cfg = init_cfg if isinstance(init_cfg, list) else [init_cfg] if init_cfg else []
        super().__init__(init_cfg=[*self.default_init, *user_cfg])
        self.img_hw: Grid = to_2tuple(img_size)
        self.in_channels, self.out_indices = in_channels, out_indices
        self.rope_cfg, self.pos_embed_cfg, self.attn_cfg = rope, pos_embed, attn or {}
        check_keys("attn", self.attn_cfg, ATTENTION_OPTIONS)
        self.block_cfg = dict(ffn=ffn, layer_scale=layer_scale, drop_path_branches=drop_path_branches)
        self.drop_path_rate, self.frozen_stages, self.with_cp = drop_path_rate, frozen_stages, with_cp

    default_init: ClassVar[tuple[dict, ...]] = (dict(type="TruncNormal", layer="Linear", std=0.02, bias=0.0),)

    def _build_rope(self, embed_dims: int, num_heads: int, depth: int) -> RoPE2D | None:
        if embed_dims % num_heads:
            raise ArgumentError(f"embed_dims {embed_dims} is not divisible by num_heads {num_heads}")
        heads = dict(head_dims=embed_dims // num_heads, num_heads=num_heads)
        return build_rope(self.rope_cfg, heads, depth, self.attn_cfg)

    def _build_pos_embed(self, embed_dims: int, train_hw: Grid) -> nn.Module | None:
        cfg = self.pos_embed_cfg
        return None if cfg is None else build_component(cfg, embed_dims=embed_dims, train_hw=train_hw)

    def _check_img_size(self, patch_size: int) -> None:
        """Refuse training images that do not fill one patch."""
        if min(self.img_hw) < patch_size:
            raise ArgumentError(
                f"img_size {self.img_hw} (height, width) is smaller than a patch of {patch_size} pixels"
            )

    def _check_images(self, img: Tensor) -> None:
        if isinstance(img, Tensor) and img.ndim == 4 and img.shape[1] == self.in_channels:
            return
        got = tuple(img.shape) if isinstance(img, Tensor) else type(img).__name__
        raise ArgumentError(
            f"{type(self).__name__}: img takes images (B, {self.in_channels}, height, width), got {got}"
        )

    def _drop_path_rates(self, schedule: str, depth: int) -> list[float]:
        """Give each block's drop-path probability: the same, or growing linearly from 0."""
        rate = self.drop_path_rate
        return [rate if schedule == "constant" else rate * i / max(depth - 1, 1) for i in range(depth)]

    def _run(self, block: nn.Module, x: Tensor, hw: Grid, tables: Tables | None) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, x, hw, tables, use_reentrant=False)
        return block(x, hw, tables)

    def _freezable(self) -> list[list[nn.Module | nn.Parameter | None]]:
        """List what ``frozen_stages`` 0, 1, ... n freeze in addition, last what follows the blocks."""
        raise NotImplementedError

    def _unused(self) -> list[nn.Module]:
        """List what no output depends on."""
        raise NotImplementedError

    def _freeze(self) -> None:
        groups = self._freezable()
        last = len(groups) - 2
        if not -1 <= self.frozen_stages <= last:
            raise ArgumentError(f"frozen_stages must be in -1 .. {last}, got {self.frozen_stages}")
        count = self.frozen_stages + 1 + (self.frozen_stages == last)
        for part in chain.from_iterable(groups[:count]):
            if part is not None:
                part.requires_grad_(False)
        for part in self._unused():  # DistributedDataParallel waits for the gradient of whatever is trained
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "RotaryBackbone":
        """Set the mode; frozen parts stay in evaluation mode, so no drop-path disturbs their features."""
        super().train(mode)
        if self.frozen_stages >= 0:
            for part in chain.from_iterable(self._freezable()[: self.frozen_stages + 1]):
                if isinstance(part, nn.Module):
                    part.eval()
        return self
