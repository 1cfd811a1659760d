"""tools/evaluate_samples.py, with a classifier of random values and real digits."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmvisionllama.datasets.digitscenes.sources import read_digits
from mmvisionllama.evaluation import SampleInfo, write_info, write_npz
from tests.evaluation.classifiers import MNIST, save_classifier
from tests.evaluation.image_arrays import ImageArray
from tests.tools.commands import main

DIGITS = "configs/toy/dit_visionllama_tiny_digits.py"
COUNT = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples with and without labels, and a classifier."""
    folder = tmp_path_factory.mktemp("samples")
    ink, labels = read_digits()
    images = (ink[:COUNT, :, :, None] * 255 / 16).round().astype(np.uint8)
    write_npz(folder / "a.npz", ImageArray("a", images, labels[:COUNT]))
    write_info(
        folder / "a.npz", SampleInfo(dataset="SklearnDigits", sampler="DDPMSampler", steps=250, seed=1)
    )
    write_npz(folder / "bare.npz", ImageArray("bare", images))
    write_npz(folder / "small.npz", ImageArray("small", images[:, :4], labels[:COUNT]))
    write_npz(folder / "foreign.npz", ImageArray("foreign", images, labels[:COUNT]))
    write_info(folder / "foreign.npz", SampleInfo(dataset="MNIST"))
    save_classifier(MNIST, folder / "c.pth")
    return folder


def evaluate(folder: Path, samples: str, *others: str | Path, **options: str | Path) -> int:
    given = {"reference": DIGITS, "features": f"{MNIST}:{folder / 'c.pth'}"} | options
    named = [x for name, value in given.items() for x in (f"--{name}", value)]
    return main("evaluate_samples", folder / samples, *named, *others)


def test_the_table_and_the_report_state_values_and_how_samples_came_to_be(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(folder, "a.npz", out=tmp_path / "report.json") == 0
    facts = json.loads((tmp_path / "report.json").read_text())
    assert set(facts["metrics"]) == {"fid", "inception_score", "precision", "recall", "class_accuracy"}
    assert facts["sampling"]["sampler"] == "DDPMSampler"
    assert facts["sampling"]["steps"] == 250
    assert facts["samples"]["count"] == COUNT
    assert facts["reference"]["count"] == 359
    out = capsys.readouterr().out
    assert f"{facts['metrics']['fid']:.4f}" in out
    assert "DDPMSampler" in out
    assert "note: fid: 30 generated images are too few for a covariance of full rank of 96 features" in out


def test_chosen_metrics_need_no_labels(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    assert evaluate(folder, "bare.npz", "--metrics", "fid", "recall", out=out) == 0
    assert set(json.loads(out.read_text())["metrics"]) == {"fid", "recall"}


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ("b.npz", {}, "b.npz does not exist"),
        ("c.pth", {}, "has no array 'arr_0'"),
        ("a.npz", {"reference": "nothing.npz"}, "nothing.npz does not exist"),
        ("a.npz", {"reference": "configs/gen/nothing.py"}, "no config"),
        ("a.npz", {"features": "incepton"}, "features are 'inception'"),
        ("a.npz", {"features": "inception:nothing.pth"}, "weights are the file https://"),
        ("a.npz", {"features": f"{MNIST}:nothing.pth"}, f"tools/train.sh {MNIST} trains this classifier"),
        ("a.npz", {"metrics": "fidd"}, "Did you mean 'fid'?"),
        ("bare.npz", {}, "has no labels, which class_accuracy needs"),
        ("small.npz", {}, "small.npz holds images of 4 x 8 px"),
        ("foreign.npz", {}, "holds samples of MNIST"),
    ],
)
def test_what_cannot_be_evaluated_ends_with_an_error_and_no_report(
    samples: str,
    options: dict[str, str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluate(folder, samples, **options, out=tmp_path / "report.json") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_a_report_must_be_a_json_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(folder, "a.npz", out=folder) == 2
    assert "give the name of a .json file" in capsys.readouterr().err
