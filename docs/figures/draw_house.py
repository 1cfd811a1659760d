"""Draw the house of architecture.md from the code: PYTHONPATH=. python docs/figures/draw_house.py"""

from collections import Counter
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from tests.house import ABOVE, FLOORS, MODULES, fingerprint, imports, room_of

INK, LINE, WIDTH = "#22313f", "#8795a1", 17.0
COLOURS = (
    "#e8eaed",
    "#cfe3d6",
    "#dcecd8",
    "#e3eef5",
    "#dfe9f0",
    "#d8e2ee",
    "#e9e3f1",
    "#f2e6d8",
    "#f6ead6",
    "#f5dfcf",
)
GROUND = "ground"


def files_of(room: str) -> list[str]:
    inside = [x.partition(".")[2] for x in MODULES if room_of(x) == room and x not in ABOVE and "." in x]
    folders = sorted({x.partition(".")[0] for x in inside if "." in x})
    return [*(x for x in inside if "." not in x and x not in folders), *(f"{x}/" for x in folders)]


def wrapped(words: list[str], width: float) -> list[str]:
    lines, most = [""], int(width * 9.2)
    for word in words:
        if len(lines[-1]) + len(word) > most:
            lines.append("")
        lines[-1] += f"{word}   "
    return lines


def draw(ax: Axes) -> None:
    centres, y = {}, 0.0
    for level, rooms in enumerate(FLOORS):
        named = (
            {GROUND: [x for x in rooms if x != "__init__"]} if level == 0 else {x: files_of(x) for x in rooms}
        )
        total = sum(len("   ".join(files)) + 40 for files in named.values())
        widths = {
            x: (WIDTH - 0.25 * (len(named) - 1)) * (len("   ".join(f)) + 40) / total for x, f in named.items()
        }
        lines = {room: wrapped(files, widths[room]) for room, files in named.items()}
        height, x = 0.62 + 0.27 * max(map(len, lines.values())), 0.0
        for room in named:
            box = FancyBboxPatch(
                (x, y), widths[room], height, boxstyle="round,pad=0.03", fc=COLOURS[level], ec=LINE
            )
            ax.add_patch(box)
            title = "the ground: files beside the rooms" if room == GROUND else f"{room}/"
            ax.text(x + 0.12, y + height - 0.1, title, va="top", fontsize=11, color=INK, weight="bold")
            text = "\n".join(lines[room])
            ax.text(x + 0.12, y + height - 0.45, text, va="top", fontsize=8, color=INK, linespacing=1.35)
            centres[room] = (x + widths[room] / 2, y, y + height)
            x += widths[room] + 0.25
        y += height + 0.85
    ground = set(FLOORS[0])
    pairs = Counter(
        (room_of(x), GROUND if room_of(y) in ground else room_of(y))
        for x, found in imports().items()
        for y in found
        if x not in ABOVE and room_of(x) not in ground and room_of(x) != room_of(y)
    )
    for (above, below), count in pairs.items():
        if below == GROUND:  # every room stands on it
            continue
        (x1, y1, _), (x2, _, y2) = centres[above], centres[below]
        style = dict(arrowstyle="-|>", color=LINE, lw=0.5 + 0.12 * count, alpha=0.75)
        ax.annotate("", xy=(x2, y2), xytext=(x1, y1), arrowprops=style, zorder=0)
    ax.set(xlim=(-0.2, WIDTH + 0.2), ylim=(-0.2, y - 0.6))
    ax.axis("off")


def main() -> None:
    figure = Figure(figsize=(15, 11.5), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.subplots())
    figure.savefig(Path(__file__).with_name("house.png"), metadata={"Description": fingerprint()})


if __name__ == "__main__":
    main()
