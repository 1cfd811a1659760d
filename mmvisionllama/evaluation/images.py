"""Sets of images on disk: .npz files of ADM's evaluator, and folders of PNG files."""

import math
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from mmvisionllama.errors import EvaluationError
from mmvisionllama.files import atomic_path, why_no_file
from mmvisionllama.suggestions import did_you_mean

_LABEL = re.compile(r"_class(\d+)$")
GRID = "grid.png"  # a picture of many samples, beside them


class ImageSet(ABC):
    """Images of one size, read batch by batch: 50,000 of 256 px are 10 GB.

    Args:
        name: What messages and reports call it.
        count: Number of images, at least one.
        image_shape: (img_h, img_w, channels), one (grey) or three (RGB) channels.
        labels: Class of each image, (N,), if known.
    """

    def __init__(
        self, name: str, count: int, image_shape: tuple[int, int, int], labels: NDArray | None = None
    ) -> None:
        if count < 1:
            raise EvaluationError(f"{name} holds no image")
        if len(image_shape) != 3 or image_shape[-1] not in (1, 3):
            raise EvaluationError(f"{name}: images must be height x width x 1 or 3, these are {image_shape}")
        if labels is not None and labels.shape != (count,):
            raise EvaluationError(f"{name} has {count:,} images, but labels of the shape {labels.shape}")
        self.name, self.image_shape, self.labels = name, tuple(image_shape), labels
        self._count = count

    def __len__(self) -> int:
        return self._count

    @abstractmethod
    def batches(self, size: int) -> Iterator[NDArray]:
        """Yield all images in order, uint8 (B, img_h, img_w, channels).

        Raises:
            EvaluationError: if one is damaged, of another type or of another size.
        """


class NpzImages(ImageSet):
    """``arr_0`` of an ``.npz`` file, uint8 (N, img_h, img_w, channels), and ``arr_1``, labels, if there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        names = arrays_of(path)
        if "arr_0" not in names:
            raise EvaluationError(f"{path} has no array 'arr_0' of images; it has {', '.join(names)}")
        with _damage_told(path), zipfile.ZipFile(path) as archive, archive.open("arr_0.npy") as file:
            shape, fortran_order, dtype = _header(file)
        if dtype != np.uint8 or len(shape) != 4 or fortran_order:
            raise EvaluationError(
                f"{path}: arr_0 must be uint8 of (images, height, width, channels), it is {dtype} of {shape}"
            )
        super().__init__(
            str(path), shape[0], shape[1:], read_array(path, "arr_1") if "arr_1" in names else None
        )

    def batches(self, size: int) -> Iterator[NDArray]:
        bytes_each = math.prod(self.image_shape)
        with (
            _damage_told(self.path),
            zipfile.ZipFile(self.path) as archive,
            archive.open("arr_0.npy") as file,
        ):
            _header(file)
            for start in range(0, len(self), size):
                count = min(size, len(self) - start)
                content = np.frombuffer(file.read(count * bytes_each), np.uint8)
                yield content.reshape(count, *self.image_shape)


class PngFolder(ImageSet):
    """The PNG files of a folder in the order of their names; ``000012_class7.png`` is of class 7."""

    def __init__(self, path: Path) -> None:
        # Half-written files begin with a dot.
        self.files = sorted(x for x in path.glob("*.png") if x.name[0] != "." and x.name != GRID)
        if not self.files:
            raise EvaluationError(f"the folder {path} holds no .png file")
        found = [_LABEL.search(file.stem) for file in self.files]
        labelled = sum(x is not None for x in found)
        if labelled not in (0, len(found)):
            bare = self.files[found.index(None)].name
            raise EvaluationError(
                f"{path}: {labelled:,} of {len(found):,} files have a class in their name, "
                f"as in 000012_class7.png; {bare} has none"
            )
        labels = np.array([int(x[1]) for x in found]) if labelled else None
        super().__init__(str(path), len(self.files), _read_png(self.files[0]).shape, labels)

    def batches(self, size: int) -> Iterator[NDArray]:
        for start in range(0, len(self), size):
            batch = []
            for file in self.files[start : start + size]:
                image = _read_png(file)
                if image.shape != self.image_shape:
                    raise EvaluationError(
                        f"{file} is {image.shape}, {self.files[0].name} is {self.image_shape}"
                    )
                batch.append(image)
            yield np.stack(batch)


def open_images(path: str | Path) -> ImageSet:
    """Open an ``.npz`` file or a folder of PNG files.

    Raises:
        EvaluationError: if it is neither, or its content is not as described at :class:`NpzImages` and
            :class:`PngFolder`.
    """
    path = require_path(path)
    return PngFolder(path) if path.is_dir() else NpzImages(path)


def write_npz(path: Path, images: ImageSet) -> None:
    """Write an ``.npz`` file in the format of ADM's evaluator, whole or not at all."""
    header = dict(descr="|u1", fortran_order=False, shape=(len(images), *images.image_shape))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        with archive.open("arr_0.npy", "w", force_zip64=True) as file:
            npy.write_array_header_1_0(file, header)
            for batch in images.batches(256):
                file.write(batch.tobytes())
        if images.labels is not None:
            with archive.open("arr_1.npy", "w", force_zip64=True) as file:
                npy.write_array(file, images.labels.astype(np.int64), allow_pickle=False)


