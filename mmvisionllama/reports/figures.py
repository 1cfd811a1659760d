"""Figures: PNG files, grids of images, bars of classes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmvisionllama.files import atomic_path

_LONGEST_SIDE = 512


def write_figure(figure: Figure, *paths: Path) -> None:
    """Draw a figure once and put it at every path, whole or not at all."""
    png = png_of(figure)
    for path in paths:
        with atomic_path(path) as temporary:
            temporary.write_bytes(png)


def png_of(figure: Figure) -> bytes:
    """Draw a figure, and return it as the content of a PNG file."""
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)  # Figure.savefig draws twice, to find a size that is known here
    return png.getvalue()


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Give the width and height at which an image is drawn: its own, or 512 pixels on the longer side."""
    shrink = min(1.0, _LONGEST_SIDE / max(height, width))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def heat_over(ax: Axes, image: NDArray, heat: NDArray, cell: tuple[int, int], alpha: float = 0.65) -> None:
    """Draw an image below a map of values, from the smallest (dark) to the largest (bright).

    Args:
        image: (H, W, 3) or (H, W).
        heat: (rows, columns) of cells, NaN where there is none; the last ones may reach beyond the image.
        cell: Height and width of a cell in pixels.
    """
    height, width = image.shape[:2]
    rows, columns = (n * side for n, side in zip(heat.shape, cell, strict=True))
    ax.imshow(image, cmap="gray", extent=(0, width, height, 0))
    ax.imshow(heat, cmap="inferno", alpha=alpha, extent=(0, columns, rows, 0))
    ax.set(xlim=(0, width), ylim=(height, 0))


def class_bars(ax: Axes, percent: NDArray, title: str) -> None:
    """Draw a horizontal bar for each class, the first at the top."""
    ax.barh(np.arange(len(percent)), percent, height=0.8, color="#4b86c2")
    ax.set(xlim=(0, 100), ylim=(len(percent) - 0.5, -0.5), xlabel=title)


def image_grid(number: int, columns: int, width: float, height: float) -> tuple[Figure, NDArray]:
    """Make a figure of one panel without axes for each of some images, in rows of ``columns``.

    Args:
        width, height: Of a panel with its title, in inches.
    """
    columns = min(columns, number)
    rows = -(-number // columns)
    figure = Figure(figsize=(width * columns, height * rows), dpi=100, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
        # Else the place of each title is found from ticks that nobody sees, half the time of the picture.
        ax.xaxis.set_visible(False)
        ax.yaxis.set_visible(False)
    return figure, axes[:number]


def image_rows(
    kept: list[dict[str, Any]], titles: dict[str, str], below: float
) -> tuple[Figure, list[tuple[Axes, dict[str, Any], str]]]:
    """Make a figure of one row per image and one column per title, and list what to draw in its panels.

    Args:
        kept: Each with ``name``, ``image`` (RGB) and an entry for every title; None is left blank.
        titles: Of the columns, by key; ``truth`` is left out where no image has any.
        below: Inches for what stands around the rows.

    Returns: The figure, and for every panel that is not blank its axes, image and key.
    """
    if all(x["truth"] is None for x in kept):
        titles = {key: title for key, title in titles.items() if key != "truth"}
    heights = [x["image"].shape[0] / x["image"].shape[1] for x in kept]
    figure = Figure(figsize=(3 * len(titles), 3 * sum(heights) + below), dpi=100, layout="constrained")
    axes = figure.subplots(len(kept), len(titles), squeeze=False, gridspec_kw={"height_ratios": heights})
    for ax, title in zip(axes[0], titles.values(), strict=True):
        ax.set_title(title)
    for row, one in zip(axes, kept, strict=True):
        row[0].set_ylabel(one["name"], fontsize="small")
        for ax in row:
            ax.set_xticks([])
            ax.set_yticks([])
    panels = [
        (ax, one, key)
        for row, one in zip(axes, kept, strict=True)
        for ax, key in zip(row, titles, strict=True)
    ]
    return figure, [panel for panel in panels if panel[1][panel[2]] is not None]
