"""Latents of images, encoded once and for all: how they lie on disk, and the data set that reads them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmpretrain.datasets import BaseDataset
from mmpretrain.structures import DataSample
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmvisionllama.registry import DATASETS

FACTS = "cache.json"


class CacheError(RuntimeError):
    """Cached latents that cannot be used: none, not all yet, or damaged."""


def read_facts(folder: str | Path) -> dict[str, Any]:
    """Return what the latents in a folder are of, as :mod:`mmvisionllama.generation.caching` wrote it.

    Raises:
        CacheError: if it holds no latents.
    """
    file = Path(folder, FACTS)
    if not file.is_file():
        raise CacheError(f"{folder} holds no cached latents (no {FACTS}): tools/cache_latents.sh makes them")
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise CacheError(f"{file} is no JSON file: {error}") from error


def shards_of(folder: str | Path, facts: dict[str, Any]) -> list[Path]:
    """Return where the shards of a complete cache lie."""
    count = -(-facts["images"]["count"] // facts["shard_size"])
    return [Path(folder, f"shard_{number:05}.safetensors") for number in range(count)]


@DATASETS.register_module()
class CachedLatents(BaseDataset):
    """Means and standard deviations of images' latents, with their labels (``tools/cache_latents.py``).

    A sample's ``inputs`` are both, float16 (2, C, H, W), of the image or of its mirror image: which one is
    drawn anew each time, as often as the data set of the images flipped them.

    Args:
        data_root: Folder of the cache.
        kwargs: See mmpretrain's ``BaseDataset``.

    Raises:
        CacheError: when the data are listed, if the cache is incomplete or damaged.
    """

    def __init__(self, data_root: str, **kwargs: Any) -> None:
        self._open: dict[int, Any] = {}
        super().__init__(ann_file="", data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List shard, row and label of every image."""
        facts = read_facts(self.data_root)
        self._shards, self._flip_prob = shards_of(self.data_root, facts), facts["flip_prob"]
        if facts["classes"]:
            self._metainfo.setdefault("classes", tuple(facts["classes"]))
        if missing := [path for path in self._shards if not path.is_file()]:
            raise CacheError(
                f"{self.data_root} is not complete: {len(missing)} of {len(self._shards)} shards are "
                "missing; the command that made it goes on where it stopped"
            )
        found = []
        for shard in range(len(self._shards)):
            labels = self._shard(shard).get_tensor("label").tolist()
            found += [{"shard": shard, "row": row, "gt_label": x} for row, x in enumerate(labels)]
        self._open.clear()  # the processes that load open their own
        return found

    def prepare_data(self, idx: int) -> dict[str, Any]:
        """Read the latents of one image, and make the sample that the model expects."""
        info = self.get_data_info(idx)
        flipped = int(not self.test_mode and np.random.random() < self._flip_prob)
        sample = DataSample(metainfo=dict(sample_idx=info["sample_idx"])).set_gt_label(info["gt_label"])
        return {"inputs": self._latent(info["shard"], info["row"], flipped), "data_samples": sample}

    def _latent(self, shard: int, row: int, flipped: int) -> Tensor:
        rows = self._shard(shard).get_slice("latent")
        return rows[row : row + 1, flipped : flipped + 1][0, 0]

    def _shard(self, number: int) -> Any:
        if number not in self._open:
            path = self._shards[number]
            try:
                self._open[number] = safe_open(path, "pt").__enter__()
            except (SafetensorError, OSError) as error:
                raise CacheError(
                    f"{path} is damaged ({error}): remove it, and let tools/cache_latents.sh make it again"
                ) from error
        return self._open[number]


def as_latents(mean: Tensor, deviation: Tensor) -> Tensor:
    """Put what an autoencoder gives, each (B, C, H, W), together as the cache keeps it: (B, 2, C, H, W)."""
    return torch.stack((mean, deviation), dim=1).to(torch.float16)
