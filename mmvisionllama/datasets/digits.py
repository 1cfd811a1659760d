"""scikit-learn's handwritten digits as a data set for classification."""

from typing import Any, ClassVar, Literal

import numpy as np
from mmpretrain.datasets import BaseDataset

from mmvisionllama.arguments import checked
from mmvisionllama.datasets.digitscenes import CLASSES
from mmvisionllama.datasets.digitscenes.sources import read_digits
from mmvisionllama.registry import DATASETS

_EVERY = 5  # every fifth digit is held out, so that both splits have digits of every writer


@DATASETS.register_module()
class SklearnDigits(BaseDataset):
    """The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn.

    Args:
        split: ``train``, or the held-out fifth, ``val``.
        kwargs: See mmpretrain's ``BaseDataset``.
    """

    METAINFO: ClassVar[dict[str, Any]] = {"classes": CLASSES[1:]}

    @checked
    def __init__(self, split: Literal["train", "val"] = "train", **kwargs: Any) -> None:
        self.split = split
        super().__init__(ann_file="", **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List images, uint8 (8, 8, 1), and labels."""
        ink, labels = read_digits()
        img = (ink * 255 / 16).round().astype(np.uint8)[..., None]
        held_out = np.arange(len(img)) % _EVERY == _EVERY - 1
        chosen = np.flatnonzero(held_out == (self.split == "val"))
        return [{"img": img[i], "gt_label": int(labels[i])} for i in chosen]
