"""The hosts' own tools on our configs and checkpoints, with files and with pixels."""

from collections.abc import Callable
from pathlib import Path

import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from numpy.typing import NDArray

from mmvisionllama.inference.predictions import Prediction
from mmvisionllama.inference.trained_model import TrainedModel
from tests.house import ROOT
from tests.inference.models import FOLDERS, config_of

Image = str | NDArray
SEG_CONFIGS = sorted(str(x.relative_to(ROOT)) for x in ROOT.glob("configs/*/*upernet*.py"))


@pytest.fixture
def predicted(data: Path, models: dict[str, TrainedModel]) -> Callable[[str], tuple[list[Image], Prediction]]:
    """Return, for a task, an image as a file and as pixels (BGR), and what our own model says of it."""

    def of(task: str) -> tuple[list[Image], Prediction]:
        path = str(sorted((data / FOLDERS[task]).rglob("*.jpg"))[0])
        return [path, mmcv.imread(path)], models[task].predict(path)

    return of


def files_of(checkpoint: Path) -> tuple[str, str]:
    return str(config_of(checkpoint)), str(checkpoint)


def test_mmpretrains_inferencer_and_feature_extractor(
    predicted: Callable, checkpoints: dict[str, Path], models: dict[str, TrainedModel]
) -> None:
    from mmpretrain import FeatureExtractor, ImageClassificationInferencer

    images, ours = predicted("classification")
    files = files_of(checkpoints["classification"])
    # It builds transforms in the scope of the process, which a test's own fixture has set.
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        inferencer = ImageClassificationInferencer(*files, device="cpu")
        extractor = FeatureExtractor(*files, device="cpu")
    for found in inferencer(images):
        np.testing.assert_array_equal(found["pred_scores"], ours.scores)
        assert found["pred_class"] == ours.name
    (found,) = extractor(images[0])[0]
    (ours,) = models["classification"].features(images[0])
    np.testing.assert_array_equal(found, ours[0])


def test_mmsegs_inferencer_and_functions(predicted: Callable, checkpoints: dict[str, Path]) -> None:
    from mmseg.apis import MMSegInferencer, inference_model, init_model

    images, ours = predicted("segmentation")
    files = files_of(checkpoints["segmentation"])
    inferencer = MMSegInferencer(*files, device="cpu", show_progress=False)
    model = init_model(*files, device="cpu")
    for image in images:
        found = inferencer(image, return_vis=True)
        np.testing.assert_array_equal(found["predictions"], ours.labels)
        assert found["visualization"].shape == (*ours.labels.shape, 3)
        np.testing.assert_array_equal(inference_model(model, image).pred_sem_seg.data[0], ours.labels)


def test_mmdets_inferencer_and_functions(predicted: Callable, checkpoints: dict[str, Path]) -> None:
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    images, ours = predicted("detection")
    files = files_of(checkpoints["detection"])
    inferencer = DetInferencer(*files, device="cpu", show_progress=False)
    model = init_detector(*files, device="cpu")
    assert len(ours)
    for image in images:
        found = inferencer(image, return_vis=True)
        np.testing.assert_array_equal(np.float32(found["predictions"][0]["scores"]), ours.scores)
        assert found["visualization"][0].shape == ours.pixels.shape
        np.testing.assert_array_equal(inference_detector(model, image).pred_instances.bboxes, ours.boxes)


@pytest.mark.parametrize("name", SEG_CONFIGS)
def test_the_pipeline_that_mmseg_reads_by_its_name_is_that_of_the_test(name: str) -> None:
    cfg = Config.fromfile(ROOT / name)
    assert cfg.test_pipeline == cfg.test_dataloader.dataset.pipeline
