"""Write the DigitScenes data set: reproducible files, complete or not at all."""

import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import Progress

from mmvisionllama.datasets.digitscenes.contact_sheet import draw_contact_sheet
from mmvisionllama.datasets.digitscenes.layouts import LAYOUTS, Layout
from mmvisionllama.datasets.digitscenes.scene import HARD, PLAIN, Scene, compose
from mmvisionllama.datasets.digitscenes.sources import (
    CLASSES,
    PHOTOGRAPHS,
    SPLITS,
    digit_indices,
    load_sources,
)
from mmvisionllama.errors import LaunchError
from mmvisionllama.files import read_record
from mmvisionllama.suggestions import did_you_mean

FORMAT = 1  # raise it when equal arguments begin to give other files
DESCRIPTION = "digitscenes.json"

_MOST_IMAGES = 999_999  # file names have six figures
_LARGEST_SIZE = 1024  # the photographs have no more to show
_DRAW_SCENE, _PLAN_CLASSES = 0, 1  # parts of a seed, so that the two purposes draw different numbers


def write_digitscenes(
    out: str | os.PathLike[str],
    *,
    num_train: int = 6000,
    num_val: int = 500,
    size: int | None = None,
    hard: bool = False,
    seed: int = 0,
    layouts: Sequence[str] = tuple(LAYOUTS),
    workers: int | None = None,
    force: bool = False,
    progress: bool = False,
) -> bool:
    """Write the data set below ``out``, unless it lies there already.

    The files depend on the arguments up to ``layouts`` and on nothing else.

    Args:
        size: Image side in pixels; 64 by default, 96 for hard scenes.
        hard: Four to seven small digits in any tint instead of one or two bright ones.
        workers: Threads; as many as there are cores by default.
        force: Replace a data set that was written with other arguments.

    Returns: Whether anything was written.

    Raises:
        LaunchError: if an argument is out of range.
        FileExistsError: if ``out`` holds other data.
        OSError: if ``out`` cannot be written.
    """
    out = Path(out).absolute()
    style = HARD if hard else PLAIN
    size = style.size if size is None else size
    workers = (os.cpu_count() or 1) if workers is None else workers
    _check_range("num_train", num_train, 1, _MOST_IMAGES)
    _check_range("num_val", num_val, 1, _MOST_IMAGES)
    _check_range("size", size, style.least_size, _LARGEST_SIZE)
    _check_range("seed", seed, 0, 2**32 - 1)
    _check_range("workers", workers, 1, 256)
    arguments = {"num_train": num_train, "num_val": num_val, "size": size, "hard": hard, "seed": seed}
    arguments |= {"layouts": _checked_layouts(layouts), "format": FORMAT}
    if _already_written(out, arguments, force):
        return False

    with _replacing(out) as root:
        balance: dict[str, dict[str, dict[str, int]]] = {name: {} for name in arguments["layouts"]}
        groups = [(split, single) for split in SPLITS for single in (False, True)]
        with _threads(workers) as pool, Progress(disable=not progress) as bars:
            for split, single in groups:
                names = [name for name in balance if LAYOUTS[name].single == single]
                if not names:
                    continue
                maker = _SceneMaker(arguments, split, single)
                written = [LAYOUTS[name](root / name, split) for name in names]
                scenes = pool.imap(partial(maker.write, layouts=written), range(maker.total), chunksize=16)
                records = list(bars.track(scenes, maker.total, description=f"{split}: {', '.join(names)}"))
                for number, (name, layout) in enumerate(zip(names, written, strict=True)):
                    layout.finish([record[number] for record in records])
                    balance[name][split] = maker.balance()
        draw_contact_sheet(root)
        (root / DESCRIPTION).write_text(json.dumps(_describe(arguments, balance), indent=1) + "\n")
    return True