def write_png(folder: Path, index: int, image: NDArray, label: int | None = None) -> Path:
    """Write an image, uint8 (img_h, img_w, channels), as sample ``index`` of a folder, whole or not."""
    path = folder / png_name(index, label)
    with atomic_path(path) as temporary:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(temporary)
    return path


def png_name(index: int, label: int | None = None) -> str:
    """Return the name of the file of a sample."""
    return f"{index:06d}.png" if label is None else f"{index:06d}_class{label}.png"


def require_path(path: str | Path) -> Path:
    """Return a path that exists, else raise an EvaluationError with the nearest name beside it."""
    path = Path(path).expanduser()
    if not path.exists():
        beside = [x.name for x in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, beside) if beside else f" Nor does the folder {path.parent}."
        raise EvaluationError(f"{path} does not exist.{hint}")
    return path


def arrays_of(path: Path) -> list[str]:
    """Return the names of the arrays in an ``.npz`` file.

    Raises:
        EvaluationError: if it is none.
    """
    if problem := why_no_file(path):
        raise EvaluationError(f"{path} is {problem}")
    with _damage_told(path):
        is_whole = zipfile.is_zipfile(path)
    if not is_whole:
        raise EvaluationError(f"{path} is neither a folder of PNG files nor a whole .npz file")
    with _damage_told(path), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def read_array(path: Path, name: str) -> NDArray:
    """Return an array of an ``.npz`` file; pickled objects are refused."""
    with _damage_told(path, name), np.load(path, allow_pickle=False) as arrays:
        return arrays[name]


@contextmanager
def _damage_told(path: Path, part: str = "") -> Iterator[None]:
    """Name the file in the errors of zipfile, zlib and NumPy, which may be almost any for damaged bytes."""
    try:
        yield
    except Exception as error:
        what = f"{path}: {part} cannot be read" if part else f"{path} is damaged"
        raise EvaluationError(f"{what}: {str(error) or type(error).__name__}") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)


def _read_png(path: Path) -> NDArray:
    if problem := why_no_file(path):
        raise EvaluationError(f"{path} cannot be read: it is {problem}")
    with _damage_told(path, "the picture"), Image.open(path) as image:
        mode, array = image.mode, np.asarray(image)
    if mode not in ("L", "RGB"):
        raise EvaluationError(f"{path} is of the mode {mode}; grey (L) and RGB images can be read")
    return array if array.ndim == 3 else array[..., None]
