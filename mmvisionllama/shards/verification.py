"""Verify a sharded data set: read all of it, and compare every SHA-256."""

from collections.abc import Iterator, Mapping
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from mmvisionllama.checks.data import leaves_of
from mmvisionllama.datasets.shard_index import changed, read_index, read_samples
from mmvisionllama.reports.progress import progress
from mmvisionllama.suggestions import shortened


def describe_shards(folder: Path) -> list[str]:
    """Say in lines what a sharded data set holds, after its index was held against the sizes of its files.

    Raises: DataError: if that does not fit.
    """
    index = read_index(folder)
    lines = []
    for name, part in index.parts.items():
        samples = read_samples(folder, part, index.classes)
        size = sum(x.size for x in part.shards) / 1e9
        labelled = "without labels" if samples.labels.max() < 0 else f"labels to {samples.labels.max()}"
        count = f"{part.samples:,} images in {len(part.shards):,} shards"
        lines.append(f"{name}: {count}, {size:.2f} GB, {labelled}")
        if part.left_out:
            told = shortened([f"{x} ({why})" for x, why in part.left_out.items()])
            lines.append(f"{name}: {len(part.left_out):,} unreadable images were left out: {told}")
    if index.classes:
        lines.append(f"{len(index.classes)} classes: {shortened(index.classes)}")
    return lines


def verify_shards(folder: Path, workers: int = 8) -> list[str]:
    """Read every file of a sharded data set, and say what is not as the index has it.

    Raises: DataError: if there is no sound index.
    """
    index = read_index(folder)
    files = [x for part in index.parts.values() for x in (part.table, *part.shards)]
    problems = []
    with progress(f"{folder}: files", len(files)) as advance, ThreadPool(workers) as pool:
        for problem in pool.imap(lambda x: changed(folder, x, content=True), files):
            problems += [] if problem is None else [problem]
            advance(1)
    return problems


def sharded_folders(cfg: Mapping[str, Any], *loaders: str) -> Iterator[Path]:
    """Yield the folders of shards that data loaders of a config read, each once."""
    known = set()
    for loader in (cfg[x] for x in loaders if cfg.get(x) is not None):
        for leaf in leaves_of(loader["dataset"]):
            if str(leaf.get("type")).endswith("ShardedImages") and leaf["data_root"] not in known:
                known.add(leaf["data_root"])
                yield Path(leaf["data_root"])
