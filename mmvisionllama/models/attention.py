"""Global, window and sub-sampled attention, all rotary and all through ``scaled_dot_product_attention``."""

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvisionllama.arguments import Component, Count, Positive, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.grids import Grid, grid_positions, holds, is_free, padding, squares, window_places
from mmvisionllama.models.linear import linear_on_squares, scaled_linear
from mmvisionllama.models.norms import build_norm
from mmvisionllama.models.rope import RoPE2D, Scale, rotate_pairs, summary_positions
from mmvisionllama.models.rotary_table import Tables, rows_of


def scaled_dot_product(
    q_BNAK: Tensor, k_BMGK: Tensor, v_BMGK: Tensor, mask: Tensor | None = None, *, grouped: bool = False
) -> Tensor:
    """Attend and merge the heads: (B, N, D).

    Args:
        mask: True where a key may be seen.
        grouped: Several heads share keys and values.
    """
    q, k, v = (x.transpose(1, 2) for x in (q_BNAK, k_BMGK, v_BMGK))
    out_BANK = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
    return out_BANK.transpose(1, 2).flatten(2)


def split_extra(x: Tensor, count: int) -> tuple[Tensor | None, Tensor]:
    """Take the first ``count`` tokens from the rest; None where there are none."""
    return (x[:, :count], x[:, count:]) if count else (None, x)


def join_extra(extra: Tensor | None, x: Tensor) -> Tensor:
    """Put tokens before others, undoing :func:`split_extra`."""
    return x if extra is None else torch.cat((extra.to(x.dtype), x), dim=1)


def rotary_tables(
    rope: RoPE2D | None,
    attentions: Iterable["RotaryAttention"],
    position_N2: Tensor,
    hw: Grid,
    train_hw: Grid,
) -> dict[type, Tables | None]:
    """Make the tables of each kind of attention, which its layers share; None without ``rope``."""
    kinds = {type(attn): attn for attn in attentions}
    if rope is None:
        return dict.fromkeys(kinds)
    scale = rope.scale(hw, train_hw)
    return {kind: attn.tables(rope, position_N2, hw, scale) for kind, attn in kinds.items()}


class KeylessBiasLinear(nn.Linear):
    """One layer for queries, keys and values (or the last two), where keys have no bias (EVA-02)."""

    def __init__(self, in_dims: int, queries: int, keys: int, values: int) -> None:
        super().__init__(in_dims, queries + keys + values, bias=False)
        self.keys = keys
        self.q_bias = nn.Parameter(torch.empty(queries)) if queries else None
        self.v_bias = nn.Parameter(torch.empty(values))
        self._reset_biases()

    def reset_parameters(self) -> None:
        """Draw the weight as torch does, and set the biases to 0."""
        super().reset_parameters()
        if hasattr(self, "v_bias"):  # torch's constructor calls this before there are any
            self._reset_biases()

    def _reset_biases(self) -> None:
        for bias in (self.q_bias, self.v_bias):
            if bias is not None:
                nn.init.zeros_(bias)

    def forward(self, x: Tensor) -> Tensor:
        given = () if self.q_bias is None else (self.q_bias,)
        bias = torch.cat((*given, self.v_bias.new_zeros(self.keys), self.v_bias))
        return F.linear(x, self.weight, bias)


