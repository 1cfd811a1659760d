"""Shearing and translating against mmcv's warps."""

import mmcv
import numpy as np
import pytest
from numpy.typing import NDArray

from mmvisionllama.datasets.row_shifts import INTERPOLATIONS, sheared, translated

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
FILL = (104, 116, 124)


def check_alike(ours: NDArray, theirs: NDArray) -> None:
    difference = np.abs(ours.astype(int) - theirs)
    # A place between two thirty-seconds of a pixel may be rounded to either side.
    assert np.quantile(difference, 0.97) <= 1
    assert difference.mean() < 0.1


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
def test_shears_and_translations_are_mmcvs(direction: str, interpolation: str) -> None:
    given = dict(direction=direction, interpolation=interpolation)
    for slope in (0, 0.3, -0.3, 0.017, -2):
        theirs = mmcv.imshear(IMAGE, slope, border_value=FILL, **given)
        check_alike(sheared(IMAGE, slope, fill=FILL, **given), theirs)
    for offset in (0, 7, -7.3, 25.2, -0.4, 60, -1000):
        theirs = mmcv.imtranslate(IMAGE, offset, border_value=FILL, **given)
        check_alike(translated(IMAGE, offset, fill=FILL, **given), theirs)


def test_an_image_moved_out_of_sight_leaves_the_fill() -> None:
    moved = translated(IMAGE, 59.5, "horizontal", fill=FILL, interpolation="bicubic")
    assert (moved == FILL).all()


def test_nothing_is_changed_by_no_shear_and_no_shift() -> None:
    for move in (sheared, translated):
        assert np.array_equal(move(IMAGE, 0.0, "vertical", fill=FILL, interpolation="bicubic"), IMAGE)
