"""The images that the original plain classifier was given, as a data set of mmpretrain's."""

from typing import Any

from mmengine.dataset import BaseDataset
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample

from tests.models.released import load_case


@DATASETS.register_module()
class ReleasedImages(BaseDataset):
    def __init__(self, labels: list[int], **kwargs: Any) -> None:
        self.labels = labels
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        images = load_case("plain_cls").inputs["x"]
        return [
            dict(inputs=image, data_samples=DataSample().set_gt_label(label))
            for image, label in zip(images, self.labels, strict=True)
        ]
