"""Handwritten digits that need no download."""

from typing import Any, Literal

import numpy as np
from mmpretrain.datasets import BaseDataset

from mmvisionllama.registry import DATASETS

_EVERY = 5  # every fifth digit is held out: the digits of one hand follow each other


@DATASETS.register_module()
class SklearnDigits(BaseDataset):
    """The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn.

    Args:
        split: ``train``, or the held-out fifth, ``val``.
        kwargs: See mmpretrain's ``BaseDataset``.
    """

    METAINFO = {"classes": tuple("0123456789")}  # noqa: RUF012  (as the host declares it)

    def __init__(self, split: Literal["train", "val"] = "train", **kwargs: Any) -> None:
        if split not in ("train", "val"):
            raise ValueError(f"split must be 'train' or 'val', got {split!r}")
        self.split = split
        super().__init__(ann_file="", **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List images, uint8 (8, 8, 1), and labels."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        img = (digits.images * 255 / 16).round().astype(np.uint8)[..., None]
        held_out = np.arange(len(img)) % _EVERY == _EVERY - 1
        chosen = np.flatnonzero(held_out == (self.split == "val"))
        return [{"img": img[i], "gt_label": int(digits.target[i])} for i in chosen]
