"""ADM's crop."""

import numpy as np
import pytest

from mmvisionllama.datasets.center_crop import CenterCropADM


def crop(img: np.ndarray, side: int) -> np.ndarray:
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
    with pytest.raises(ValueError, match="crop_size must be at least 1, got 0"):
        CenterCropADM(0)
