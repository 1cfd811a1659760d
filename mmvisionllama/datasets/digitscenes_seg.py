"""DigitScenes as a data set for segmentation."""

from typing import Any, ClassVar

from mmseg.datasets import BaseSegDataset

from mmvisionllama.arguments import checked
from mmvisionllama.datasets.digitscenes import CLASSES, PALETTE
from mmvisionllama.registry import DATASETS


@DATASETS.register_module()
class DigitScenesSegDataset(BaseSegDataset):
    """DigitScenes in ADE20K's layout: the background, ten digits, and label 0 for the digits' soft edges."""

    METAINFO: ClassVar[dict[str, Any]] = {"classes": CLASSES, "palette": PALETTE}

    @checked
    def __init__(self, *, reduce_zero_label: bool = True, **kwargs: Any) -> None:
        super().__init__(reduce_zero_label=reduce_zero_label, **kwargs)
