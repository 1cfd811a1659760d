"""Rotary positions in two dimensions: positions -> angles -> rotation. The only rotary code of the package.

A task changes the first step alone: which (column, row) its tokens and keys have.
"""

from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmvisionllama.arguments import Positive, PositiveNumber, Within, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.grids import Grid, grid_positions, rows_and_columns, squares
from mmvisionllama.models.rope_augment import Draw, draw_coordinates, read_augment
from mmvisionllama.models.rotary_table import RotaryTable, Tables
from mmvisionllama.registry import MODELS

Scale = float | tuple[float, float]  # on both axes, or on columns and on rows


# --- 1. positions -----------------------------------------------------------------------------------------


def summary_positions(
    hw: Grid,
    ratio: int,
    mode: Literal["centre", "released"] = "centre",
    device: torch.device | None = None,
) -> Tensor:
    """Give the (column, row) of the keys that summarise ``ratio`` x ``ratio`` tokens each, (M, 2) float32.

    Args:
        mode: ``centre``: the mean position of the tokens that the key summarises, padding excluded
            (VisionLLaMA, Fig. 5). ``released``: offset 1 - 1/ratio and the key's index split by the width of
            the full grid, as the released pyramid weights were trained with.
    """
    rows, cols = squares(hw, ratio)
    if mode == "released":
        row_M, column_M = rows_and_columns(torch.arange(rows * cols, device=device), hw[1])
        column_row = torch.stack((column_M, row_M), dim=-1)
        return column_row.float() * ratio + (1 - 1 / ratio)
    first = grid_positions((rows, cols), device) * ratio
    column_M, row_M = (first + (ratio - 1)).unbind(-1)
    last = torch.stack((column_M.clamp(max=hw[1] - 1), row_M.clamp(max=hw[0] - 1)), dim=-1)
    return (first + last) / 2


# --- 2. angles --------------------------------------------------------------------------------------------


