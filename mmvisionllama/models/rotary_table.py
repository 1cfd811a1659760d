"""Tables of rotary cosines and sines: those of a block, and rows of single tokens."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

_Changed = TypeVar("_Changed")


class RotaryTable(NamedTuple):
    """Cosine and signed sine of every token's angles, float32, each pair's value written twice.

    Shape (N, 1, R) when heads share it, else (N, A, R), with R rotated channels; a batch axis may precede.

    Attributes:
        learned: The angles have gradients, and their first axis is that of the blocks, see :func:`of_blocks`.
    """

    cos: Tensor
    sin: Tensor
    learned: bool = False


Tables = tuple[RotaryTable, RotaryTable]  # of the queries, of the keys


def of_blocks(tables: Tables | None, count: int) -> Sequence[Tables | None]:
    """Give the tables of the first ``count`` blocks: their own where frequencies are learned, else shared."""
    if tables is None or not tables[0].learned:
        return [tables] * count
    queries, keys = _each(tables, _by_block)
    return list(zip(queries, keys, strict=True))[:count]


def _by_block(table: RotaryTable) -> list[RotaryTable]:
    # Not one index after another: the gradient of each would be as large as the tables of all blocks.
    parts = zip(table.cos.unbind(), table.sin.unbind(), strict=True)
    return [RotaryTable(cos, sin, learned=True) for cos, sin in parts]


def with_rows(tables: Tables, rows: RotaryTable, at: int) -> Tables:
    """Insert the rows of more tokens, the same for queries and keys, before token ``at``."""

    def joined(all_XNAR: Tensor, new_NAR: Tensor) -> Tensor:
        shape = *all_XNAR.shape[:-3], -1, max(all_XNAR.shape[-2], new_NAR.shape[-2]), -1
        parts = all_XNAR[..., :at, :, :], new_NAR, all_XNAR[..., at:, :, :]
        return torch.cat([x.expand(shape) for x in parts], dim=-3)

    return _each(
        tables,
        lambda table: RotaryTable(joined(table.cos, rows.cos), joined(table.sin, rows.sin), table.learned),
    )


def rows_of(tables: Tables | None, tokens: slice) -> Tables | None:
    """Give the rows of some tokens."""
    return tables and _each(
        tables,
        lambda table: RotaryTable(table.cos[..., tokens, :, :], table.sin[..., tokens, :, :], table.learned),
    )


def still_rows(count: int, width: int, device: torch.device | None = None) -> RotaryTable:
    """Give the rows of tokens that are not rotated, (count, 1, R)."""
    shape = dict(size=(count, 1, width), device=device, dtype=torch.float32)
    return RotaryTable(torch.ones(**shape), torch.zeros(**shape))


def _each(tables: Tables, change: Callable[[RotaryTable], _Changed]) -> tuple[_Changed, _Changed]:
    query = change(tables[0])
    return query, query if tables[0] is tables[1] else change(tables[1])