class _SceneMaker:
    """The scenes of one split, each a function of the seed and its own index alone."""

    def __init__(self, arguments: dict[str, Any], split: str, single: bool) -> None:
        style = HARD if arguments["hard"] else PLAIN
        self.total = arguments[f"num_{split}"]
        self._style, self._size = style, arguments["size"]
        self._sources = load_sources(split, self._size)
        self._seed = (arguments["seed"], SPLITS.index(split), int(single))
        self._plan = self._plan_classes((1,) if single else style.counts)

    def _plan_classes(self, counts: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Choose the digits of every scene so that each class is equally frequent at every depth."""
        count = np.resize(counts, self.total)
        digits = np.zeros((self.total, max(counts)), int)
        for depth in range(max(counts)):
            scenes = np.flatnonzero(count > depth)
            tens = np.tile(np.arange(10), (-(-len(scenes) // 10), 1))
            rng = np.random.default_rng([*self._seed, _PLAN_CLASSES, depth])
            digits[scenes, depth] = rng.permuted(tens, axis=1).ravel()[: len(scenes)]
        return [tuple(row[:n].tolist()) for row, n in zip(digits, count, strict=True)]

    def make(self, index: int) -> Scene:
        rng = np.random.default_rng([*self._seed, _DRAW_SCENE, index])
        return compose(rng, self._plan[index], self._sources, self._style, self._size)

    def write(self, index: int, layouts: list[Layout]) -> list[Any]:
        scene, jpeg = self.make(index), io.BytesIO()
        Image.fromarray(scene.image).save(jpeg, "JPEG", quality=95)
        return [layout.write(index, scene, jpeg.getvalue()) for layout in layouts]

    def balance(self) -> dict[str, int]:
        """Count the digits of each class over all scenes."""
        counts = np.bincount([digit for digits in self._plan for digit in digits], minlength=10)
        return dict(zip(CLASSES[1:], counts.tolist(), strict=True))


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise LaunchError(f"{name} must lie between {least} and {most}, got {value}")


def _checked_layouts(layouts: Sequence[str]) -> list[str]:
    for name in layouts:
        if name not in LAYOUTS:
            hint = did_you_mean(name, LAYOUTS)
            raise LaunchError(f"layouts: {name!r} is unknown.{hint} Allowed: {', '.join(LAYOUTS)}")
    if not layouts:
        raise LaunchError(f"layouts is empty; allowed: {', '.join(LAYOUTS)}")
    return [name for name in LAYOUTS if name in layouts]


def _already_written(out: Path, arguments: dict[str, Any], force: bool) -> bool:
    """Return whether ``out`` holds just this data set; raise unless it may be (re)placed."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    description = read_record(out / DESCRIPTION)
    if description is None:
        # `force` may delete data sets of ours alone.
        raise FileExistsError(f"{out} exists and is no DigitScenes folder (no {DESCRIPTION} in it)")
    found = description.get("arguments")
    found = found if isinstance(found, dict) else {}
    if found != arguments and not force:
        raise FileExistsError(
            f"{out} was written with other arguments; replace it with --force or choose another place\n"
            f"  there: {_one_line(found)}\n  asked: {_one_line(arguments)}"
        )
    return found == arguments


def _one_line(arguments: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in arguments.items())


@contextmanager
def _threads(number: int) -> Iterator[ThreadPool]:
    """Yield a pool of threads, none of which outlives the block."""
    pool = ThreadPool(number)
    try:
        yield pool
    finally:  # a thread still at work would write into a folder that is being removed
        pool.terminate()
        pool.join()


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``out`` that takes its place at the end, or vanishes on any error."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent)
    except OSError as error:
        raise OSError(f"cannot write below {out.parent}: {error.strerror}") from error
    with scratch:
        root = Path(scratch.name) / "new"
        root.mkdir()
        yield root
        if out.exists():
            out.rename(Path(scratch.name) / "old")
        root.rename(out)


def _describe(arguments: dict[str, Any], balance: dict[str, dict[str, dict[str, int]]]) -> dict[str, Any]:
    libraries = ("numpy", "opencv-python", "Pillow", "scikit-image", "scikit-learn")
    return {
        "arguments": arguments,
        "classes": list(CLASSES),
        "images": {name: {s: arguments[f"num_{s}"] for s in splits} for name, splits in balance.items()},
        "digits_per_class": balance,
        "digit_indices": {split: digit_indices(split) for split in SPLITS},
        "photographs": PHOTOGRAPHS,
        "libraries": {name: version(name) for name in libraries},
    }
