"""Measure reading of images from shards beside folders: PYTHONPATH=. python docs/figures/measure_shards.py"""

import mmvisionllama  # noqa: F401  before the hosts

# isort: split

import argparse
import io
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import webdataset
from mmengine import fileio
from mmpretrain.datasets import CustomDataset
from PIL import Image

from mmvisionllama.datasets.image_loading import LoadImageFromFile
from mmvisionllama.datasets.shard_index import FileFacts, Index, Part, write_index, write_table
from mmvisionllama.datasets.shard_sampler import ShardSampler
from mmvisionllama.datasets.sharded_images import ShardedImages
from mmvisionllama.shards.source_images import find_images
from mmvisionllama.shards.writing import write_shards

CLASSES, KINDS = 100, 50
WIDTH, HEIGHT = 500, 375


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def jpegs(size: int) -> list[bytes]:
    """Make a few pictures of about so many bytes: smooth areas with grain."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(KINDS):
        coarse = rng.integers(0, 255, (6, 8, 3), np.uint8)
        smooth = np.asarray(
            Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16
        )
        grain = rng.normal(0, 14, smooth.shape).astype(np.int16)
        picture = Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))
        for quality in range(40, 100, 3):
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=quality)
            if buffer.tell() >= size:
                break
        found.append(buffer.getvalue())
    return found


def write_tree(root: Path, count: int, size: int) -> None:
    contents = jpegs(size)
    for i in range(count):
        file = root / "train" / f"n{i % CLASSES:08}" / f"n{i % CLASSES:08}_{i}.JPEG"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contents[i % KINDS])
    os.sync()


def forget(root: Path, inodes: bool) -> None:
    """Drop the pages of all files below a folder from the cache, and on request the system's inodes, too."""
    for place, _, files in os.walk(root):
        for name in files:
            descriptor = os.open(Path(place, name), os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
    if inodes:
        Path("/proc/sys/vm/drop_caches").write_text("2")


def bytes_of(path: str, content: bytes | None) -> int:
    return len(fileio.get(path) if content is None else content)


def decoded(path: str, content: bytes | None) -> int:
    return LOADER({"img_path": path, **({} if content is None else {"img_bytes": content})})["img"].size


LOADER = LoadImageFromFile()
Source = Callable[[int], Iterator[tuple[str, bytes | None]]]


def sources(tree: Path, shards: Path, rng: random.Random) -> dict[str, Source]:
    """Return what gives so many images, by path or with their bytes."""
    folders, sharded = CustomDataset(str(tree), "train"), ShardedImages(str(shards), split="train")

    def at_random(dataset: CustomDataset | ShardedImages) -> Source:
        def images(count: int) -> Iterator[tuple[str, None]]:
            for i in rng.sample(range(len(dataset)), count):
                yield dataset.get_data_info(i)["img_path"], None

        return images

    def by_shards(count: int) -> Iterator[tuple[str, None]]:
        sampler = ShardSampler(sharded, seed=rng.randrange(2**31))
        for i in itertools.islice(sampler, count):
            yield sharded.get_data_info(i)["img_path"], None

    def by_webdataset(count: int) -> Iterator[tuple[str, bytes]]:
        urls = sorted(map(str, shards.glob("train-*.tar")))
        rng.shuffle(urls)
        for sample in itertools.islice(webdataset.WebDataset(urls, shardshuffle=False), count):
            yield sample["__key__"], sample["jpg"]

    return {
        "folders": at_random(folders),
        "shards": at_random(sharded),
        "shards, ShardSampler": by_shards,
        "webdataset, in order": by_webdataset,
    }


def measure(tree: Path, shards: Path, rounds: int, count: int, inodes: bool) -> None:
    rng = random.Random(0)
    given = sources(tree, shards, rng)
    for what, use, images in (("bytes", bytes_of, count), ("decoded", decoded, count // 5)):
        for cold in (True, False):
            rates: dict[str, list[float]] = {name: [] for name in given}
            for number in range(rounds + 1):  # the first round is not counted
                names = list(given)
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    if cold:
                        forget(tree if name == "folders" else shards, inodes)
                    start = time.perf_counter()
                    sum(use(path, content) for path, content in given[name](images))
                    if number:
                        rates[name].append(images / (time.perf_counter() - start))
            show(f"{what}, {'cold' if cold else 'warm'}", rates)


def show(title: str, rates: dict[str, list[float]]) -> None:
    for name, values in rates.items():
        ratios = [x / y for x, y in zip(values, rates["folders"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        rate = statistics.median(values)
        say(f"{title:14} {name:21} {rate:9,.0f} images/s  {middle:6.2f} ({low:.2f}-{high:.2f})")


def measure_start(tree: Path, shards: Path, rounds: int, inodes: bool) -> None:
    """Time what a data set does before its first sample."""
    builds = {
        "folders": lambda: CustomDataset(str(tree), "train"),
        "shards": lambda: ShardedImages(str(shards), split="train"),
    }
    for cold in (True, False):
        seconds: dict[str, list[float]] = {name: [] for name in builds}
        for _ in range(rounds):
            for name, build in builds.items():
                if cold:
                    forget(tree if name == "folders" else shards, inodes)
                start = time.perf_counter()
                build()
                seconds[name].append(time.perf_counter() - start)
        for name, values in seconds.items():
            title = f"start, {'cold' if cold else 'warm'}"
            say(f"{title:14} {name:21} {statistics.median(values):9.3f} s")


def measure_index(folder: Path, rows: int, rounds: int) -> None:
    """Time the reading of a large index, whose shards are files without content."""
    shard_count, size = 560, 256_000_000
    folder.mkdir()
    shards = []
    for i in range(shard_count):
        path = folder / f"train-{i:06}.tar"
        path.touch()
        os.truncate(path, size)
        shards.append(FileFacts(path.name, size, "0" * 64))
    places = np.arange(rows)
    columns = {
        "shard": places % shard_count,
        "offset": places,
        "size": places % 1000 + 1,
        "label": places % 1000,
    }
    names = [f"n{i % 1000:08}/n{i % 1000:08}_{i}.JPEG" for i in range(rows)]
    table = write_table(folder, "train", columns, names)
    write_index(folder, Index((), {"train": Part(rows, table, tuple(shards), {})}, {}))
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        ShardedImages(str(folder), split="train")
        seconds.append(time.perf_counter() - start)
    say(f"index of {rows:,} rows, {table.size / 1e6:.0f} MB: {statistics.median(seconds):.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="where trees and shards are made, or lie from an earlier call"
    )
    parser.add_argument("--images", type=int, default=20_000, help="of the data (default: %(default)s)")
    parser.add_argument("--bytes", type=int, default=110_000, help="of an image (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--count", type=int, default=1_000, help="images of a measurement (default: %(default)s)"
    )
    parser.add_argument(
        "--index-rows", type=int, default=1_281_167, help="of a large index (default: %(default)s)"
    )
    parser.add_argument(
        "--drop-inodes", action="store_true", help="cold: without inodes, of any file of this machine (root)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder.parent) as folder:
        measure_index(Path(folder, "index"), args.index_rows, args.rounds)
    tree, shards = args.folder / "tree", args.folder / "shards"
    if not shards.exists():
        write_tree(tree, args.images, args.bytes)
        start = time.perf_counter()
        write_shards(find_images(tree), shards)
        say(f"written in {time.perf_counter() - start:.1f} s")
    sizes = [x.stat().st_size for x in (tree / "train").rglob("*.JPEG")]
    count = len(list(shards.glob("*.tar")))
    say(f"{len(sizes):,} images of {statistics.mean(sizes) / 1000:.0f} kB, {count} shards")
    measure_start(tree, shards, args.rounds, args.drop_inodes)
    measure(tree, shards, args.rounds, args.count, args.drop_inodes)


if __name__ == "__main__":
    main()
