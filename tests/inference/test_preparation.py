"""Images are prepared by the pipeline of a config's data loader."""

from pathlib import Path

import cv2
import numpy as np
from mmengine.registry import init_default_scope

from mmvisionllama.inference.input_images import InputImage
from mmvisionllama.inference.preparation import Preparation


def test_a_training_that_loads_crops_prepares_images_in_the_order_of_its_channels(tmp_path: Path) -> None:
    """A config without data loaders for tests and validations is served by that of its training."""
    init_default_scope("mmpretrain")
    path = tmp_path / "blue.png"
    cv2.imwrite(str(path), np.full((20, 30, 3), (250, 100, 7), np.uint8))
    pipeline = [dict(type="mmvisionllama.LoadRandomResizedCrop", scale=8), dict(type="PackInputs")]
    prepare = Preparation(dict(train_dataloader=dict(dataset=dict(pipeline=pipeline))), grey=False)
    image = InputImage(str(path))
    inputs = prepare(image)["inputs"]
    assert inputs.shape == (3, 8, 8)
    assert inputs[:, 0, 0].tolist() == [250, 100, 7]  # BGR, as loaded
    assert prepare.pixels_of(image).shape == (20, 30, 3)
