"""Images to predict: files, folders, patterns, PIL images, arrays and tensors."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from mmvisionllama.datasets.image_files import EXTENSIONS
from mmvisionllama.errors import InputError
from mmvisionllama.suggestions import choose, nearest_names

ChannelOrder = Literal["rgb", "bgr"]
_AS_THEY_ARE = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # PNG files have these modes, too


@dataclass(frozen=True)
class InputImage:
    """An image in a file, or in memory as the bytes of one.

    Attributes:
        name: The path of the file, else what messages call the image.
        content: None: it lies in the file.
    """

    name: str
    content: bytes | None = None

    @property
    def results(self) -> dict[str, Any]:
        """What the first transform of a pipeline takes."""
        told = {} if self.content is None else {"img_bytes": self.content}
        return {"img_path": self.name, **told}


def is_single(x: Any) -> bool:
    """Whether ``x`` is one image: a file, an InputImage, PIL image, array (H, W[, C]) or tensor (C, H, W)."""
    if isinstance(x, (str, Path)):
        return Path(x).expanduser().is_file()
    if isinstance(x, np.ndarray):
        return x.ndim == 2 or (x.ndim == 3 and x.shape[-1] in (1, 3, 4))
    return x.ndim < 4 if isinstance(x, Tensor) else isinstance(x, (Image.Image, InputImage))


def open_images(x: Any, channel_order: ChannelOrder = "rgb") -> list[InputImage]:
    """List the images that ``x`` stands for, in their order; no file is read yet.

    Args:
        x: A file; a folder, whose images are taken by name, those of folders below too; a pattern such as
            ``"photos/*.jpg"``; a PIL image, turned as its EXIF entry says; an array (H, W), (H, W, C) or
            (B, H, W, C) of 1, 3 or 4 channels; a tensor (C, H, W) or (B, C, H, W); or a list of these.
            Arrays and tensors are uint8, uint16, or floats in [0, 1].
        channel_order: Of the colours in arrays and tensors.

    Raises: InputError: for anything else, naming what it is.
    """
    choose("channel_order", channel_order, ("rgb", "bgr"))
    return _listed(x, "image", channel_order)


def _listed(x: Any, name: str, order: ChannelOrder) -> list[InputImage]:
    if isinstance(x, (str, Path)):
        return [InputImage(str(path)) for path in _files(x)]
    if isinstance(x, InputImage):
        return [x]
    if isinstance(x, Image.Image):
        return [InputImage(name, _encoded_pil(x, name))]
    if isinstance(x, (np.ndarray, Tensor)):
        array = x if isinstance(x, np.ndarray) else _channels_last(x, name)
        if is_single(array):
            return [InputImage(name, _encoded(array, name, order))]
        if array.ndim != 4:
            raise InputError(f"{name}: expected (H, W), (H, W, C) or (B, H, W, C), got {_told(x)}")
        x = array
    if isinstance(x, (Sequence, np.ndarray)) and not isinstance(x, bytes):
        parts = enumerate(x)
        return [image for i, part in parts for image in _listed(part, f"{name} {i}", order)]
    raise InputError(
        f"{name}: expected a path, a PIL image, an array, a tensor or a list of these, got {type(x).__name__}"
    )


def _files(given: str | Path) -> list[Path]:
    text = str(given)
    if "://" in text:
        raise InputError(f"{text} is an address; download the image, and give the path of the file")
    path = Path(given).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(x for x in path.rglob("*") if x.suffix.lower() in EXTENSIONS and x.is_file())
        if not found:
            raise InputError(f"{path} holds no image; looked for {', '.join(EXTENSIONS)}")
        return found
    if glob.has_magic(text):
        found = sorted(Path(x) for x in glob.glob(str(path), recursive=True) if Path(x).is_file())
        if not found:
            raise InputError(f"no file fits {text!r}")
        return found
    there = [x.name for x in path.parent.iterdir()] if path.parent.is_dir() else []
    near = nearest_names(path.name, there)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InputError(f"image {path} does not exist{hint}")


def _channels_last(x: Tensor, name: str) -> NDArray:
    if x.ndim not in (3, 4) or x.shape[-3] not in (1, 3, 4):
        raise InputError(f"{name}: expected a tensor (C, H, W) or (B, C, H, W), got {_told(x)}")
    x = x.detach().cpu().movedim(-3, -1)
    return (x.float() if x.is_floating_point() else x).numpy()


def _encoded_pil(image: Image.Image, name: str) -> bytes:
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F"):
        array = np.asarray(image)
        return _encoded(array.astype(np.uint16) if _is_16_bit(array) else array, name, "rgb")
    png = BytesIO()
    (image if image.mode in _AS_THEY_ARE else image.convert("RGB")).save(png, "png", compress_level=1)
    return png.getvalue()


def _is_16_bit(array: NDArray) -> bool:
    return array.dtype.kind == "i" and array.size > 0 and array.min() >= 0 and array.max() < 2**16


def _encoded(array: NDArray, name: str, order: ChannelOrder) -> bytes:
    """Return the pixels as a PNG file, which a pipeline then reads as it does any other."""
    if not array.size:
        raise InputError(f"{name} has no pixels: {_told(array)}")
    if array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # also if there is a NaN
            raise InputError(
                f"{name}: floats must lie in [0, 1], these lie in [{array.min():g}, {array.max():g}]; "
                "give pixels of 0 .. 255 as uint8"
            )
        array = (array * 255).round().astype(np.uint8)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name}: expected uint8, uint16 or floats in [0, 1], got {_told(array)}")
    if order == "rgb" and array.ndim == 3 and array.shape[-1] > 1:
        array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR if array.shape[-1] == 3 else cv2.COLOR_RGBA2BGRA)
    return cv2.imencode(".png", np.ascontiguousarray(array))[1].tobytes()


def _told(x: NDArray | Tensor) -> str:
    return f"{tuple(x.shape)} of {str(x.dtype).removeprefix('torch.')}"
