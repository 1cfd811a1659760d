"""Saved batches come back as samples, boxes and masks of the hosts, and as nothing else."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from mmvisionllama.errors import CheckpointError
from mmvisionllama.fault_tolerance.bad_batches import plain, read_batch, restored, save_batch


def saved_and_read(path: Path, batch: Any) -> Any:
    save_batch(path / "batch.pth", [batch], {}, step=1)
    (found,), random_state, meta = read_batch(path / "batch.pth")
    assert (random_state, meta) == ({}, {"step": 1})
    return found


@pytest.mark.parametrize("polygons", [False, True])
def test_a_detectors_batch_comes_back(tmp_path: Path, polygons: bool) -> None:
    mask = (
        PolygonMasks([[np.arange(6.0)]], 4, 4)
        if polygons
        else BitmapMasks(np.ones((1, 4, 4), np.uint8), 4, 4)
    )
    sample = DetDataSample(metainfo=dict(img_shape=(4, 4), scale_factor=(1.0, 1.0)))
    boxes = HorizontalBoxes(torch.tensor([[0.0, 1.0, 2.0, 3.0]]))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([1]), masks=mask)
    found = saved_and_read(tmp_path, {"inputs": [torch.ones(3, 4, 4)], "data_samples": [sample]})
    (other,) = found["data_samples"]
    assert isinstance(other, DetDataSample)
    assert other.img_shape == (4, 4)
    assert isinstance(other.gt_instances.bboxes, HorizontalBoxes)
    assert torch.equal(other.gt_instances.bboxes.tensor, boxes.tensor)
    assert type(other.gt_instances.masks) is type(mask)
    assert np.array_equal(other.gt_instances.masks.to_ndarray(), mask.to_ndarray())
    assert torch.equal(found["inputs"][0], torch.ones(3, 4, 4))


def test_the_batches_of_a_segmenter_and_a_classifier_come_back(tmp_path: Path) -> None:
    labels = SegDataSample(gt_sem_seg=PixelData(data=torch.ones(1, 4, 4, dtype=torch.int64)))
    label = DataSample(metainfo=dict(sample_idx=3)).set_gt_label(2)
    found = saved_and_read(tmp_path, {"data_samples": (labels, label)})["data_samples"]
    assert isinstance(found, tuple)
    assert torch.equal(found[0].gt_sem_seg.data, labels.gt_sem_seg.data)
    assert (found[1].sample_idx, found[1].gt_label.tolist()) == (3, [2])


def test_arrays_and_numbers_of_numpy_come_back(tmp_path: Path) -> None:
    found = saved_and_read(tmp_path, {"a": np.arange(3), "b": np.float32(2), "c": np.array(["x", "y"])})
    assert found["a"].tolist() == [0, 1, 2]
    assert (found["b"], found["c"].tolist()) == (2.0, ["x", "y"])


@dataclasses.dataclass
class Own:
    """What a data set of a user's own may give."""

    secret: int = 1


def test_of_a_class_that_is_not_known_the_name_is_kept_and_the_error_says_it(tmp_path: Path) -> None:
    assert plain(Own()) == {"__object__": f"{__name__}:Own", "state": {}}
    with pytest.raises(CheckpointError, match=r"batch\.pth: the batch holds a '.*:Own', which is no sample"):
        saved_and_read(tmp_path, {"data_samples": [Own()]})


@pytest.mark.parametrize(
    "name",
    [
        "mmengine.dataset.base_dataset:BaseDataset",
        "mmengine.structures.instance_data:sys",
        "mmengine.config.config:Config",
        "builtins:object",
        "subprocess:Popen",
        None,
        ["mmengine"],
    ],
)
@pytest.mark.parametrize("kind", ["__object__", "__element__"])
def test_no_other_class_is_made(kind: str, name: object) -> None:
    value = {kind: name, "state": {"data_bytes": 1}, "metainfo": {}, "data": {}}
    with pytest.raises(CheckpointError, match="which is no sample, box or mask"):
        restored(value)


@pytest.mark.parametrize("key", ["__class__", "_data_fields", "to", "set_field", "a b"])
def test_a_field_cannot_take_the_place_of_a_method(key: str) -> None:
    value = {"__element__": "mmpretrain.structures.data_sample:DataSample", "metainfo": {}, "data": {key: 1}}
    with pytest.raises(CheckpointError, match="no field"):
        restored(value)
