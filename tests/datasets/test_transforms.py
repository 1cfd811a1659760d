"""Transforms: ADM's crop, objects without a mask, padding."""

import numpy as np
import pytest
from mmdet.datasets.transforms import LoadAnnotations
from numpy.typing import NDArray

from mmvisionllama.datasets.transforms import CenterCropADM, MarkMissingMasks, PadImage


def picture() -> NDArray:
    return np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def crop(img: NDArray, side: int) -> NDArray:
    results = CenterCropADM(side)(dict(img=img))
    assert results["img_shape"] == (side, side)
    return results["img"]


def test_an_image_of_the_size_is_kept() -> None:
    img = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(crop(img, 32), img)


@pytest.mark.parametrize("hw", [(32, 50), (61, 32)])
def test_the_middle_of_the_longer_side_is_kept(hw: tuple[int, int]) -> None:
    img = np.random.default_rng(0).integers(0, 256, (*hw, 3), dtype=np.uint8)
    top, left = (hw[0] - 32) // 2, (hw[1] - 32) // 2
    assert np.array_equal(crop(img, 32), img[top : top + 32, left : left + 32])


def test_an_image_of_twice_the_size_is_averaged() -> None:
    img = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    means = img.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(crop(img, 32) - means).max() <= 1  # rows and columns are rounded in turn


@pytest.mark.parametrize("hw", [(20, 31), (33, 90), (200, 131), (255, 400)])
def test_any_image_becomes_a_square_of_the_size(hw: tuple[int, int]) -> None:
    row = np.linspace(0, 255, hw[1]).round().astype(np.uint8)
    img = np.broadcast_to(row[None, :, None], (*hw, 3)).copy()
    out = crop(img, 32)
    assert out.shape == (32, 32, 3)
    assert out.dtype == np.uint8
    assert abs(float(out.mean()) - 127.5) < 4  # the middle of a ramp
    assert (np.diff(out[:, :, 0].astype(int).mean(0)) > 0).all()


def test_a_side_of_no_pixels_is_an_error() -> None:
    with pytest.raises(ValueError, match="crop_size takes a whole number of at least 1, got 0"):
        CenterCropADM(0)


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


def test_a_padded_image_keeps_its_own_shape_for_what_clips_boxes_to_it() -> None:
    original = picture()
    padded = PadImage(size=(32, 32), pad_val=dict(img=(114, 114, 114)))(
        dict(img=original.copy(), img_shape=original.shape[:2])
    )
    assert (padded["img"].shape, padded["img_shape"]) == ((32, 32, 3), (16, 24))
    assert np.array_equal(padded["img"][:16, :24], original)
    assert set(padded["img"][16:].flatten()) == {114}
