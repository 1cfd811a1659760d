"""Images of a test from the worst to the best, as small pictures of a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mmvisionllama.datasets.shard_files import is_image_there, open_image
from mmvisionllama.run_reports.pages import Block, Gallery, Picture, Text

_SIDE = 240  # pixels
_SMALL = 96  # an image below is drawn larger, in whole pixels
_QUALITY = 85


@dataclass(frozen=True)
class RankedImage:
    """An image of a test, at its place.

    Attributes:
        name: To call it.
        path: Of its file; None where it comes from none of its own.
        told: How good the prediction is, in a line.
        draw: Makes of the image (H, W, 3), RGB, uint8, and the scale that it is shown at what is shown; None:
            the image alone.
    """

    name: str
    path: str | None
    told: str
    draw: Callable[[NDArray, float], NDArray] | None = None


def worst_and_best(ranked: Sequence[RankedImage], count: int = 12) -> list[Block]:
    """Show the first and the last of images that are ordered from the worst to the best."""
    worst, best = ranked[:count], list(reversed(ranked[count:][-count:]))
    blocks: list[Block] = [Text("The worst first:"), *gallery(worst, "worst")]
    return blocks + ([Text("The best first:"), *gallery(best, "best")] if best else [])


def gallery(images: Sequence[RankedImage], name: str) -> list[Block]:
    """Show images as small pictures; those whose file is not there are listed by name."""
    pictures, without, nameless = [], [], []
    for number, image in enumerate(images):
        pixels = _pixels(image)
        if pixels is None:
            (nameless if image.path is None else without).append(f"{image.name}: {image.told}")
        else:
            content = _as_small_file(pixels)
            pictures.append(Picture(f"{name}-{number:02}.jpg", content, f"{image.name}: {image.told}"))
    blocks: list[Block] = [Gallery(pictures)] if pictures else []
    if without:
        blocks.append(Text(f"Their files are not on this machine: {'; '.join(without)}"))
    if nameless:
        blocks.append(Text(f"Of no file of their own, so not shown: {'; '.join(nameless)}"))
    return blocks


def _pixels(image: RankedImage) -> NDArray | None:
    if image.path is None or not is_image_there(image.path):
        return None
    with open_image(image.path) as file:
        content = np.frombuffer(file.read(), np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if pixels is None:
        return None
    scale = scale_of(*pixels.shape[:2])
    pixels = resized(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), scale)
    return pixels if image.draw is None else image.draw(pixels, scale)


def scale_of(height: int, width: int) -> float:
    """Return by how much an image is scaled for a page: small ones up by a whole number, large ones down."""
    longest = max(height, width)
    return float(_SIDE // longest) if longest <= _SMALL else min(1.0, _SIDE / longest)


def resized(pixels: NDArray, scale: float) -> NDArray:
    """Return an image, or a map of labels (H, W), at another size."""
    size = [max(1, round(x * scale)) for x in pixels.shape[1::-1]]
    mode = cv2.INTER_NEAREST if scale > 1 or pixels.ndim == 2 else cv2.INTER_AREA
    return pixels if scale == 1 else cv2.resize(pixels, size, interpolation=mode)


def _as_small_file(pixels: NDArray) -> bytes:
    shown = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return content.tobytes()
