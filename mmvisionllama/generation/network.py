"""The network of DiT and SiT: transformer blocks with adaLN-Zero, LLaMA's or ViT's."""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from einops import rearrange
from mmengine.model import BaseModule, ModuleList
from mmengine.utils import to_2tuple
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmvisionllama.arguments import Component, Positive, Sides, Within, check, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.attention import RotaryAttention, join_extra, split_extra
from mmvisionllama.models.backbone import ATTENTION_OPTIONS, CompleteInit, build_rope, resolve_arch
from mmvisionllama.models.grids import Grid, grid_positions
from mmvisionllama.models.layers import build_norm
from mmvisionllama.models.registers import build_registers
from mmvisionllama.models.rotary_table import Tables, of_blocks
from mmvisionllama.registry import MODELS, build_component
from mmvisionllama.suggestions import check_keys

# S to XL: VisionLLaMA, Tab. 18, which are DiT's. Tiny is ours, for pixels and demonstrations.
ARCHS = {
    "tiny": dict(embed_dims=96, num_layers=6, num_heads=3),
    "small": dict(embed_dims=384, num_layers=12, num_heads=6),
    "base": dict(embed_dims=768, num_layers=12, num_heads=12),
    "large": dict(embed_dims=1024, num_layers=24, num_heads=16),
    "xlarge": dict(embed_dims=1152, num_layers=28, num_heads=16),
}
BLOCKS = {
    "llama": dict(rope=dict(type="AS2DRoPE"), pos_embed=None, ffn=dict(type="SwiGLU")),
    "vit": dict(
        rope=None, pos_embed=dict(type="SinCosPosEmbed"), ffn=dict(type="GELUFFN", approximate="tanh")
    ),
}
_NORM = dict(type="LN", eps=1e-6, elementwise_affine=False)


