"""Draw the figure of the README, one picture of each task: python docs/figures/draw_tasks.py"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

import mmvisionllama
from mmvisionllama.checkpoint.names import TINY

HERE = Path(__file__).parent
PHOTO = TINY / "images" / "DigitScenes_val_000008.jpg"
CLASSIFIED = TINY / "images" / "DigitScenes_val_000003.jpg"


def show(ax: Axes, pixels: np.ndarray, title: str, **options: object) -> None:
    ax.imshow(pixels, interpolation="nearest", **options)
    ax.set_title(title, fontsize=10)
    ax.axis("off")


def main() -> None:
    figure, axes = plt.subplots(1, 7, figsize=(12.6, 2.2), width_ratios=(1, 1, 1, 1, 1, 1, 1.05))
    classified = mmvisionllama.load("visionllama-tiny-digitscenes").predict(CLASSIFIED)
    show(axes[0], classified.pixels, f"class {classified.name}, {classified.score:.2f}")
    segmented = mmvisionllama.load("visionllama-tiny-upernet-digitscenes").predict(PHOTO)
    show(axes[1], segmented.pixels, "an image")
    show(axes[2], np.asarray(segmented.palette, np.uint8)[segmented.labels], "segmented")
    detector = mmvisionllama.load("pyramid-visionllama-tiny-maskrcnn-digitscenes-narrow")
    found = detector.predict(PHOTO).above(0.5)
    show(axes[3], found.pixels, "detected")
    for (x1, y1, x2, y2), label, score in zip(found.boxes, found.labels, found.scores, strict=True):
        axes[3].add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color="#e3a008", lw=1.5))
        text = f"{found.name_of(int(label))} {score:.2f}"
        axes[3].text(x1, y1, text, fontsize=7, va="bottom", bbox=dict(fc="#e3a008", ec="none", pad=0.8))
    painted = mmvisionllama.load("visionllama-tiny-mae-digitscenes").predict(PHOTO)
    show(axes[4], painted.masked, "three quarters hidden")
    show(axes[5], painted.reconstruction, "painted by MAE")
    samples = mmvisionllama.load("sit-visionllama-tiny-mnist").sample(classes=list(range(9)), num=9, seed=0)
    tiles = np.stack([x.generated for x in samples]).reshape(3, 3, 28, 28)
    show(axes[6], tiles.transpose(0, 2, 1, 3).reshape(84, 84), "generated", cmap="gray")
    figure.tight_layout(pad=0.3)
    figure.savefig(HERE / "tasks.png", dpi=110)
    with Image.open(HERE / "tasks.png") as picture:
        picture.convert("RGB").quantize(256).save(HERE / "tasks.png", optimize=True)


if __name__ == "__main__":
    main()
