"""Order of the channels of a head: which pairs turn by which axis, and where their halves are."""

from collections.abc import Callable

import torch
from torch import Tensor

from mmvisionllama.errors import CheckpointError


def rows_first(head_dims: int) -> list[int]:
    """Give, for every channel of ours, that of heads whose first pairs all turn by the row."""
    return _by_axis(head_dims, columns=1, rows=0)


def columns_first(head_dims: int) -> list[int]:
    """Give, for every channel of ours, that of heads whose first pairs all turn by the column."""
    return _by_axis(head_dims, columns=0, rows=1)


def rows_first_in_halves(head_dims: int) -> list[int]:
    """Give the same as ``rows_first`` where a pair is one channel of each half, not two neighbours."""
    return [x // 2 + x % 2 * (head_dims // 2) for x in rows_first(head_dims)]


def _by_axis(head_dims: int, *, columns: int, rows: int) -> list[int]:
    """Our pairs are column, row, column, row, ... of the same frequencies."""
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
    # Kinds of rows, of which queries and keys are turned, and heads.
    sorts = {"qkv": (1 if leaf == "q_bias" else 3, num_heads), "q_norm": (1, 1), "k_norm": (1, 1)}.get(layer)
    if sorts is None or leaf == "v_bias":
        return x
    width = len(x) // (sorts[0] * sorts[1])
    order = channels(width)
    if width * sorts[0] * sorts[1] != len(x) or len(order) != width:
        raise CheckpointError(
            f"{name} {tuple(x.shape)} is not that of {num_heads} heads with a multiple of 4 channels each: "
            "give num_heads"
        )
    kinds = x.unflatten(0, (*sorts, width))
    index = torch.tensor(order, device=x.device)
    turned = [kind.index_select(1, index) if i < 2 else kind for i, kind in enumerate(kinds)]
    return torch.stack(turned).flatten(0, 2)