@MODELS.register_module()
class DiT(CompleteInit, BaseModule):
    """A diffusion transformer over patches of latents or pixels (DiT; VisionLLaMA, Sec. 3.3).

    The release's LLaMA networks keep a frozen table of sines that they never add; here it is left out, and
    that of ViT's block is computed. All parameters are trained, 130,380,416 for DiT-LLaMA-B/4 as released.

    Args:
        arch: A name of ``ARCHS``, or a dict with the same keys.
        patch_size: Side of a patch, in latents or pixels.
        input_size: Training size of the input, one side or (height, width): the anchor of auto-scaled
            positions. Any size runs that patches divide.
        num_classes: Classes; labels are 0 to ``num_classes`` - 1.
        label_dropout: Share of labels that :meth:`drop_labels` replaces by ``null_label``, the class "any",
            which guidance needs. 0: there is no such class.
        learn_sigma: Give a second output for every input channel: what a learned variance needs. SiT's
            published networks have it too, and an interpolant ignores it.
        block: ``llama``: 2-D rotary positions and SwiGLU; ``vit``: the block of DiT and SiT, GELU and sines
            and cosines added to the patches; or a dict of the components ``rope``, ``pos_embed`` and ``ffn``
            that take the place of LLaMA's, and of ``attn``, options of :class:`RotaryAttention` such as
            ``dict(qk_norm=dict(type="RMSNorm", eps=1e-6))``.
        registers: ``dict(count=4, rope=dict(type="RoPE2D", base=100))``: :class:`Registers`, which blocks
            see, modulated as the patches are, and the head does not. Without ``rope`` they are not rotated.
        with_cp: Recompute each block's activations in the backward pass.

    Raises:
        ValueError: for an unknown size or block, or sides that patches do not divide.
    """

    arch_zoo: ClassVar[dict[str, dict]] = ARCHS
    default_init: ClassVar[tuple[dict, ...]] = (
        dict(type="Xavier", layer="Linear", distribution="uniform", bias=0.0),
        dict(type="Normal", layer="Embedding", std=0.02),
    )

    @checked
    def __init__(
        self,
        arch: str | dict = "base",
        *,
        patch_size: Positive = 2,
        input_size: Sides = 32,
        in_channels: Positive = 4,
        num_classes: Positive = 1000,
        label_dropout: Annotated[float, Within("[0, 1)")] = 0.1,
        learn_sigma: bool = True,
        block: Literal["llama", "vit"] | dict = "llama",
        registers: dict | None = None,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        user_cfg = init_cfg if isinstance(init_cfg, list) else [init_cfg] if init_cfg else []
        super().__init__(init_cfg=[*self.default_init, *user_cfg])
        sizes = resolve_arch(arch, self.arch_zoo)
        self.embed_dims, num_heads = sizes["embed_dims"], sizes["num_heads"]
        self.patch_size, self.in_channels, self.with_cp = patch_size, in_channels, with_cp
        self.input_hw: Grid = to_2tuple(input_size)
        self.out_channels = in_channels * (2 if learn_sigma else 1)
        self.num_classes, self.label_dropout = num_classes, label_dropout
        self.train_hw = self._grid(self.input_hw)

        parts = resolve_block(block)
        self.patch_embed = nn.Linear(in_channels * patch_size**2, self.embed_dims)
        self.time_embed = TimeEmbed(self.embed_dims)
        self.label_embed = nn.Embedding(num_classes + (label_dropout > 0), self.embed_dims)
        self.blocks = ModuleList(
            AdaLNBlock(self.embed_dims, num_heads, parts["ffn"], parts.get("attn"))
            for _ in range(sizes["num_layers"])
        )
        heads = dict(head_dims=self.embed_dims // num_heads, num_heads=num_heads)
        self.rope = build_rope(parts["rope"], heads, sizes["num_layers"], parts.get("attn") or {})
        self.registers = build_registers(registers, self.embed_dims, self.rope, heads)
        table = dict(embed_dims=self.embed_dims, train_hw=self.train_hw)
        self.pos_embed = parts["pos_embed"] and build_component(parts["pos_embed"], **table)
        self.head = AdaLNHead(self.embed_dims, self.out_channels * patch_size**2)

    @property
    def null_label(self) -> int | None:
        """The label that stands for no class, None in a network without label dropout."""
        return self.num_classes if self.label_dropout else None

    @property
    def extra_tokens(self) -> int:
        """How many tokens precede the patches: the registers."""
        return len(self.registers or ())

    @property
    def modulation_dims(self) -> int:
        """Numbers that :meth:`modulations` gives of every time and class."""
        return sum(part.linear.out_features for part in self._modulated())

    def drop_labels(self, label_B: Tensor) -> Tensor:
        """Replace a random share of the labels by ``null_label``, for training."""
        if not self.label_dropout:
            return label_B
        dropped_B = torch.rand(label_B.shape, device=label_B.device) < self.label_dropout
        return label_B.masked_fill(dropped_B, self.null_label)

    def modulations(self, time_B: Tensor, label_B: Tensor, dtype: torch.dtype) -> Tensor:
        """Give all that depends on time and class alone, ahead of :meth:`forward`, (B, modulation_dims).

        Args:
            dtype: That of the inputs.
        """
        condition_BD = self.time_embed(time_B, dtype) + self.label_embed(label_B)
        return torch.cat([part.project(condition_BD) for part in self._modulated()], dim=-1)

    def forward(
        self, x: Tensor, time_B: Tensor, label_B: Tensor, *, modulation_BM: Tensor | None = None
    ) -> Tensor:
        """Predict from a noisy input, its time and its class.

        Args:
            x: (B, in_channels, height, width).
            time_B: What the objective counts in: steps, or 0 (noise) to 1 (data).
            modulation_BM: What :meth:`modulations` gave for these times and classes, which then count no
                more; None: it is made here.

        Returns:
            (B, out_channels, height, width), the dtype of ``x``.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels or not x.shape[:1] == time_B.shape == label_B.shape:
            raise ArgumentError(
                f"DiT: x takes (B, {self.in_channels}, height, width) with B times and B labels, got "
                f"{', '.join(str(tuple(given.shape)) for given in (x, time_B, label_B))}"
            )
        hw, side = self._grid(x.shape[2:]), self.patch_size
        patch_BNE = rearrange(x, "b c (h p) (w q) -> b (h w) (c p q)", p=side, q=side)
        token = self.patch_embed(patch_BNE).to(x.dtype)
        late = self.pos_embed is not None and self.pos_embed.after_first_block
        if self.pos_embed is not None and not late:
            token = self.pos_embed(token, hw)
        if self.registers is not None:
            token = self.registers(token)
        conditions = self._conditions(time_B, label_B, x.dtype, modulation_BM)
        tables = of_blocks(self._tables(hw, x.device), len(self.blocks))
        for i, (block, condition) in enumerate(zip(self.blocks, conditions, strict=False)):
            token = self._run(block, token, condition, hw, tables[i])
            if i == 0 and late:
                extra, patches = split_extra(token, self.extra_tokens)
                token = join_extra(extra, self.pos_embed(patches, hw))
        _, patches = split_extra(token, self.extra_tokens)
        out_BNE = self.head(patches, conditions[-1]).to(x.dtype)
        return rearrange(out_BNE, "b (h w) (p q c) -> b c (h p) (w q)", h=hw[0], p=side, q=side)

    def _modulated(self) -> list["Modulation"]:
        return [part.modulation for part in (*self.blocks, self.head)]

    def _conditions(
        self, time_B: Tensor, label_B: Tensor, dtype: torch.dtype, modulation_BM: Tensor | None
    ) -> Sequence[Tensor]:
        """Give what each block and the head are conditioned on: (B, D), or their own modulation."""
        if modulation_BM is None:
            condition_BD = self.time_embed(time_B, dtype) + self.label_embed(label_B)
            return [condition_BD] * (len(self.blocks) + 1)
        sizes = [part.linear.out_features for part in self._modulated()]
        return modulation_BM[:, None].split(sizes, dim=-1)

    def _grid(self, sides: tuple[int, int]) -> Grid:
        if any(side < self.patch_size or side % self.patch_size for side in sides):
            raise ArgumentError(
                f"an input of {tuple(sides)} is no whole number of patches of {self.patch_size}"
            )
        return sides[0] // self.patch_size, sides[1] // self.patch_size

    def _tables(self, hw: Grid, device: torch.device) -> Tables | None:
        if self.rope is None:
            return None
        scale = self.rope.scale(hw, self.train_hw)
        tables = self.rope.tables(grid_positions(hw, device), hw=hw, scale=scale)
        return tables if self.registers is None else self.registers.with_rows(tables)

    def _run(self, block: nn.Module, *args: Tensor | Grid | Tables | None) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, *args, use_reentrant=False)
        return block(*args)


def resolve_block(block: str | dict) -> dict[str, dict | None]:
    """Return the components of a block by its name, or LLaMA's with some replaced."""
    if isinstance(block, str):
        return BLOCKS[block]
    check_keys("block", block, [*BLOCKS["llama"], "attn"])
    parts = BLOCKS["llama"] | block
    for name in ("rope", "pos_embed"):
        check(f"block.{name}", parts[name], Component | None)
    check("block.ffn", parts["ffn"], Component)
    check_keys("block.attn", check("block.attn", parts.get("attn"), dict | None) or {}, ATTENTION_OPTIONS)
    return parts


class TimeEmbed(BaseModule):
    """Cosines and sines of a time, and two layers over them."""

    num_waves = 128

    @checked
    def __init__(self, embed_dims: Positive) -> None:
        super().__init__(init_cfg=dict(type="Normal", layer="Linear", std=0.02))
        self.up = nn.Linear(2 * self.num_waves, embed_dims)
        self.down = nn.Linear(embed_dims, embed_dims)

    def forward(self, time_B: Tensor, dtype: torch.dtype) -> Tensor:
        """Embed times, (B, D), from waves of a dtype, which is that of the network's input."""
        index = torch.arange(self.num_waves, device=time_B.device, dtype=torch.float32)
        angle = time_B.float()[:, None] * (-math.log(10000.0) * index / self.num_waves).exp()
        waves = torch.cat((angle.cos(), angle.sin()), dim=-1).to(dtype)
        return self.down(F.silu(self.up(waves)))


class Modulation(BaseModule):
    """Shifts, scales and gates from the condition, (B, 1, D) each; all 0 at first (adaLN-Zero)."""

    @checked
    def __init__(self, embed_dims: Positive, count: Positive) -> None:
        super().__init__(init_cfg=dict(type="Constant", layer="Linear", val=0.0))
        self.count = count
        self.linear = nn.Linear(embed_dims, count * embed_dims)

    def project(self, condition_BD: Tensor) -> Tensor:
        """Give all of them in one, (B, count x D)."""
        return self.linear(F.silu(condition_BD))

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """Take a condition (B, D), or what :meth:`project` made of it ahead, (B, 1, count x D)."""
        made = condition if condition.ndim == 3 else self.project(condition)[:, None]
        return made.chunk(self.count, dim=-1)


class AdaLNBlock(BaseModule):
    """Attention and feed-forward whose norms and gates the condition sets (DiT, Fig. 3)."""

    @checked
    def __init__(
        self, embed_dims: Positive, num_heads: Positive, ffn: Component, attn: dict | None = None
    ) -> None:
        super().__init__()
        self.norm1 = build_norm(_NORM, embed_dims)
        self.attn = RotaryAttention(embed_dims, num_heads, **(attn or {}))
        self.norm2 = build_norm(_NORM, embed_dims)
        self.ffn = build_component(ffn, embed_dims=embed_dims)
        self.modulation = Modulation(embed_dims, 6)

    def forward(self, x: Tensor, condition: Tensor, hw: Grid, tables: Tables | None) -> Tensor:
        """Take a condition as :class:`Modulation` does."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)
        x = x + (gate1 * self.attn(_modulate(self.norm1(x), shift1, scale1), hw, tables)).to(x.dtype)
        return x + (gate2 * self.ffn(_modulate(self.norm2(x), shift2, scale2))).to(x.dtype)


class AdaLNHead(BaseModule):
    """The modulated norm and the linear layer that end the network; 0 at first."""

    @checked
    def __init__(self, embed_dims: Positive, out_dims: Positive) -> None:
        super().__init__(init_cfg=dict(type="Constant", layer="Linear", val=0.0))
        self.norm = build_norm(_NORM, embed_dims)
        self.modulation = Modulation(embed_dims, 2)
        self.linear = nn.Linear(embed_dims, out_dims)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Take a condition as :class:`Modulation` does."""
        return self.linear(_modulate(self.norm(x), *self.modulation(condition)))


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale) + shift
