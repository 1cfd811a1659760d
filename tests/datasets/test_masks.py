"""Objects without a mask."""

import numpy as np
from mmdet.datasets.transforms import LoadAnnotations

from mmvisionllama.datasets.masks import MarkMissingMasks


def test_an_object_without_mask_is_ignored_and_the_others_keep_theirs() -> None:
    square = [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0]]
    objects = [dict(bbox=[1, 1, 5, 5], bbox_label=0, ignore_flag=0) for _ in range(2)]
    objects[1]["mask"] = square
    results = dict(instances=objects, img_shape=(8, 8), ori_shape=(8, 8))
    results = LoadAnnotations(with_bbox=True, with_mask=True)(MarkMissingMasks()(results))
    assert results["gt_ignore_flags"].tolist() == [True, False]
    assert results["gt_masks"].masks[0].sum() == 0
    assert results["gt_masks"].masks[1].sum() > 9
    assert results["gt_bboxes"].tensor.shape == (2, 4)
    assert results["gt_masks"].masks.dtype == np.uint8


def test_images_without_objects_pass() -> None:
    assert MarkMissingMasks()(dict(instances=[])) == dict(instances=[])
