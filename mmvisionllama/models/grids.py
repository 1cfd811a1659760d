"""Token grids: positions, padding to whole squares, and conditions on sizes that a graph leaves free."""

import torch
from torch import Tensor

Grid = tuple[int, int]  # rows, columns of tokens


def grid_positions(hw: Grid, device: torch.device | None = None) -> Tensor:
    """Give the (column, row) of every token of a grid in raster order, (N, 2) float32."""
    # Nothing is broadcast, where a side of 1 is a case apart.
    row_N, column_N = rows_and_columns(torch.arange(hw[0] * hw[1], device=device), hw[1])
    return torch.stack((column_N, row_N), dim=-1).float()


def rows_and_columns(index: Tensor, cols: int) -> tuple[Tensor, Tensor]:
    """Split raster indices; without ``%``, which ONNX's exporter does not know of a side that is free."""
    row = index // cols
    return row, index - row * cols


def squares(hw: Grid, side: int) -> Grid:
    """Give the rows and columns of squares of ``side`` that cover a map."""
    # Of numbers above zero alone: ONNX rounds a quotient towards zero, Python downwards.
    return tuple((n + side - 1) // side for n in hw)


def padding(hw: Grid, side: int) -> Grid:
    """Give the rows and columns that a map lacks to be a whole number of squares of ``side``."""
    rows, cols = squares(hw, side)
    return rows * side - hw[0], cols * side - hw[1]


def holds(condition: bool) -> bool:
    """Return whether a condition on sizes is true of all sizes that the graph in the making is for.

    Outside of compilers a size is a number. In a graph with free sizes, what does not hold for each of them
    must go the general way, instead of making the graph one for this size alone.
    """
    if not torch.compiler.is_compiling():
        return bool(condition)
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # takes long to import

    return statically_known_true(condition)


def is_free(hw: Grid) -> bool:
    """Return whether the graph in the making leaves a side of a grid free."""
    if not torch.compiler.is_compiling():
        return False
    from torch.fx.experimental.symbolic_shapes import has_static_value

    return not (has_static_value(hw[0]) and has_static_value(hw[1]))


def window_places(hw: Grid, side: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Give which token each place of the windows holds, and which place each token has.

    Windows of ``side`` x ``side`` follow each other in raster order, and so do the places of each. There are
    two rows of windows at least: one window alone would be a case apart in a graph with free sides.

    Returns: (windows, side x side), the number of all tokens where a place is padding; and (N,).
    """
    rows, cols = squares(hw, side)
    rows = torch.sym_max(rows, 2)
    place_M = torch.arange(rows * cols * side**2, device=device)
    window_M, inside_M = rows_and_columns(place_M, side**2)
    (row_M, column_M), (down_M, right_M) = rows_and_columns(window_M, cols), rows_and_columns(inside_M, side)
    row_M, column_M = row_M * side + down_M, column_M * side + right_M
    real_M = (row_M < hw[0]) & (column_M < hw[1])
    token_M = torch.where(real_M, row_M * hw[1] + column_M, hw[0] * hw[1])
    token_N = torch.arange(hw[0] * hw[1], device=device)
    row_N, column_N = rows_and_columns(token_N, hw[1])
    (y_N, down_N), (x_N, right_N) = rows_and_columns(row_N, side), rows_and_columns(column_N, side)
    place_N = (y_N * cols + x_N) * side**2 + down_N * side + right_N
    return token_M.unflatten(0, (rows * cols, side**2)), place_N
