"""Draw the rotary figure of architecture.md from the positions of the package: python docs/figures/draw.py"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mmvisionllama.models.rope import AS2DRoPE, RoPE2D, grid_positions, summary_positions

HERE = Path(__file__).parent
INK, SOFT = "#22313f", "#8795a1"
QUERY, KEY, CLASS = "#2a7fba", "#d1495b", "#e3a008"


def scatter_grid(ax: Axes, rows: int, cols: int) -> None:
    for row in range(rows):
        for col in range(cols):
            ax.add_patch(Rectangle((col - 0.5, row - 0.5), 1, 1, fill=False, ec="#d5dbe0", lw=0.8))
    x, y = grid_positions((rows, cols)).T
    ax.scatter(x, y, s=16, color=QUERY, zorder=3, label="tokens, queries")
    ax.set(aspect="equal", xlabel="column", ylabel="row")
    ax.invert_yaxis()


def draw_positions(axes: list[Axes]) -> None:
    scatter_grid(axes[0], 6, 8)
    x, y = RoPE2D(4, 1).class_token((6, 8)).T
    axes[0].scatter(x, y, marker="*", s=90, color=CLASS, zorder=3, label="class token")
    axes[0].set_title("grid and class token\nLSA uses a window's own 0 .. 6")
    scatter_grid(axes[1], 5, 8)
    for row, col in ((0, 0), (0, 4), (4, 0), (4, 4)):
        axes[1].add_patch(
            Rectangle((col - 0.5, row - 0.5), 4, min(4, 5 - row), fill=True, alpha=0.08, color=KEY)
        )
    x, y = summary_positions((5, 8), 4).T
    axes[1].scatter(x, y, marker="D", s=42, color=KEY, zorder=4, label="summarising keys")
    axes[1].set_title("GSA: keys at the centres of\nthe real tokens they summarise")
    for ax in axes:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncol=2, frameon=False, fontsize=8)


def draw_scales(ax: Axes) -> None:
    rope, train_hw = AS2DRoPE(16, 1), (14, 14)
    for level, hw in enumerate(((14, 14), (28, 28), (7, 28))):
        scaled = grid_positions(hw)[: hw[1], 0] * rope.scale(hw, train_hw)
        ax.scatter(scaled, [level] * hw[1], s=14, color=QUERY)
        ax.text(
            14.6, level, f"{hw[0]} x {hw[1]}\nscale {rope.scale(hw, train_hw):g}", va="center", fontsize=8
        )
    ax.axvspan(0, 14, color=QUERY, alpha=0.06)
    ax.set(
        title="scale: never beyond the side\nof the training grid (14 x 14)",
        xlabel="column x scale",
        yticks=[],
    )
    ax.set_xlim(-0.6, 19)
    ax.set_ylim(2.6, -0.6)


def draw_angles(ax: Axes) -> None:
    angle_NP = RoPE2D(32, 1).angles(grid_positions((1, 14)), (1, 14), 10000.0)[:, 0]
    for m in range(4):
        ax.plot(
            angle_NP[:, 2 * m].numpy(), marker="o", ms=3, label=f"pair {2 * m}, w = {10000 ** (-m / 8):.3g}"
        )
    ax.set(title="angle = position x scale x w", xlabel="column x scale", ylabel="radians")
    ax.legend(frameon=False, fontsize=7.5)


def draw_rotation(ax: Axes) -> None:
    ax.add_patch(plt.Circle((0, 0), 1, fill=False, color="#d5dbe0"))
    start = 0.35
    for turn, colour, name in ((0, SOFT, "(x0, x1)"), (1.1, QUERY, "turned by the angle")):
        tip = (np.cos(start + turn), np.sin(start + turn))
        ax.annotate("", xy=tip, xytext=(0, 0), arrowprops=dict(arrowstyle="-|>", color=colour, lw=2))
        ax.text(tip[0] * 1.1, tip[1] * 1.15, name, color=colour, fontsize=9, ha="center")
    arc = np.linspace(start, start + 1.1, 40)
    ax.plot(0.45 * np.cos(arc), 0.45 * np.sin(arc), color=INK, lw=1.2)
    ax.set(
        aspect="equal",
        xlim=(-1.2, 1.6),
        ylim=(-1.2, 1.4),
        title="each adjacent channel pair\nof q and k, in float32",
    )
    ax.axis("off")


def draw_rotary() -> None:
    figure, axes = plt.subplots(
        1, 5, figsize=(19, 4.9), width_ratios=(1.2, 1.2, 1.25, 1.15, 1), layout="constrained"
    )
    draw_positions(list(axes[:2]))
    draw_scales(axes[2])
    draw_angles(axes[3])
    draw_rotation(axes[4])
    for ax, step in zip(
        axes, ("1. positions", "1. positions", "2. angles", "2. angles", "3. rotation"), strict=True
    ):
        ax.set_title(f"{step}\n{ax.get_title()}", fontsize=10, color=INK)
    figure.savefig(HERE / "rotary_steps.png", dpi=110)


if __name__ == "__main__":
    draw_rotary()
