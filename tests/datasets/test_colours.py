"""Colour operations against mmcv's and Pillow's."""

from collections.abc import Callable

import mmcv
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mmvisionllama.datasets import colours

IMAGE = np.random.default_rng(0).integers(20, 200, (40, 56, 3), dtype=np.uint8)
FLAT = np.full((8, 8, 3), 77, np.uint8)
ONE_CHANNEL_FLAT = IMAGE.copy()
ONE_CHANNEL_FLAT[..., 1] = 9
SMOOTH = np.tile(np.linspace(0, 255, 56, dtype=np.uint8)[None, :, None], (40, 1, 3))


@pytest.mark.parametrize(
    "image", [IMAGE, FLAT, ONE_CHANNEL_FLAT, SMOOTH], ids=["noise", "flat", "part", "ramp"]
)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (colours.inverted, mmcv.iminvert),
        (colours.auto_contrasted, mmcv.auto_contrast),
        (colours.equalized, mmcv.imequalize),
        *(
            (lambda x, b=b: colours.posterized(x, b), lambda x, b=b: mmcv.posterize(x, b))
            for b in (0, 1, 4, 8)
        ),
        *(
            (lambda x, t=t: colours.solarized(x, t), lambda x, t=t: mmcv.solarize(x, t))
            for t in (0, 37.6, 256)
        ),
        *(
            pair
            for f in (0.1, 0.93, 1, 1.9)
            for pair in (
                (lambda x, f=f: colours.brightened(x, f), lambda x, f=f: mmcv.adjust_brightness(x, f)),
                (lambda x, f=f: colours.contrasted(x, f), lambda x, f=f: mmcv.adjust_contrast(x, f)),
                (lambda x, f=f: colours.saturated(x, f), lambda x, f=f: mmcv.adjust_color(x, f)),
                (lambda x, f=f: colours.sharpened(x, f), lambda x, f=f: mmcv.adjust_sharpness(x, f)),
            )
        ),
    ],
)
def test_operations_are_mmcvs_to_the_last_bit(
    image: NDArray, ours: Callable[[NDArray], NDArray], theirs: Callable[[NDArray], NDArray]
) -> None:
    before = image.copy()
    result, expected = ours(image), theirs(image)
    assert result.dtype == np.uint8
    assert np.array_equal(result, expected.astype(np.uint8))
    assert np.array_equal(image, before)


def test_adding_below_a_threshold_stops_at_the_largest_value() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    result = colours.solarized_by_adding(values, 200.7, 128)[..., 0].ravel()
    assert result[:128].tolist() == [min(int(x + 200.7), 255) for x in range(128)]
    assert result[128:].tolist() == list(range(128, 256))


@pytest.mark.parametrize("radius", [0.1, 0.3, 0.8, 1.3, 2.0])
def test_blur_is_that_of_pillow_inside_of_an_image(radius: float) -> None:
    expected = np.asarray(Image.fromarray(IMAGE).filter(ImageFilter.GaussianBlur(radius)), int)
    difference = expected - colours.blurred(IMAGE, radius)
    assert np.abs(difference[7:-7, 7:-7]).max() <= 3  # Pillow rounds six times


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_jitters_are_within_one_of_pillows(factor: float) -> None:
    theirs = (mmcv.adjust_brightness, mmcv.adjust_contrast, mmcv.adjust_color)
    for ours, other in zip((colours.brightened, colours.contrasted, colours.saturated), theirs, strict=True):
        difference = ours(IMAGE, factor).astype(int) - other(IMAGE, factor, backend="pillow")
        assert np.abs(difference).max() <= 1
