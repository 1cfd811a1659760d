"""The tiny models of the package, a few scenes, and images that are no squares, shared by this folder."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mmvisionllama.checkpoint.names import TINY
from mmvisionllama.inference.input_images import InputImage, open_images
from mmvisionllama.inference.trained_model import TrainedModel, load
from tests.inference.models import NAMES, data_in

PHOTO = TINY / "images" / "DigitScenes_val_000003.jpg"  # a 0


@pytest.fixture(scope="package")
def tiny() -> Callable[[str], TrainedModel]:
    """Load the tiny model of a task, once."""
    return cache(lambda task: load(NAMES[task], device="cpu"))


@pytest.fixture(scope="package")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with data_in(tmp_path_factory.mktemp("data")) as digitscenes:
        yield digitscenes


@pytest.fixture
def photo() -> InputImage:
    return InputImage(str(PHOTO))


@pytest.fixture
def wide_grey() -> InputImage:
    """A grey image of 40 x 100 px, which no patch of 8 px divides."""
    shades = np.random.default_rng(0).integers(0, 256, (40, 100), dtype=np.uint8)
    return open_images(shades)[0]
