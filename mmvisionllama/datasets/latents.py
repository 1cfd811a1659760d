"""Cached latents of images: their files, and the data set that reads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmpretrain.datasets import BaseDataset
from mmpretrain.structures import DataSample
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmvisionllama.arguments import checked
from mmvisionllama.errors import UserError
from mmvisionllama.files import read_record, why_no_file
from mmvisionllama.registry import DATASETS

FACTS = "cache.json"


class CacheError(RuntimeError):
    """Cached latents that are missing, incomplete or damaged."""


def read_facts(folder: str | Path) -> dict[str, Any]:
    """Return what the latents in a folder are of, as :mod:`mmvisionllama.inference.latent_caching` wrote it.

    Raises:
        CacheError: if it holds no latents.
    """
    file = Path(folder, FACTS)
    try:
        facts = read_record(file)
    except UserError as error:
        raise CacheError(str(error)) from error
    if facts is None:
        raise CacheError(f"{folder} holds no cached latents (no {FACTS}): tools/cache_latents.sh makes them")
    images = facts.get("images")
    counts = [images.get("count") if isinstance(images, dict) else None, facts.get("shard_size")]
    share, classes = facts.get("flip_prob"), facts.get("classes") or []
    sound = all(type(x) is int and x > 0 for x in counts) and isinstance(share, (int, float))
    if not sound or not isinstance(classes, list):
        raise CacheError(f"{file} does not describe cached latents: remove it, and make them again")
    return facts


def shards_of(folder: str | Path, facts: dict[str, Any]) -> list[Path]:
    """Return where the shards of a complete cache lie."""
    return [Path(folder, f"shard_{number:05}.safetensors") for number in range(shard_count(facts))]


def shard_count(facts: dict[str, Any]) -> int:
    """Return the number of shards of a complete cache."""
    return -(-facts["images"]["count"] // facts["shard_size"])


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

    @checked
    def __init__(self, data_root: str, **kwargs: Any) -> None:
        self._open: dict[int, Any] = {}
        super().__init__(ann_file="", data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List shard, row and label of every image."""
        facts = read_facts(self.data_root)
        count, there = shard_count(facts), len(list(Path(self.data_root).glob("shard_*.safetensors")))
        if there < count:
            raise CacheError(
                f"{self.data_root} is not complete: {count - there:,} of {count:,} shards are "
                "missing; the command that made it goes on where it stopped"
            )
        self._shards, self._flip_prob = shards_of(self.data_root, facts), facts["flip_prob"]
        if facts.get("classes"):
            self._metainfo.setdefault("classes", tuple(facts["classes"]))
        found = []
        for shard in range(len(self._shards)):
            labels = self._read(shard, lambda file: file.get_tensor("label"))
            if labels.ndim != 1 or labels.is_floating_point():
                raise CacheError(f"{self._shards[shard]} is damaged: its labels are no whole numbers")
            labels = labels.tolist()
            found += [{"shard": shard, "row": row, "gt_label": x} for row, x in enumerate(labels)]
        self._open.clear()  # worker processes open the files themselves
        return found

    def prepare_data(self, idx: int) -> dict[str, Any]:
        """Read the latents of one image, and make the sample that the model expects."""
        info = self.get_data_info(idx)
        flipped = int(not self.test_mode and np.random.random() < self._flip_prob)
        sample = DataSample(metainfo=dict(sample_idx=info["sample_idx"])).set_gt_label(info["gt_label"])
        return {"inputs": self._latent(info["shard"], info["row"], flipped), "data_samples": sample}

    def _latent(self, shard: int, row: int, flipped: int) -> Tensor:
        def latent(file: Any) -> Tensor:
            return file.get_slice("latent")[row : row + 1, flipped : flipped + 1][0, 0]

        return self._read(shard, latent)

    def _read(self, number: int, read: Callable[[Any], Tensor]) -> Tensor:
        path = self._shards[number]
        if problem := why_no_file(path):
            raise CacheError(f"{path} is {problem}: remove it, and let tools/cache_latents.sh make it again")
        try:
            if number not in self._open:
                self._open[number] = safe_open(path, "pt").__enter__()
            return read(self._open[number])
        except (SafetensorError, OSError, IndexError, TypeError, ValueError) as error:
            raise CacheError(
                f"{path} is damaged ({error}): remove it, and let tools/cache_latents.sh make it again"
            ) from error


def as_latents(mean: Tensor, deviation: Tensor) -> Tensor:
    """Put what an autoencoder gives, each (B, C, H, W), together as the cache keeps it: (B, 2, C, H, W)."""
    return torch.stack((mean, deviation), dim=1).to(torch.float16)
