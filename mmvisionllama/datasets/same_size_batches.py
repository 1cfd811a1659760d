"""Batches of an evaluation whose images have one size."""

from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from mmengine.dataset import DefaultSampler
from torch.utils.data import BatchSampler, DataLoader

from mmvisionllama.arguments import Positive, checked
from mmvisionllama.datasets.image_files import read_headers
from mmvisionllama.errors import ArgumentError
from mmvisionllama.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class SameSizeBatchSampler(BatchSampler):
    """Batch the images of an evaluation that have one size, so that none is padded for another.

    Images of equal size are equal after every transform that draws nothing, as those of an evaluation. Sizes
    are ``height`` and ``width`` of the data set, as COCO's annotations tell, those of images in memory, or
    the headers of the files ``img_path``; an image of unknown size goes alone. Parts of a ``ConcatDataset``,
    which may resize differently, are not mixed. Every index is given once. Batches are in the order of their
    last images, so what the sampler gives last stays last: mmengine, which gathers results of several
    processes in turns, takes the last ones for repeated.

    Args:
        sampler: mmengine's ``DefaultSampler`` or a subclass, without shuffling.
        batch_size: Images of a batch at most.

    Raises:
        ArgumentError: for any other sampler, as a training's.
    """

    @checked
    def __init__(self, sampler: Any, batch_size: Positive) -> None:
        order = getattr(sampler, "sampler", sampler)  # inside one that gives each index its key
        if not isinstance(order, DefaultSampler) or order.shuffle:
            shuffles = " with shuffle=True" if getattr(order, "shuffle", False) else ""
            raise ArgumentError(
                f"SameSizeBatchSampler is for evaluations, got {type(order).__name__}{shuffles}: there, set "
                "sampler=dict(type='DefaultSampler', shuffle=False); leave it out of a training"
            )
        super().__init__(sampler, batch_size, drop_last=False)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        indices = list(self.sampler)
        return ([indices[place] for place in batch] for batch in self._batches)

    @property
    def places(self) -> list[int]:
        """For each image in the order of the batches, its place in the order of the sampler."""
        return [place for batch in self._batches for place in batch]

    @cached_property
    def _batches(self) -> list[list[int]]:
        """Places in the order of the sampler, batch by batch."""
        open_batches: dict[Hashable, list[int]] = {}
        batches = []
        for place, size in enumerate(self._sizes()):
            batch = open_batches.setdefault(size, [])
            if not batch:
                batches.append(batch)
            batch.append(place)
            if len(batch) == self.batch_size:
                del open_batches[size]
        return sorted(batches, key=lambda batch: batch[-1])

    def _sizes(self) -> list[Hashable]:
        """Tell what images of one batch have in common."""
        dataset, indices = self.sampler.dataset, list(self.sampler)
        infos = [dataset.get_data_info(index) for index in indices]
        sizes: list[Hashable] = [_known_size(info) for info in infos]
        unknown = [place for place, size in enumerate(sizes) if None in size]
        headers = read_headers([infos[place]["img_path"] for place in unknown])
        for place, header in zip(unknown, headers, strict=True):
            # Whether EXIF turns it counts: not all loaders follow.
            sizes[place] = place if header is None else (header.size, header.turned)
        ends = getattr(dataset, "cumulative_sizes", [len(dataset)])
        return [(bisect_right(ends, index), size) for index, size in zip(indices, sizes, strict=True)]


def _known_size(info: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Give height and width of an image, by its annotation or, where the data set holds it, by its pixels."""
    if isinstance(img := info.get("img"), np.ndarray):
        return img.shape[:2]
    return info.get("height"), info.get("width")


def evaluated_places(dataloader: DataLoader) -> list[int]:
    """Return where each image that an evaluation gives, one after another, lies in its sampler's order."""
    batches = dataloader.batch_sampler
    batches = getattr(batches, "batch_sampler", batches)  # inside one that can begin anywhere
    if isinstance(batches, SameSizeBatchSampler):
        return batches.places
    # A data loader that is given batches does not know the sampler behind them.
    return list(range(len(getattr(batches, "sampler", dataloader.sampler))))
