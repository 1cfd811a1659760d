"""Samples held against references."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS
from numpy.typing import NDArray
from PIL import Image

from mmvisionllama.datasets.digitscenes.sources import read_digits
from mmvisionllama.errors import ConfigError, EvaluationError
from mmvisionllama.evaluation import (
    SampleInfo,
    as_facts,
    dataset_name,
    evaluate,
    open_reference,
    parse_features,
    write_info,
    write_npz,
    write_png,
)
from mmvisionllama.evaluation.reference import DatasetImages, Reference
from mmvisionllama.evaluation.scores import Moments
from tests.evaluation.extractors import PIXELS, PixelFeatures
from tests.evaluation.image_arrays import ImageArray

DIGITS = "configs/toy/dit_visionllama_tiny_digits.py"


class ADMPixels(PixelFeatures):
    """Pixels whose moments reference files hold."""

    adm_widths = {"fid": PIXELS}  # noqa: RUF012


def noise(count: int, seed: int = 0, most: int = 256) -> NDArray:
    return np.random.default_rng(seed).integers(0, most, (count, 4, 5, 3), dtype=np.uint8)


def samples(count: int = 40) -> ImageArray:
    return ImageArray("s", noise(count), np.arange(count) % 10)


def real(count: int = 50) -> ImageArray:
    return ImageArray("r", noise(count, 1, 200), np.arange(count) % 10)


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_metrics_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    expected = evaluate(samples(), Reference("r", images=real()), PixelFeatures()).metrics
    found = evaluate(samples(), Reference("r", images=real()), PixelFeatures(), batch_size=batch_size).metrics
    assert found == pytest.approx(expected)
    assert set(found) == {"fid", "inception_score", "precision", "recall", "class_accuracy"}


def test_progress_tells_of_every_image_of_both_sets() -> None:
    told = []
    reference = Reference("r", images=real())
    evaluate(samples(), reference, PixelFeatures(), batch_size=30, progress=lambda *x: told.append(x))
    assert told == [("reference", 30, 50), ("reference", 50, 50), ("samples", 30, 40), ("samples", 40, 40)]


def test_moments_of_a_reference_file_stand_for_its_images(tmp_path: Path) -> None:
    moments = Moments.of(PixelFeatures()(torch.from_numpy(real()._images).permute(0, 3, 1, 2)).pooled_ND)
    np.savez(tmp_path / "adm.npz", mu=moments.mean_D, sigma=moments.cov_DD)
    reference = open_reference(str(tmp_path / "adm.npz"))
    with_images = evaluate(samples(), Reference("r", images=real()), ADMPixels(), metrics=["fid"])
    with_moments = evaluate(samples(), reference, ADMPixels(), metrics=["fid"])
    assert with_moments.metrics == pytest.approx(with_images.metrics)


def test_moments_go_before_images_for_fid_and_images_serve_precision(tmp_path: Path) -> None:
    np.savez(tmp_path / "adm.npz", noise(50), mu=np.full(PIXELS, 1e3), sigma=np.eye(PIXELS))
    reference = open_reference(str(tmp_path / "adm.npz"))
    found = evaluate(ImageArray("s", noise(50)), reference, ADMPixels(), metrics=["fid", "precision"]).metrics
    assert found["fid"] > 1e6
    assert found["precision"] == 100
    # They are of Inception's features: no other extractor uses them.
    found = evaluate(ImageArray("s", noise(50)), reference, PixelFeatures(), metrics=["fid"]).metrics
    assert found["fid"] == pytest.approx(0, abs=1e-6)


def test_moments_alone_do_not_serve_precision_or_another_extractor(tmp_path: Path) -> None:
    np.savez(tmp_path / "adm.npz", mu=np.zeros(PIXELS), sigma=np.eye(PIXELS))
    reference = open_reference(str(tmp_path / "adm.npz"))
    with pytest.raises(EvaluationError, match=r"precision.*leave them out: --metrics fid"):
        evaluate(samples(), reference, ADMPixels(), metrics=["fid", "precision"])
    with pytest.raises(EvaluationError, match="has no images, which pixels needs for fid"):
        evaluate(samples(), reference, PixelFeatures(), metrics=["fid"])


def test_moments_of_other_features_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "adm.npz", mu=np.zeros(7), sigma=np.eye(7))
    with pytest.raises(EvaluationError, match="mu is of 7 features, pixels has 16"):
        evaluate(samples(), open_reference(str(tmp_path / "adm.npz")), ADMPixels(), metrics=["fid"])
    np.savez(tmp_path / "adm.npz", mu=np.zeros(7), sigma=np.eye(8))
    with pytest.raises(EvaluationError, match="must be a mean and a covariance"):
        open_reference(str(tmp_path / "adm.npz"))
    np.savez(tmp_path / "adm.npz", mu_s=np.zeros(7))
    with pytest.raises(EvaluationError, match=r"is no reference: .* but mu_s"):
        open_reference(str(tmp_path / "adm.npz"))


def test_a_folder_and_a_file_of_images_are_the_same_reference(tmp_path: Path) -> None:
    images = real()
    write_npz(tmp_path / "r.npz", images)
    for index, image in enumerate(images._images):
        write_png(tmp_path / "png", index, image)
    for path in (tmp_path / "r.npz", tmp_path / "png"):
        write_info(path, SampleInfo(dataset="ImageNet"))
    references = [open_reference(str(tmp_path / name)) for name in ("r.npz", "png")]
    assert [x.dataset for x in references] == ["ImageNet", "ImageNet"]
    one, other = (evaluate(samples(), x, PixelFeatures()).metrics for x in references)
    assert one == other


def test_a_config_gives_its_whole_validation_split() -> None:
    reference = open_reference(DIGITS)
    ink, labels = read_digits()
    assert reference.dataset == "SklearnDigits"
    assert len(reference.images) == 359  # every fifth of 1,797; the config watches 100
    assert reference.images.image_shape == (8, 8, 1)
    assert np.array_equal(reference.images.labels, labels[4::5])
    first = next(reference.images.batches(2))
    assert np.array_equal(first[1, :, :, 0], (ink[9] * 255 / 16).round())


def test_images_that_a_pipeline_loads_as_bgr_come_as_rgb(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((4, 4, 3), (250, 20, 10), np.uint8)).save(tmp_path / name / "x.png")
    steps = [dict(type="LoadImageFromFile"), dict(type="PackInputs")]
    data = dict(type="CustomDataset", data_root=str(tmp_path), pipeline=steps, _scope_="mmpretrain")
    images = DatasetImages("x", DATASETS.build(data), to_rgb=True)
    assert next(images.batches(2))[0, 0, 0].tolist() == [250, 20, 10]
    assert images.labels.tolist() == [0, 1]


def test_a_config_without_its_data_or_without_validation_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="mnist does not exist"):
        open_reference("configs/toy/dit_visionllama_tiny_mnist.py")


def test_data_sets_are_told_apart_by_type_or_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    folder = dict(type="CustomDataset", data_root=str(tmp_path / "digitscenes/cls"))
    assert dataset_name(dict(type="mmvisionllama.SklearnDigits")) == "SklearnDigits"
    assert dataset_name(dict(type="ImageNet", data_root="/in1k")) == "ImageNet"
    assert dataset_name(dict(type="RepeatDataset", dataset=folder)) == "CustomDataset digitscenes/cls"


@pytest.mark.parametrize(
    ("info", "images", "metrics", "message"),
    [
        (dict(dataset="MNIST"), real(), None, "holds samples of MNIST.*r is of ImageNet"),
        (dict(count=50000), real(), None, r"holds 40 images.*says 50,000"),
        ({}, ImageArray("r", noise(9)[:, :3]), None, "s holds images of 4 x 5 px, r of 3 x 5 px"),
        ({}, real(), ["fidd"], "Did you mean 'fid'"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_looked_at(
    info: dict, images: ImageArray, metrics: list[str] | None, message: str
) -> None:
    told = []
    reference = Reference("r", "ImageNet", images)
    options = dict(info=SampleInfo(**info), metrics=metrics, progress=lambda *x: told.append(x))
    with pytest.raises(EvaluationError, match=message):
        evaluate(samples(), reference, PixelFeatures(), **options)
    assert told == []


def test_class_accuracy_needs_labels_that_the_classifier_knows() -> None:
    reference = Reference("r", images=real())
    with pytest.raises(EvaluationError, match="by --metrics fid inception_score precision recall"):
        evaluate(ImageArray("s", noise(9)), reference, PixelFeatures())
    with pytest.raises(EvaluationError, match=r"label 10, the classifier knows 0 \.\. 9"):
        evaluate(ImageArray("s", noise(11), np.arange(11)), reference, PixelFeatures())


def test_the_report_states_how_samples_came_to_be_and_what_they_are_held_against() -> None:
    info = SampleInfo(dataset="MNIST", sampler="DDIMSampler", steps=50, weights="raw", seed=3, count=40)
    reference = Reference("r.npz", "MNIST", real())
    found = evaluate(samples(), reference, PixelFeatures(), info=info)
    facts = as_facts(samples(), reference, PixelFeatures(), found, info)
    assert facts["metrics"] == found.metrics
    assert facts["sampling"]["sampler"] == "DDIMSampler"
    assert facts["sampling"]["weights"] == "raw"
    assert facts["sampling"]["guidance_scale"] is None
    assert facts["samples"]["count"] == 40
    assert facts["reference"]["count"] == 50
    assert facts["reference"]["path"] == "r.npz"
    assert facts["reference"]["class_accuracy"] == found.real["class_accuracy"] < 100
    assert facts["features"] == "pixels"
    assert found.remarks == []


def test_features_are_named_by_inception_or_a_classifiers_files() -> None:
    assert parse_features("inception") == dict(type="InceptionFeatures", weights=None)
    assert parse_features("inception:a.pth") == dict(type="InceptionFeatures", weights="a.pth")
    parts = dict(type="ClassifierFeatures", config="a.py", checkpoint="b.pth")
    assert parse_features("a.py:b.pth") == parts
    for wrong in ("incepton", "a.py", "a.py:", ""):
        with pytest.raises(EvaluationError, match="features are 'inception'"):
            parse_features(wrong)