class RotaryAttention(nn.Module):
    """Attention over all tokens.

    Args:
        num_kv_heads: Groups that share keys and values (grouped-query attention); None: one per head.
        qkv_bias: Biases on queries, keys and values; ``qv``: not on keys (EVA-02).
        qk_norm: Norm over the channels of each head's queries and keys, before they are rotated, e.g.
            ``dict(type="RMSNorm", eps=1e-6)`` (ViT-5); None: there is none.
        inner_norm: Norm on the merged heads, before the last layer (EVA-CLIP); None: there is none.

    Raises:
        ValueError: if ``embed_dims`` is not divisible by ``num_heads``, or ``num_heads`` by ``num_kv_heads``.
    """

    @checked
    def __init__(
        self,
        embed_dims: Positive,
        num_heads: Positive,
        *,
        num_kv_heads: Positive | None = None,
        qkv_bias: bool | Literal["qv"] = True,
        proj_bias: bool = True,
        qk_norm: Component | None = None,
        inner_norm: Component | None = None,
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ArgumentError(f"embed_dims {embed_dims} is not divisible by num_heads {num_heads}")
        kv_heads = num_kv_heads or num_heads
        if num_heads % kv_heads:
            raise ArgumentError(f"num_heads {num_heads} is not divisible by num_kv_heads {num_kv_heads}")
        self.heads = (num_heads, kv_heads, kv_heads)  # of queries, keys, values
        # Not asked of shapes, which a tracer turns into tensors.
        self.grouped, self.head_dims = kv_heads < num_heads, embed_dims // num_heads
        self.qkv_bias = qkv_bias
        self._project_inputs(embed_dims)
        self.q_norm, self.k_norm = (qk_norm and build_norm(qk_norm, self.head_dims) for _ in "qk")
        self.inner_norm = inner_norm and build_norm(inner_norm, embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims, bias=proj_bias)

    def _project_inputs(self, embed_dims: int) -> None:
        self.qkv = self._linear(embed_dims, *self.heads)

    def _linear(self, embed_dims: int, *heads: int) -> nn.Linear:
        """Make the layer of so many heads of queries, keys and values."""
        rows = [count * self.head_dims for count in heads]
        if self.qkv_bias == "qv":
            return KeylessBiasLinear(embed_dims, *rows)
        return nn.Linear(embed_dims, sum(rows), bias=self.qkv_bias)

    def tables(self, rope: RoPE2D, position_N2: Tensor, hw: Grid, scale: Scale) -> Tables:
        """Make the rotary tables for tokens at these places of a map of ``hw`` tokens."""
        return rope.tables(position_N2, hw=hw, scale=scale)

    def forward(self, x: Tensor, hw: Grid, tables: Tables | None, *, gamma: Tensor | None = None) -> Tensor:
        """Map (B, N, D) to (B, N, D), times ``gamma`` (D,), which is LayerScale."""
        return self._merge(self._attend(x, tables), gamma)

    def _merge(self, x: Tensor, gamma: Tensor | None) -> Tensor:
        return scaled_linear(self.proj, x if self.inner_norm is None else self.inner_norm(x), gamma)

    def project(self, x: Tensor, tables: Tables | None) -> tuple[Tensor, Tensor, Tensor]:
        """Make queries (B, N, A, K), keys and values (B, N, G, K) of tokens; the first two are rotated."""
        qkv_BNAK = self.qkv(x).unflatten(-1, (sum(self.heads), self.head_dims))
        alike = tables and tables[0] is tables[1] and tables[0].cos.shape[-2] == 1
        if alike and self.q_norm is None:
            # Values go along: what attention keeps are then these numbers, and not the unrotated ones too.
            return rotate_pairs(qkv_BNAK, tables[0], sum(self.heads[:2])).split(self.heads, dim=2)
        q_BNAK, k_BNGK, v_BNGK = qkv_BNAK.split(self.heads, dim=2)
        return *self._placed(q_BNAK, k_BNGK, tables), v_BNGK

    def _placed(self, q_BNAK: Tensor, k_BMGK: Tensor, tables: Tables | None) -> tuple[Tensor, Tensor]:
        """Normalise queries and keys where that is asked for, and rotate them."""
        if self.q_norm is not None:
            q_BNAK, k_BMGK = (
                norm(x).to(x.dtype) for norm, x in ((self.q_norm, q_BNAK), (self.k_norm, k_BMGK))
            )
        if not tables:
            return q_BNAK, k_BMGK
        return rotate_pairs(q_BNAK, tables[0]), rotate_pairs(k_BMGK, tables[1])

    def _attend(self, x: Tensor, tables: Tables | None, mask: Tensor | None = None) -> Tensor:
        return scaled_dot_product(*self.project(x, tables), mask, grouped=self.grouped)


class WindowAttention(RotaryAttention):
    """Attention inside non-overlapping windows of S x S tokens (LSA of the pyramid, windows of ViTDet).

    Args:
        window_size: S; maps are padded at the bottom and right to its multiples.
        mask_padding: Hide padded tokens. The release lets them act as keys that carry the bias alone.
        extra_tokens: Tokens before those of the map (class token, registers): every window sees them, and
            they see every window.
    """

    @checked
    def __init__(
        self,
        embed_dims: Positive,
        num_heads: Positive,
        window_size: Positive,
        *,
        mask_padding: bool = True,
        extra_tokens: Count = 0,
        **kwargs: object,
    ) -> None:
        super().__init__(embed_dims, num_heads, **kwargs)
        self.window_size, self.mask_padding, self.extra_tokens = window_size, mask_padding, extra_tokens

    def tables(self, rope: RoPE2D, position_N2: Tensor, hw: Grid, scale: Scale) -> Tables:
        """Make the tables of one window, which are never scaled."""
        return rope.window_tables(self.window_size, position_N2.device)

    def forward(self, x: Tensor, hw: Grid, tables: Tables | None, *, gamma: Tensor | None = None) -> Tensor:
        side = self.window_size
        if holds(hw[0] == side) and holds(hw[1] == side):
            return super().forward(x, hw, tables, gamma=gamma)
        extra, x = split_extra(x, self.extra_tokens)
        if is_free(hw):
            return self._merge(self._gathered(extra, x, hw, tables), gamma)
        down, right = padding(hw, side)
        padded = not (holds(down == 0) and holds(right == 0))
        map_BHWD = x.unflatten(1, hw)
        if padded:
            map_BHWD = F.pad(map_BHWD, (0, 0, 0, right, 0, down))
        window = self._windows(map_BHWD)
        rows, cols = squares(hw, side)
        real_WS = self._real_places(hw, x.device) if self.mask_padding and padded else None
        each = x.shape[0], rows * cols
        extra, window = self._attend_in_windows(extra, window, each, tables, real_WS, real_WS)
        # So the last layer has no copy of its input to keep; a compiler decides itself what it keeps.
        early = extra is None and not padded and not torch.compiler.is_compiling()
        if early:
            window = self._merge(window, gamma)
        map_BYXSTD = window.unflatten(1, (side, side)).unflatten(0, (x.shape[0], rows, cols))
        map_BHWD = map_BYXSTD.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if padded:
            map_BHWD = map_BHWD[:, : hw[0], : hw[1]]
        x = join_extra(extra, map_BHWD.flatten(1, 2))
        return x if early else self._merge(x, gamma)

    def _attend_in_windows(
        self,
        extra: Tensor | None,
        window: Tensor,
        each: tuple[int, int],
        tables: Tables | None,
        seen_WS: Tensor | None,
        place_WS: Tensor | None,
    ) -> tuple[Tensor | None, Tensor]:
        """Attend in windows (B x windows, S x S, D), which the extra tokens (B, E, D) see and are seen from.

        Args:
            each: B and windows.
            seen_WS: True where a token may be seen in its window; None: everywhere.
            place_WS: The same for the extra tokens.
        """
        mask = None if seen_WS is None else seen_WS[:, None, None].repeat(each[0], 1, 1, 1)
        if extra is None:
            return None, self._attend(window, tables, mask)
        count = self.extra_tokens
        q_BEAK, *kv_BEGK = self.project(extra, rows_of(tables, slice(count)))
        q_WSAK, *kv_WSGK = self.project(window, rows_of(tables, slice(count, None)))
        seen, everything = [], []
        for x_BEGK, x_WSGK in zip(kv_BEGK, kv_WSGK, strict=True):
            seen.append(torch.cat((x_BEGK.repeat_interleave(each[1], dim=0), x_WSGK), dim=1))
            x_BMGK = x_WSGK.unflatten(0, each).flatten(1, 2)
            everything.append(torch.cat((x_BEGK, x_BMGK), dim=1))
        if mask is not None:
            mask = F.pad(mask, (count, 0), value=True)
        if place_WS is not None:
            place_WS = F.pad(place_WS.flatten(), (count, 0), value=True)[None]
        window = scaled_dot_product(q_WSAK, *seen, mask, grouped=self.grouped)
        return scaled_dot_product(q_BEAK, *everything, place_WS, grouped=self.grouped), window

    def _windows(self, map_BHWD: Tensor) -> Tensor:
        """Cut a map of whole windows into them: (B x windows, S x S, D)."""
        rows, cols = (n // self.window_size for n in map_BHWD.shape[1:3])
        side = self.window_size
        map_BYSXTD = map_BHWD.unflatten(2, (cols, side)).unflatten(1, (rows, side))
        return map_BYSXTD.transpose(2, 3).flatten(3, 4).flatten(0, 2)

    def _real_places(self, hw: Grid, device: torch.device) -> Tensor:
        """Give (windows, S x S): True where a token is real."""
        padded_hw = tuple(n * self.window_size for n in squares(hw, self.window_size))
        column_N, row_N = grid_positions(padded_hw, device).unbind(-1)
        real_N = (column_N < hw[1]) & (row_N < hw[0])
        return self._windows(real_N.unflatten(0, padded_hw)[None, ..., None])[..., 0]

    def _gathered(self, extra: Tensor | None, x: Tensor, hw: Grid, tables: Tables | None) -> Tensor:
        """Do the same for sides that a graph leaves free.

        A reshape would ask whether there is one window in a row, and so make the graph one for this answer.
        """
        token_WS, place_N = window_places(hw, self.window_size, x.device)
        place_BMD = F.pad(x, (0, 0, 0, 1)).index_select(1, token_WS.flatten())  # padding: the zero at the end
        window = place_BMD.unflatten(1, token_WS.shape).flatten(0, 1)
        real_WS, each, seen_WS = token_WS < hw[0] * hw[1], (x.shape[0], token_WS.shape[0]), None
        place_WS = real_WS if self.mask_padding else real_WS.any(dim=1, keepdim=True).expand_as(real_WS)
        if self.mask_padding:
            seen_WS = real_WS | ~real_WS.any(dim=1, keepdim=True)  # of padding alone there is no softmax
        extra, window = self._attend_in_windows(extra, window, each, tables, seen_WS, place_WS)
        place_BMD = window.unflatten(0, (x.shape[0], token_WS.shape[0])).flatten(1, 2)
        return join_extra(extra, place_BMD.index_select(1, place_N))


class SubsampledAttention(RotaryAttention):
    """Attention of all tokens to keys that summarise ``ratio`` x ``ratio`` tokens each (GSA of the pyramid).

    Args:
        summary: ``conv``: a convolution and a norm; ``depthwise``: the same, each channel by itself;
            ``mean``: of the tokens. Rows and columns that a map lacks to fill its last summaries are zeros to
            convolutions and left out of means, so that no token is lost.
        extra_tokens: Tokens before those of the map (class token, registers), which are keys of their own.
    """

    @checked
    def __init__(
        self,
        embed_dims: Positive,
        num_heads: Positive,
        ratio: Positive,
        *,
        summary: Literal["conv", "depthwise", "mean"] = "conv",
        extra_tokens: Count = 0,
        **kwargs: object,
    ) -> None:
        super().__init__(embed_dims, num_heads, **kwargs)
        self.ratio, self.extra_tokens = ratio, extra_tokens
        if ratio == 1:
            return
        if summary == "mean":
            self.summary = nn.AvgPool2d(ratio, ceil_mode=True)
            self.norm = nn.Identity()
        else:
            groups = embed_dims if summary == "depthwise" else 1
            self.summary = nn.Conv2d(embed_dims, embed_dims, ratio, ratio, groups=groups)
            self.norm = nn.LayerNorm(embed_dims)

    def _project_inputs(self, embed_dims: int) -> None:
        self.q = nn.Linear(embed_dims, self.heads[0] * self.head_dims, bias=bool(self.qkv_bias))
        self.kv = self._linear(embed_dims, 0, *self.heads[1:])

    def tables(self, rope: RoPE2D, position_N2: Tensor, hw: Grid, scale: Scale) -> Tables:
        """Make the tables of the tokens and of their summaries."""
        key_M2 = summary_positions(hw, self.ratio, rope.key_positions, position_N2.device)
        return rope.tables(position_N2, key_M2, hw=hw, scale=scale)

    def forward(self, x: Tensor, hw: Grid, tables: Tables | None, *, gamma: Tensor | None = None) -> Tensor:
        return self._merge(scaled_dot_product(*self.project_map(x, hw, tables), grouped=self.grouped), gamma)

    def project_map(self, x: Tensor, hw: Grid, tables: Tables | None) -> tuple[Tensor, Tensor, Tensor]:
        """Make queries (B, N, A, K) of tokens, and keys and values (B, M, G, K) of their summaries."""
        q_BNAK = self.q(x).unflatten(-1, (self.heads[0], self.head_dims))
        extra, x = split_extra(x, self.extra_tokens)
        keys = join_extra(extra, self._summarise(x, hw))
        kv_BMGK = self.kv(keys).unflatten(-1, (sum(self.heads[1:]), self.head_dims))
        k_BMGK, v_BMGK = kv_BMGK.split(self.heads[1:], dim=2)
        return *self._placed(q_BNAK, k_BMGK, tables), v_BMGK

    def _summarise(self, x: Tensor, hw: Grid) -> Tensor:
        if self.ratio == 1:
            return x
        map_BDHW = x.transpose(1, 2).unflatten(2, hw)
        down, right = padding(hw, self.ratio)
        padded = not (holds(down == 0) and holds(right == 0))
        if isinstance(self.summary, nn.AvgPool2d):
            return self.norm(self.summary(map_BDHW).flatten(2).transpose(1, 2))
        if padded:
            map_BDHW = F.pad(map_BDHW, (0, right, 0, down))
        return self.norm(linear_on_squares(self.summary, map_BDHW))
