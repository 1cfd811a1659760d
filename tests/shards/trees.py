"""Small trees of images and the shards of them, which the tests of sharded data share."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmpretrain.datasets import CustomDataset
from PIL import Image

from mmvisionllama.datasets.sharded_images import ShardedImages
from mmvisionllama.shards.source_images import find_images
from mmvisionllama.shards.writing import write_shards

CLASSES = ("cat", "dog", "emu")
COUNTS = {"train": 8, "val": 2}  # images of each class


def write_tree(root: Path, *, side: int = 16) -> Path:
    """Write class folders of noise as JPEG files, one of them a PNG file."""
    random = np.random.default_rng(0)
    for part, count in COUNTS.items():
        for name in CLASSES:
            for i in range(count):
                suffix = "png" if (name, i) == ("dog", 1) else "JPEG"
                file = root / part / name / f"{name}.v1_{i}.{suffix}"
                file.parent.mkdir(parents=True, exist_ok=True)
                pixels = random.integers(0, 255, (side, side, 3), np.uint8)
                Image.fromarray(pixels).save(file)
    return root


def shard(root: Path, out: Path, **options: Any) -> Path:
    """Write the shards of a tree, seven samples in each."""
    write_shards(find_images(root), out, **{"shard_samples": 7, "workers": 2, **options})
    return out


def in_folders(root: Path, part: str = "train", **options: Any) -> CustomDataset:
    return CustomDataset(data_root=str(root), data_prefix=part, **options)


def in_shards(root: Path, part: str = "train", **options: Any) -> ShardedImages:
    return ShardedImages(str(root), split=part, **options)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders, not to be changed."""
    return write_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def shards(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of ``tree``, not to be changed."""
    return shard(tree, tmp_path_factory.mktemp("shards"))
