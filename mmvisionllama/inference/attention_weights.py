"""Attention weights of every head, recomputed from queries and keys: fused attention never has them."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvisionllama.models.attention import RotaryAttention, SubsampledAttention, WindowAttention
from mmvisionllama.models.grids import Grid, window_places
from mmvisionllama.models.rope import Tables


def attention_weights(
    attn: RotaryAttention, x: Tensor, hw: Grid, tables: Tables | None, query_Q: Tensor
) -> Tensor:
    """Return what some tokens take of each key in each head, (B, A, Q, M), float32.

    Keys are all tokens, a class token first, or the summaries of a sub-sampled attention in raster order. In
    windows a token takes nothing of other windows; what it takes of padding that is not hidden is left out,
    so that its row sums to less than one.

    Args:
        x, hw, tables: What the attention is called with.
        query_Q: Indices of tokens.
    """
    if isinstance(attn, WindowAttention):
        return _in_windows(attn, x, hw, tables, query_Q)
    if isinstance(attn, SubsampledAttention):
        q_BNAK, k_BMGK, _ = attn.project_map(x, hw, tables)
    else:
        q_BNAK, k_BMGK, _ = attn.project(x, tables)
    return torch.stack(list(weights_by_head(attn, q_BNAK[:, query_Q], k_BMGK)), dim=1)


def weights_by_head(
    attn: RotaryAttention, q_BNAK: Tensor, k_BMGK: Tensor, seen_BM: Tensor | None = None
) -> Iterator[Tensor]:
    """Yield the weights of each head, (B, N, M), float32; one after another, as all of them are large.

    Args:
        seen_BM: False where a key is hidden.
    """
    heads, kv_heads, _ = attn.heads
    for head in range(heads):
        q_BNK, k_BMK = q_BNAK[:, :, head].float(), k_BMGK[:, :, head * kv_heads // heads].float()
        score_BNM = q_BNK @ k_BMK.mT * attn.head_dims**-0.5
        if seen_BM is not None:
            score_BNM = score_BNM.masked_fill(~seen_BM[:, None], float("-inf"))
        yield score_BNM.softmax(dim=-1)


def _in_windows(attn: WindowAttention, x: Tensor, hw: Grid, tables: Tables | None, query_Q: Tensor) -> Tensor:
    token_WS, place_N = window_places(hw, attn.window_size, x.device)
    tokens, places = hw[0] * hw[1], attn.window_size**2
    place_Q = place_N[query_Q]
    token_QS, inside_Q = token_WS[place_Q // places], place_Q % places
    window = F.pad(x, (0, 0, 0, 1)).index_select(1, token_QS.flatten())  # padding: the zero at the end
    q_RSAK, k_RSGK, _ = attn.project(window.unflatten(1, token_QS.shape).flatten(0, 1), tables)
    row_R = torch.arange(len(q_RSAK), device=x.device)
    inside_R, token_RS = inside_Q.repeat(len(x)), token_QS.repeat(len(x), 1)
    seen_RS = token_RS < tokens if attn.mask_padding else None
    by_head = weights_by_head(attn, q_RSAK[row_R, inside_R][:, None], k_RSGK, seen_RS)
    weight_RAS = torch.cat(list(by_head), dim=1)
    total_RAM = weight_RAS.new_zeros(*weight_RAS.shape[:2], tokens + 1)  # the last: padding
    total_RAM.scatter_add_(2, token_RS[:, None].expand_as(weight_RAS), weight_RAS)
    return total_RAM[..., :tokens].unflatten(0, (len(x), len(query_Q))).transpose(1, 2)
