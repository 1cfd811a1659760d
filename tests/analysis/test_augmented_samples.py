"""Augmented samples are those of the training, with the labels of the data set."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvisionllama.analysis.augmented_samples import augmented_samples
from mmvisionllama.config import load_config
from mmvisionllama.errors import ConfigError, InputError
from mmvisionllama.training.runner import ResumableRunner

pytestmark = pytest.mark.usefixtures("scenes")
CLS = "toy/pyramid_visionllama_tiny_digitscenes"  # with mixup


def test_labels_are_those_of_the_data_set_and_views_those_of_the_training() -> None:
    sheet = augmented_samples(CLS, indices=[5, 2], views=3)
    cfg = load_config(
        CLS, {f"train_dataloader.{x}": y for x, y in (("num_workers", 0), ("persistent_workers", False))}
    )
    loader = ResumableRunner.build_dataloader(cfg.train_dataloader, 0)
    assert [x.index for x in sheet.rows] == [5, 2]
    for row in sheet.rows:
        truth = loader.dataset.get_data_info(row.index)["gt_label"]
        assert [dict(x.scores) for x in row.views] == [{truth: 1.0}] * 3
        assert row.original.shape == (64, 64, 3)
        assert np.abs(row.views[0].image.astype(int) - row.views[1].image).max() > 0
    for epoch in range(3):  # as the loader of the training gives them
        loader.sampler.set_epoch(epoch)
        batch = next(iter(loader))
        given = {
            Path(x.img_path).name: img for x, img in zip(batch["data_samples"], batch["inputs"], strict=True)
        }
        for row in sheet.rows:
            expected = given[row.name].flip(0).permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(row.views[epoch].image, expected)


def test_a_seed_decides_the_views_and_the_mixtures() -> None:
    first, again, other = (augmented_samples(CLS, images=2, views=1, seed=x) for x in (4, 4, 5))
    images = [
        [x.views[0].image for x in sheet.rows] + [x.image for x in sheet.mixed]
        for sheet in (first, again, other)
    ]
    for one, two in zip(images[0], images[1], strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(not np.array_equal(x, y) for x, y in zip(images[0], images[2], strict=True))
    assert first.mixes == ["Mixup"]
    assert len(first.mixed) == 8
    for view in first.mixed:
        assert sum(view.scores.values()) == pytest.approx(1, abs=1e-5)
        assert 1 <= len(view.scores) <= 2
    assert len(first.plot().axes) >= 4


def test_segmentation_and_detection_keep_their_labels(scenes: Path) -> None:
    sheet = augmented_samples("toy/visionllama_tiny_upernet_digitscenes", indices=[1], views=2)
    (row,) = sheet.rows
    with Image.open(scenes / "seg" / "annotations" / "training" / f"{Path(row.name).stem}.png") as mask:
        known = set(np.unique(np.asarray(mask) - np.uint8(1)).tolist())  # 0 in the file: no class
    for view in row.views:
        assert view.labels.shape == view.image.shape[:2]
        assert set(np.unique(view.labels).tolist()) <= known
    assert sheet.plot().legends
    sheet = augmented_samples("toy/pyramid_visionllama_tiny_maskrcnn_digitscenes_narrow", images=1, views=2)
    (row,) = sheet.rows
    told = json.loads((scenes / "det" / "annotations" / "instances_train.json").read_text())
    image = next(x["id"] for x in told["images"] if x["file_name"] == row.name)
    truth = [x["category_id"] for x in told["annotations"] if x["image_id"] == image]
    names = {x["id"]: x["name"] for x in told["categories"]}
    for view in row.views:
        found = [sheet.metainfo["classes"][x] for x in view.objects["labels"]]
        assert set(found) <= {names[x] for x in truth}
        height, width = view.image.shape[:2]
        for (x1, y1, x2, y2), mask in zip(view.objects["boxes"], view.objects["masks"], strict=True):
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            assert mask.shape == (height, width)
            assert mask[:, : int(x1)].sum() == mask[: int(y1)].sum() == 0
    assert sheet.to_dict()["rows"][0]["views"][0]["objects"]
    assert sheet.plot().axes


def test_a_masked_autoencoder_hides_its_share_and_digits_are_drawn_as_they_are() -> None:
    sheet = augmented_samples("toy/visionllama_tiny_mae_digitscenes", images=1, views=2)
    for view in sheet.rows[0].views:
        assert view.hidden == 0.75
        patches = view.image.reshape(8, 8, 8, 8, 3).transpose(0, 2, 1, 3, 4).reshape(64, -1)
        assert (patches == 128).all(axis=1).sum() == 48
    assert not np.array_equal(*(x.image for x in sheet.rows[0].views))
    digits = augmented_samples("toy/sit_visionllama_tiny_digits", images=1, views=1)
    row = digits.rows[0]
    np.testing.assert_array_equal(row.views[0].image, row.original)  # this recipe has no augmentation
    assert row.original.shape == (8, 8)


def test_what_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--index 8: the training set has the samples 0 to 7"):
        augmented_samples(CLS, indices=[8])
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="does not exist"):
        augmented_samples(CLS)
