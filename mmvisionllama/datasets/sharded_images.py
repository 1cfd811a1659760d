"""Images of classes in tar shards, reached by an index like any data set of the hosts."""

from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset
from numpy.typing import NDArray

from mmvisionllama.arguments import checked
from mmvisionllama.datasets.shard_files import ShardPath
from mmvisionllama.datasets.shard_index import Samples, read_index, read_samples
from mmvisionllama.errors import ArgumentError, DataError
from mmvisionllama.registry import DATASETS
from mmvisionllama.suggestions import shortened


@DATASETS.register_module()
class ShardedImages(BaseDataset):
    """Images in the shards that ``mmvisionllama shard`` has written or indexed, with or without classes.

    A sample is what mmpretrain's ``CustomDataset`` and ``ImageNet`` give of a folder, in the same order; its
    ``img_path`` says shard, offset and size, and mmengine's ``fileio`` reads it.

    Args:
        data_root: Folder of the shards and their index.
        split: Name of the part, e.g. ``train``; it may be left out where there is one part alone.
        data_prefix: The same, so that a config of folders needs another ``type`` and ``data_root`` alone.
        with_label: Give the labels of images. False: of unlabelled images, or to leave labels out.
        serialize_data: Without effect: samples are arrays already, which loading processes share.
        kwargs: See mmpretrain's ``BaseDataset``. ``metainfo`` may name the classes in other words.

    Raises:
        DataError: when the samples are listed, if index or shards are missing, damaged or changed.
    """

    @checked
    def __init__(
        self,
        data_root: str,
        *,
        split: str = "",
        data_prefix: str = "",
        with_label: bool = True,
        serialize_data: bool = False,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("ann_file", ""):
            raise ArgumentError(
                "ShardedImages: ann_file takes nothing: labels are in the index of the shards"
            )
        self.split, self.with_label = split or data_prefix.strip("/"), with_label
        super().__init__(ann_file="", data_root=data_root, serialize_data=False, **kwargs)

    def load_data_list(self) -> Samples:
        """List the samples of the part, in the order of the data that the shards were made from."""
        index = read_index(self.data_root)
        part = index.part(self.split, self.data_root)
        self._name_classes(index.classes)
        samples = read_samples(self.data_root, part, index.classes)
        unlabelled = len(samples) > 0 and samples.labels[0] < 0
        if unlabelled and self.with_label:
            raise DataError(
                f"{self.data_root}: {self.split or 'its part'} has no labels; set with_label=False"
            )
        return samples if self.with_label else samples.without_labels()

    def _name_classes(self, classes: tuple[str, ...]) -> None:
        given = self._metainfo.get("classes")
        if given is None and classes:
            self._metainfo["classes"] = classes
        elif given is not None and classes and tuple(given) != classes:
            if len(given) != len(classes):
                raise DataError(
                    f"{self.data_root} has {len(classes)} classes ({shortened(classes)}), metainfo.classes "
                    f"{len(given)}: leave it out, or name all"
                )
            if moved := [name for name, known in zip(given, classes, strict=True) if name != known in given]:
                raise DataError(
                    f"metainfo.classes has the classes of {self.data_root} in another order, so labels would "
                    f"be wrong: {shortened(moved)}. Leave it out"
                )

    def get_gt_labels(self) -> NDArray[np.int64]:
        """Return the labels of all samples, (N,)."""
        self.full_init()
        if isinstance(self.data_list, Samples):
            return self.data_list.labels.astype(np.int64)
        return np.array([x["gt_label"] for x in self.data_list], np.int64)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the label of a sample, in a list."""
        return [int(self.get_gt_labels()[idx])]

    def shard_places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return a number for the shard of each sample, and its offset there, (N,) each."""
        self.full_init()
        if isinstance(self.data_list, Samples):
            return self.data_list.columns["shard"].astype(np.int64), self.data_list.columns["offset"]
        paths = [ShardPath.parse(x["img_path"]) for x in self.data_list]
        numbers = {name: number for number, name in enumerate(sorted({x.shard for x in paths}))}
        return np.array([numbers[x.shard] for x in paths]), np.array([x.offset for x in paths])

    def extra_repr(self) -> list[str]:
        """Say where the shards lie."""
        return [f"Root of dataset: \t{self.data_root}", f"Part: \t{self.split}"]
