"""The VisionLLaMA block; feed-forwards, norms and absolute positions."""

from collections.abc import Collection
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmcv.cnn.bricks.transformer import PatchEmbed as HostPatchEmbed
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvisionllama.arguments import Component, Positive, PositiveNumber, Within, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.attention import RotaryAttention
from mmvisionllama.models.grids import Grid, grid_positions, holds, padding, squares
from mmvisionllama.models.linear import gated, gated_linear, linear_on_squares, scaled_linear
from mmvisionllama.models.norms import build_norm
from mmvisionllama.models.rope import Tables
from mmvisionllama.registry import MODELS, build_component


class PatchEmbed(HostPatchEmbed):
    """mmcv's patch embedding, which pads at the bottom and right, whatever sizes a graph leaves free."""

    def forward(self, img: Tensor) -> tuple[Tensor, Grid]:
        """Map (B, C, img_h, img_w) to (B, N, D), and tell the grid of tokens."""
        (side, _), img_hw = self.projection.kernel_size, img.shape[2:]
        down, right = padding(img_hw, side)
        if not holds(down == 0) or not holds(right == 0):
            img = F.pad(img, (0, right, 0, down))
        x = linear_on_squares(self.projection, img)
        return x if self.norm is None else self.norm(x), squares(img_hw, side)


@MODELS.register_module()
class SwiGLU(nn.Module):
    """Gated feed-forward W_down(SiLU(W_gate x) * (W_up x)) of LLaMA.

    Args:
        hidden_dims: Width of the gate; None: 2/3 x ``expand`` x ``embed_dims``, up to ``multiple_of``.
        expand: 4 gives the paper's sizes; 16 those of the released MAE encoders (hidden 8192 and 11008).
        bias: Biases on all three; the paper has none, the released MAE encoders do.
        norm_cfg: Of a norm on what the gate lets through, before the last layer (EVA-02, Sec. 2.1, "sub-LN");
            None: there is none.
    """

    @checked
    def __init__(
        self,
        embed_dims: Positive,
        *,
        hidden_dims: Positive | None = None,
        expand: PositiveNumber = 4.0,
        multiple_of: Positive = 256,
        bias: bool = False,
        norm_cfg: Component | None = None,
    ) -> None:
        super().__init__()
        if hidden_dims is None:
            hidden_dims = -(-int(2 * expand * embed_dims / 3) // multiple_of) * multiple_of
        self.gate = nn.Linear(embed_dims, hidden_dims, bias=bias)
        self.up = nn.Linear(embed_dims, hidden_dims, bias=bias)
        self.norm = None if norm_cfg is None else build_norm(norm_cfg, hidden_dims)
        self.down = nn.Linear(hidden_dims, embed_dims, bias=bias)

    def forward(self, x: Tensor, gamma: Tensor | None = None) -> Tensor:
        """Map (..., D) to (..., D), times ``gamma`` (D,), which is LayerScale."""
        gate, up = self.gate(x), self.up(x)
        if self.norm is None:
            return gated_linear(self.down, gate, up, gamma)
        return scaled_linear(self.down, self.norm(gated(gate, up)), gamma)


@MODELS.register_module()
class GELUFFN(nn.Module):
    """Two-layer feed-forward of ViT (ablation of VisionLLaMA, Tab. 7).

    Args:
        hidden_dims: None: ``expand`` x ``embed_dims``.
        approximate: ``none``, or ``tanh`` as in DiT and SiT.
    """

    @checked
    def __init__(
        self,
        embed_dims: Positive,
        *,
        hidden_dims: Positive | None = None,
        expand: PositiveNumber = 4.0,
        bias: bool = True,
        approximate: Literal["none", "tanh"] = "none",
    ) -> None:
        super().__init__()
        self.approximate = approximate
        hidden_dims = hidden_dims or max(int(expand * embed_dims), 1)
        self.up = nn.Linear(embed_dims, hidden_dims, bias=bias)
        self.down = nn.Linear(hidden_dims, embed_dims, bias=bias)

    def forward(self, x: Tensor, gamma: Tensor | None = None) -> Tensor:
        """Map (..., D) to (..., D), times ``gamma`` (D,), which is LayerScale."""
        return scaled_linear(self.down, F.gelu(self.up(x), approximate=self.approximate), gamma)


class VisionLLaMABlock(nn.Module):
    """Pre-norm attention and feed-forward, each behind LayerScale and drop-path (VisionLLaMA, Fig. 2).

    Args:
        layer_scale: Initial value of the per-channel LayerScale on both branches; None: no LayerScale.
        drop_path: Probability that a sample skips a branch.
        drop_path_branches: Which of ``attn`` and ``ffn`` it may skip.
    """

    @checked
    def __init__(
        self,
        embed_dims: Positive,
        attn: RotaryAttention,
        *,
        ffn: Component,
        norm_cfg: Component,
        layer_scale: float | None,
        drop_path: Annotated[float, Within("[0, 1)")],
        drop_path_branches: Collection[Literal["attn", "ffn"]],
    ) -> None:
        super().__init__()
        self.norm1 = build_norm(norm_cfg, embed_dims)
        self.attn = attn
        self.norm2 = build_norm(norm_cfg, embed_dims)
        self.ffn = build_component(ffn, embed_dims=embed_dims)
        self.layer_scale = layer_scale
        for name in ("gamma1", "gamma2"):
            gamma = None if layer_scale is None else nn.Parameter(torch.empty(embed_dims))
            self.register_parameter(name, gamma)
        self.reset_parameters()
        self.drop_attn = DropPath(drop_path if "attn" in drop_path_branches else 0.0)
        self.drop_ffn = DropPath(drop_path if "ffn" in drop_path_branches else 0.0)

    def reset_parameters(self) -> None:
        """Set LayerScale to its initial value."""
        for gamma in (self.gamma1, self.gamma2):
            if gamma is not None:
                nn.init.constant_(gamma, self.layer_scale)

    def forward(self, x: Tensor, hw: Grid, tables: Tables | None) -> Tensor:
        branch = self.attn(self.norm1(x), hw, tables, gamma=self.gamma1)
        x = x + self.drop_attn(branch).to(x.dtype)
        branch = self.ffn(self.norm2(x), gamma=self.gamma2)
        return x + self.drop_ffn(branch).to(x.dtype)


# --- absolute positions: added to the patch tokens, or convolved after a stage's first block ---------------


@MODELS.register_module()
class LearnedPosEmbed(nn.Module):
    """A learned table added to the patch tokens, bicubically resized to other grids (Tab. 7, "learnable").

    Args:
        antialias: Resize as timm does, which smooths what it shrinks.
    """

    after_first_block = False

    @checked
    def __init__(
        self, embed_dims: Positive, train_hw: tuple[Positive, Positive], *, antialias: bool = False
    ) -> None:
        super().__init__()
        self.antialias = antialias
        self.weight = nn.Parameter(torch.empty(1, embed_dims, *train_hw))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, x: Tensor, hw: Grid) -> Tensor:
        table_1DHW = self.weight
        if not holds(table_1DHW.shape[2] == hw[0]) or not holds(table_1DHW.shape[3] == hw[1]):
            precise = torch.promote_types(table_1DHW.dtype, torch.float32)
            table_1DHW = self._resized(table_1DHW.to(precise), hw)
        return x + table_1DHW.flatten(2).transpose(1, 2).to(x.dtype)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        table = state_dict.get(f"{prefix}weight")
        if table is not None and table.ndim == 4 and table.shape[:2] == self.weight.shape[:2]:
            resized = self._resized(table.float(), self.weight.shape[2:])
            state_dict[f"{prefix}weight"] = resized.to(table.dtype)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _resized(self, table_1DHW: Tensor, hw: Grid) -> Tensor:
        return F.interpolate(table_1DHW, hw, mode="bicubic", align_corners=False, antialias=self.antialias)


