"""Order of the channels of a head: which pairs turn by which axis, and where their halves are."""

from collections.abc import Callable

import torch
from torch import Tensor

from mmvisionllama.errors import CheckpointError


def rows_first(head_dims: int) -> list[int]:
    """Give, for every channel of ours, that of heads whose first half of pairs turns by the row."""
    return _by_axis(head_dims, columns=1, rows=0)


def columns_first(head_dims: int) -> list[int]:
    """Give, for every channel of ours, that of heads whose first half of pairs turns by the column."""
    return _by_axis(head_dims, columns=0, rows=1)


def rows_first_in_halves(head_dims: int) -> list[int]:
    """Give the same as ``rows_first`` where a pair is one channel of each half, not two neighbours."""
    return [x // 2 + x % 2 * (head_dims // 2) for x in rows_first(head_dims)]


def _by_axis(head_dims: int, *, columns: int, rows: int) -> list[int]:
    """Give the places of our pairs, column, row, column, row, ..., in heads of one axis after the other.

    Args:
        columns: Which half, 0 or 1, turns by the column; ``rows`` is the other.
    """
    quarter = head_dims // 4
    pairs = [axis * quarter + m for m in range(quarter) for axis in (columns, rows)]
    return [2 * pair + i for pair in pairs for i in (0, 1)]


def reordered(
    weights: dict[str, Tensor], channels: Callable[[int], list[int]], num_heads: int
) -> dict[str, Tensor]:
    """Bring the channels of every head's queries and keys into our order; scores do not change by that.

    Args:
        weights: Of a plain backbone, by our names.

    Raises: CheckpointError: if they are not those of so many heads.
    """
    return {name: _reordered(name, x, channels, num_heads) for name, x in weights.items()}


def _reordered(name: str, x: Tensor, channels: Callable[[int], list[int]], num_heads: int) -> Tensor:
    layer, _, leaf = name.partition(".attn.")[2].partition(".")
    # Rows of so many of queries, keys and values, each of so many heads; norms of a head serve all of them.
    kinds, heads = {"qkv": (1 if leaf == "q_bias" else 3, num_heads), "q_norm": (1, 1), "k_norm": (1, 1)}.get(
        layer, (0, 0)
    )
    if not kinds or leaf == "v_bias":
        return x
    width = len(x) // (kinds * heads)
    order = channels(width)
    if width * kinds * heads != len(x) or len(order) != width:
        raise CheckpointError(
            f"{name} {tuple(x.shape)} is not that of {num_heads} heads with a multiple of 4 channels each: "
            "give num_heads"
        )
    index = torch.tensor(order, device=x.device)  # not of values, which are not rotated
    parts = enumerate(x.unflatten(0, (kinds, heads, width)))
    return torch.stack([part if i == 2 else part.index_select(1, index) for i, part in parts]).flatten(0, 2)