@MODELS.register_module()
class RoPE2D(nn.Module):
    """Rotary positions on two axes, unscaled (VisionLLaMA, Eq. 3).

    Pair 2m of a head turns by column x w_m and pair 2m + 1 by row x w_m, w_m = base^(-4m/d), m < d/4.

    Args:
        base: Base of the frequencies.
        ratio: Share of each head's channels that is rotated, in (0, 1]; the rest pass untouched.
        shared: One table for all heads; else one table spans all channels and each head has its slice of
            the frequency range.
        first: Column and row of the first token; 1 in the Perception Encoders with a class token.
        cls_position: The class token's (column, row); ``raster`` is the grid's index -1: last column, row -1.
            None: it is not rotated, as in RoPE-ViT, ViT-5, EVA-02 and DINOv3.
        key_positions: Places of sub-sampled keys, see :func:`summary_positions`.
        augment: ``dict(shift=, jitter=, rescale=)``, any of them: coordinates are moved and scaled at random
            in training (DINOv3, Sec. 3.2), see :func:`draw_coordinates`.

    Raises:
        ValueError: if the rotated width is not a positive multiple of two channels per axis.
    """

    axes = 2
    learned = False

    @checked
    def __init__(
        self,
        head_dims: Positive,
        num_heads: Positive,
        *,
        base: PositiveNumber = 10000.0,
        ratio: Annotated[float, Within("(0, 1]")] = 1.0,
        shared: bool = True,
        first: float = 0.0,
        cls_position: Literal["raster"] | tuple[float, float] | None = "raster",
        key_positions: Literal["centre", "released"] = "centre",
        augment: dict | None = None,
    ) -> None:
        super().__init__()
        self.rotary_dims = round(head_dims * ratio)
        unit = 2 * self.axes
        if self.rotary_dims % unit or not self.rotary_dims:
            raise ArgumentError(
                f"{type(self).__name__} rotates ratio x head width = {ratio} x {head_dims} channels, which "
                f"must be a positive multiple of {unit}"
            )
        self.num_heads, self.shared = num_heads, shared
        self.base, self.ratio = base, ratio
        self.first, self.cls_position = first, cls_position
        self.key_positions = key_positions
        self.augment = read_augment(augment)

    def extra_repr(self) -> str:
        return f"base={self.base}, ratio={self.ratio}, shared={self.shared}"

    def scale(self, hw: Grid, train_hw: Grid) -> Scale:
        """Give the factor on all positions of a grid, when the model was trained on ``train_hw``."""
        return 1.0

    def class_token(self, hw: Grid, device: torch.device | None = None) -> Tensor:
        """Give the class token's own place, (1, 2)."""
        column, row = (hw[1] - 1, -1) if self.cls_position == "raster" else self.cls_position
        options = dict(device=device, dtype=torch.float32)
        return torch.stack((torch.full((1,), column, **options), torch.full((1,), row, **options)), dim=-1)

    def tables(
        self, query_N2: Tensor, key_M2: Tensor | None = None, *, hw: Grid, scale: Scale = 1.0
    ) -> Tables:
        """Make the tables of queries and of keys (the queries' own where ``key_M2`` is None).

        In training with ``augment`` each call draws once, for both.
        """
        at = dict(hw=hw, scale=scale, drawn=self._draw(query_N2.device))
        query = self.table(query_N2, **at)
        return query, query if key_M2 is None else self.table(key_M2, **at)

    def window_tables(self, side: int, device: torch.device | None = None) -> Tables:
        """Make the tables inside a window: the same few positions at every image size, so never scaled."""
        return self.tables(grid_positions((side, side), device), hw=(side, side))

    def table(
        self,
        position_N2: Tensor,
        *,
        hw: Grid,
        scale: Scale = 1.0,
        base: float | None = None,
        drawn: Draw | None = None,
    ) -> RotaryTable:
        """Make the table of tokens at any positions; ``hw`` is the grid that they lie on."""
        angle_NAP = self.angles(self.placed(position_N2, scale), hw, base or self.base, drawn)
        compiled = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
        opaque = compiled and not self.learned
        return RotaryTable(*(_opaque_cos_sin if opaque else _cos_sin)(angle_NAP), self.learned)

    def placed(self, position_N2: Tensor, scale: Scale) -> Tensor:
        """Count positions from ``first`` on, and scale them."""
        if self.first:
            position_N2 = position_N2 + self.first
        if not isinstance(scale, tuple):
            return position_N2 * scale
        column_N, row_N = position_N2.unbind(-1)
        return torch.stack((column_N * scale[0], row_N * scale[1]), dim=-1)

    def angles(self, position_N2: Tensor, hw: Grid, base: float, drawn: Draw | None = None) -> Tensor:
        """Turn positions into radians, (..., N, 1 or A, P) float32."""
        heads = 1 if self.shared else self.num_heads
        # Not a buffer: `.to(bfloat16)` would round it, and these few numbers cost nothing to make.
        index = torch.arange(heads * self.rotary_dims // (2 * self.axes), device=position_N2.device)
        frequency = float(base) ** (-index.float() / len(index))
        coordinate = self._drawn_coordinates(position_N2, hw, drawn)
        pair = (frequency[:, None] * coordinate[..., None, :]).flatten(-2)
        return pair.unflatten(-1, (heads, self.rotary_dims // 2))

    def _drawn_coordinates(self, position_N2: Tensor, hw: Grid, drawn: Draw | None) -> Tensor:
        coordinate = self._coordinates(position_N2.float(), hw)
        return coordinate if drawn is None else (coordinate + drawn.shift) * drawn.factor

    def _coordinates(self, position_N2: Tensor, hw: Grid) -> Tensor:
        return position_N2

    def _draw(self, device: torch.device | None) -> Draw | None:
        return draw_coordinates(self.augment, self.axes, device) if self.training and self.augment else None


def _cos_sin(angle_NAP: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = angle_NAP.cos(), angle_NAP.sin()
    # Not repeat_interleave: the tracing exporter of ONNX makes a wrong graph of it.
    return tuple(torch.stack(x, dim=-1).flatten(-2) for x in ((cos, cos), (sin, -sin)))


# A compiler would fuse cosines and sines into every rotation and compute them anew for each image, head and
# block; a custom operator keeps the table as numbers.
_opaque_cos_sin = torch.library.custom_op("mmvisionllama::cos_sin", _cos_sin, mutates_args=())


@_opaque_cos_sin.register_fake
def _(angle_NAP: Tensor) -> tuple[Tensor, Tensor]:
    shape = (*angle_NAP.shape[:-1], 2 * angle_NAP.shape[-1])
    return angle_NAP.new_empty(shape), angle_NAP.new_empty(shape)


@MODELS.register_module()
class RoPE1D(RoPE2D):
    """Rotary positions of the flat raster index, as in a language model (VisionLLaMA, Tab. 12)."""

    axes = 1

    def _coordinates(self, position_N2: Tensor, hw: Grid) -> Tensor:
        return position_N2[..., :1] + hw[1] * position_N2[..., 1:]


@MODELS.register_module()
class NTKRoPE2D(RoPE2D):
    """Two-dimensional rotary positions with the base enlarged (NTK-aware; VisionLLaMA, Tab. 12).

    Windows keep the base: their positions are those of the training at every image size.

    Args:
        alpha: Factor on the base.
        queries_only: Enlarge the base for the queries alone, as the released code does.
    """

    @checked
    def __init__(
        self,
        head_dims: Positive,
        num_heads: Positive,
        *,
        alpha: PositiveNumber = 2.0,
        queries_only: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(head_dims, num_heads, **kwargs)
        self.alpha, self.queries_only = alpha, queries_only

    def tables(
        self, query_N2: Tensor, key_M2: Tensor | None = None, *, hw: Grid, scale: Scale = 1.0
    ) -> Tables:
        enlarged, at = self.base * self.alpha, dict(hw=hw, scale=scale, drawn=self._draw(query_N2.device))
        query = self.table(query_N2, base=enlarged, **at)
        if key_M2 is None and not self.queries_only:
            return query, query
        key_M2 = query_N2 if key_M2 is None else key_M2
        return query, self.table(key_M2, base=self.base if self.queries_only else enlarged, **at)

    def window_tables(self, side: int, device: torch.device | None = None) -> Tables:
        return super().tables(grid_positions((side, side), device), hw=(side, side))


@MODELS.register_module()
class AS2DRoPE(RoPE2D):
    """Two-dimensional rotary positions, auto-scaled to the range seen in training (VisionLLaMA, Eq. 4).

    Args:
        anchor: Side of the training grid in tokens. None: the grid of the stage at the model's ``img_size``,
            so that the factor is 1 there. The release has 14 at every stage.
        scale_side: ``longer``: anchor over the longer side, so that no coordinate leaves the range seen in
            training. ``rows``: anchor over the rows, as the release does. ``each``: over each side, which
            stretches the axes differently on oblong maps (EVA-02, Perception Encoder, ViT-5).
    """

    @checked
    def __init__(
        self,
        head_dims: Positive,
        num_heads: Positive,
        *,
        anchor: PositiveNumber | None = None,
        scale_side: Literal["longer", "rows", "each"] = "longer",
        **kwargs: object,
    ) -> None:
        super().__init__(head_dims, num_heads, **kwargs)
        self.anchor, self.scale_side = anchor, scale_side

    def scale(self, hw: Grid, train_hw: Grid) -> Scale:
        if self.scale_side == "rows":
            return (self.anchor or train_hw[0]) / hw[0]
        if self.scale_side == "each":
            rows, cols = (self.anchor,) * 2 if self.anchor else train_hw
            return cols / hw[1], rows / hw[0]
        longer = torch.sym_max if torch.compiler.is_compiling() else max
        return (self.anchor or max(train_hw)) / longer(*hw)


# --- 3. rotation ------------------------------------------------------------------------------------------


def rotate_pairs(x_BNAK: Tensor, table: RotaryTable, heads: int | None = None) -> Tensor:
    """Rotate adjacent channel pairs of queries or keys in float32 (VisionLLaMA, Eq. 3).

    Args:
        x_BNAK: Queries or keys; pairs are (x0, x1), (x2, x3), ...; channels past the table stay.
        heads: Rotate so many, the rest stays: values beside their queries and keys. None: all.

    Returns:
        Same shape and dtype as ``x_BNAK``.

    Raises:
        ValueError: if the table has another number of tokens.
    """
    tokens = table.cos.shape[-3]
    if not torch.compiler.is_compiling() and tokens != x_BNAK.shape[-3]:
        raise ValueError(f"the rotary table covers {tokens} tokens, queries or keys have {x_BNAK.shape[-3]}")
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    heads = x_BNAK.shape[-2] if heads is None else heads
    if traced:
        return _rotate(x_BNAK, table.cos, table.sin, heads)
    return _Rotation.apply(x_BNAK, table.cos, table.sin, heads, table.learned)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
    width = cos.shape[-1]
    turning = x[..., :heads, :width]
    even, odd = _precise(turning).unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[..., ::2], sin[..., ::2]
    turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2).to(x.dtype)
    if width < x.shape[-1]:
        turned = torch.cat((turned, x[..., :heads, width:]), dim=-1)
    return turned if heads == x.shape[-2] else torch.cat((turned, x[..., heads:, :]), dim=-2)


def _precise(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


class _Rotation(torch.autograd.Function):
    """`_rotate` without a compiler: half the passes over memory, and the gradient is the inverse rotation.

    The tables have gradients where they are learned, and only then ``x`` is kept.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, cos: Tensor, sin: Tensor, heads: int, learned: bool) -> Tensor:
        out = x.clone()
        turning = out[..., :heads, : cos.shape[-1]]
        turned = _precise(turning)  # the same memory, unless it has to be converted
        crossed = turned * sin
        turned *= cos
        even, odd = turned.unflatten(-1, (-1, 2)).unbind(-1)
        crossed_even, crossed_odd = crossed.unflatten(-1, (-1, 2)).unbind(-1)
        even += crossed_odd
        odd += crossed_even
        if turned is not turning:
            turning.copy_(turned)
        return out

    @staticmethod
    def setup_context(
        ctx: torch.autograd.function.FunctionCtx,
        inputs: tuple[Tensor, Tensor, Tensor, int, bool],
        output: Tensor,
    ) -> None:
        x, cos, sin, ctx.heads, ctx.learned = inputs
        kept = (cos, sin, x) if ctx.learned else (cos, sin)
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*kept)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin, *kept = ctx.saved_tensors
        grad_x = _Rotation.apply(grad, cos, -sin, ctx.heads, ctx.learned)
        if not kept or not any(ctx.needs_input_grad[1:3]):
            return grad_x, None, None, None, None
        turned, x = (_precise(each[..., : ctx.heads, : cos.shape[-1]]) for each in (grad, *kept))
        slopes = ((each * x).sum_to_size(cos.shape) for each in (turned, _swapped(turned)))
        return grad_x, *slopes, None, None

    @staticmethod
    def jvp(
        ctx: torch.autograd.function.FunctionCtx,
        x_slope: Tensor | None,
        cos_slope: Tensor | None,
        sin_slope: Tensor | None,
        *_: None,
    ) -> Tensor:
        """Rotate the direction of ``x``, and ``x`` by the direction of tables that are learned."""
        cos, sin, *kept = ctx.saved_tensors
        slope = 0 if x_slope is None else _Rotation.apply(x_slope, cos, sin, ctx.heads, ctx.learned)
        if cos_slope is None or not kept:
            return slope
        (x,) = kept
        turning = _precise(x[..., : ctx.heads, : cos.shape[-1]])
        turned = turning * cos_slope + _swapped(turning * sin_slope)
        still = x.shape[-1] - cos.shape[-1], x.shape[-2] - ctx.heads
        return slope + F.pad(turned.to(x.dtype), (0, still[0], 0, still[1]))


def _swapped(x: Tensor) -> Tensor:
    """Exchange the two channels of every pair."""
    return x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