@MODELS.register_module()
class SinCosPosEmbed(nn.Module):
    """A fixed table added to the patch tokens: half the channels code the column, half the row.

    Args:
        temperature: Longest wave length, over 2 pi, in tokens.

    Raises:
        ValueError: if ``embed_dims`` is not divisible by 4.
    """

    after_first_block = False

    @checked
    def __init__(
        self,
        embed_dims: Positive,
        train_hw: tuple[Positive, Positive],
        *,
        temperature: PositiveNumber = 10000.0,
    ) -> None:
        super().__init__()
        if embed_dims % 4:
            raise ArgumentError(f"SinCosPosEmbed needs embed_dims divisible by 4, got {embed_dims}")
        self.quarter, self.temperature = embed_dims // 4, float(temperature)

    def forward(self, x: Tensor, hw: Grid) -> Tensor:
        index = torch.arange(self.quarter, device=x.device, dtype=torch.float32)
        frequency = self.temperature ** (-index / self.quarter)
        angle_N2Q = grid_positions(hw, x.device)[..., None] * frequency
        table_ND = torch.cat((angle_N2Q.sin(), angle_N2Q.cos()), dim=-1).flatten(1)
        return x + table_ND.to(x.dtype)


@MODELS.register_module()
class PEG(BaseModule):
    """Depthwise 3 x 3 convolution plus identity after a stage's first block (Twins; Tab. 7, "PEG")."""

    after_first_block = True

    @checked
    def __init__(self, embed_dims: Positive, train_hw: tuple[Positive, Positive]) -> None:
        # Twins' fan-out counts one group, which is what fan-in is here; mmengine's fan-out counts them all.
        super().__init__(init_cfg=dict(type="Kaiming", layer="Conv2d", mode="fan_in"))
        self.conv = nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims)

    def forward(self, x: Tensor, hw: Grid) -> Tensor:
        map_BDHW = x.transpose(1, 2).unflatten(2, hw)
        return x + self.conv(map_BDHW).flatten(2).transpose(1, 2).to(x.dtype)
