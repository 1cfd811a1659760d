"""Check the image files of a data set by their headers, and a sample of deep ones by their pixels."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine import fileio

from mmvisionllama.checks.data_problems import DataProblem, Role
from mmvisionllama.datasets.image_files import EXTENSIONS, ImageHeader, is_hidden
from mmvisionllama.datasets.image_loading import CorruptImageError
from mmvisionllama.suggestions import shortened

HEADERS_READ = 100_000
_DEEP_DECODED = 20
_DARK, _SCALE = 32, 8  # of 256 values; by how much the values of a file are above those that are loaded


def spaced(count: int, most: int) -> list[int]:
    """Return up to ``most`` indices of ``count`` things, evenly spaced, the first and the last among them."""
    if not count:
        return []
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()


def check_images(role: Role, paths: Sequence[str]) -> Iterator[DataProblem]:
    """Yield images that are missing, cannot be read, or would be flattened by loading, of up to 100,000.

    Nothing is said where a loader of a format of its own reads them.
    """
    if role.pipeline and role.loader is None:
        return
    paths = [paths[index] for index in spaced(len(paths), HEADERS_READ)]
    headers = role.headers.of(paths)
    wrong = [path for path, header in zip(paths, headers, strict=True) if header is None]
    missing = {path for path in wrong if not fileio.exists(path)}
    if missing:
        yield DataProblem(role.name, f"{len(missing):,} images do not exist: {shortened(sorted(missing))}")
    base = os.path.commonpath(map(os.path.dirname, paths)) if paths else ""
    yield from _unreadable(role, [path for path in wrong if path not in missing], base)
    yield from _deep(role, paths, headers, base)


def check_dropped(
    role: Role, folder: Path, taken: Callable[[str], bool], fix: Callable[[set[str]], str]
) -> Iterator[DataProblem]:
    """Yield image files in a folder and below it that a data set does not take because of their names.

    Args:
        fix: Says what to do about the suffixes of such files.
    """
    dropped, places = Counter(), Counter()
    total = 0
    for place, names, files in os.walk(folder):
        names[:] = [name for name in names if not is_hidden(name)]
        for name in files:
            if (suffix := Path(name).suffix).lower() in EXTENSIONS and not is_hidden(name):
                total += 1
                if not taken(name):
                    dropped[suffix] += 1
                    places[str(Path(place).relative_to(folder))] += 1
    if dropped:
        kinds = ", ".join(f"{number:,} {suffix}" for suffix, number in dropped.items())
        where = shortened([f"{number:,} in {place}" for place, number in places.items()])
        text = f"{dropped.total():,} of {total:,} image files in {folder} are not taken: {kinds} ({where})"
        yield DataProblem(role.name, f"{text}. {fix(set(dropped))}", fatal=False)


def _unreadable(role: Role, paths: list[str], base: str) -> Iterator[DataProblem]:
    if not paths:
        return
    text = f"{len(paths):,} images cannot be read: {_below(base, paths)}"
    # A training skips a number of corrupt images and names them.
    skipped = getattr(role.loader, "max_corrupt", 0 if role.loader else len(paths))
    if too_many := len(paths) > skipped:
        text += f"; a training may skip {skipped} (max_corrupt of the loader)" if not role.evaluated else ""
    yield DataProblem(role.name, text, fatal=role.evaluated or too_many)


def _deep(
    role: Role, paths: Sequence[str], headers: Iterable[ImageHeader | None], base: str
) -> Iterator[DataProblem]:
    deep = [path for path, header in zip(paths, headers, strict=True) if header and header.bits > 8]
    if not deep:
        return
    in_files, loaded, unreadable = 0.0, 0.0, []
    for path in (deep[index] for index in spaced(len(deep), _DEEP_DECODED)):
        stored, pixels = mmcv.imread(path, flag="unchanged"), _load(role, path)
        if stored is None or pixels is None:
            unreadable.append(path)
        else:
            in_files, loaded = max(in_files, float(np.nanmax(stored))), max(loaded, float(np.nanmax(pixels)))
    yield from _unreadable(role, unreadable, base)
    if in_files <= loaded:  # the values are kept
        return
    text = (
        f"{len(deep):,} images have more than 8 bits a channel: {_below(base, deep)}. They are loaded with 8 "
        f"bits, values up to {in_files:g} as up to {loaded:g} of 255"
    )
    if dark := loaded < _DARK and in_files >= _SCALE * loaded:
        text += ", almost black. Save them as 8 bits after scaling the values that occur to 0 to 255"
    yield DataProblem(role.name, text, fatal=bool(dark))


def _load(role: Role, path: str) -> np.ndarray | None:
    if role.loader is None:
        return mmcv.imread(path)
    try:
        return (role.loader({"img_path": path}) or {}).get("img")
    except CorruptImageError:
        return None


def _below(base: str, paths: Iterable[str]) -> str:
    return shortened([os.path.relpath(path, base) for path in paths])


def names_of(paths: Iterable[str | Path]) -> str:
    """Return the names of files as one line, the surplus as a count."""
    return shortened([Path(path).name for path in paths])
