"""Run the tutorials and keep a picture of each: PYTHONPATH=. python docs/figures/draw_tutorials.py [FOLDER]

With a FOLDER that a run of all of them has left, pictures are taken from there.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tests.docs.documents import TUTORIALS, run_tutorial

FIGURES = Path(__file__).parents[1] / "tutorials" / "figures"
# The picture that a tutorial makes, and the share of its height that is shown.
PICTURES = {
    "classify": ("work_dirs/visionllama_tiny_cls_digits/training/predictions.png", 0.5),
    "segment": ("work_dirs/visionllama_tiny_seg_coins/training/predictions.png", 0.372),
    "detect": ("work_dirs/pyramid_visionllama_own_det_coins/training/predictions.png", 0.38),
    "generate": ("samples/grid.png", 1.0),
}
WIDTH = 720


def keep(name: str, folder: Path) -> None:
    """Shrink the picture of a tutorial to the width of a page, in 128 colours."""
    file, share = PICTURES[name]
    with Image.open(folder / file) as picture:
        shown = picture.convert("RGB").crop((0, 0, picture.width, round(picture.height * share)))
    width = min(WIDTH, shown.width)
    shown = shown.resize((width, round(width * shown.height / shown.width)), Image.Resampling.LANCZOS)
    FIGURES.mkdir(exist_ok=True)
    shown.quantize(128, dither=Image.Dither.NONE).save(FIGURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    for page in TUTORIALS:
        if sys.argv[1:]:
            keep(page.stem, Path(sys.argv[1], page.stem))
        else:
            with TemporaryDirectory() as place:
                run_tutorial(page, Path(place))
                keep(page.stem, Path(place))
