"""The way from a training of each task to its use: test, predict, sample, export, publish, load again."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import mmvisionllama
from mmvisionllama.inference.export import export
from mmvisionllama.inference.trained_model import TrainedModel, load
from tests.inference.models import FOLDERS, PREDICTING, assert_equal, config_of
from tests.inference.test_export import metadata
from tests.tools.commands import main


def require_as_tested(prediction: Any, truth: dict[str, Any]) -> None:
    match prediction.__class__.__name__:
        case "Classification":
            np.testing.assert_array_equal(prediction.scores, truth["pred_score"])
        case "Segmentation":
            np.testing.assert_array_equal(prediction.labels, truth["pred_sem_seg"]["data"][0])
        case "Detection":
            found = truth["pred_instances"]
            assert len(prediction) == len(found["scores"]) > 0
            np.testing.assert_array_equal(prediction.boxes, found["bboxes"])
            np.testing.assert_array_equal(prediction.scores, found["scores"])
            np.testing.assert_array_equal(prediction.labels, found["labels"])
        case "Reconstruction":
            assert prediction.loss == truth["loss"]
            np.testing.assert_array_equal(prediction.reconstruction, truth["reconstruction"].permute(1, 2, 0))


@pytest.mark.parametrize("task", PREDICTING)
def test_python_the_shell_and_a_published_folder_predict_what_the_test_does_to_the_bit(
    task: str,
    data: Path,
    checkpoints: dict[str, Path],
    models: dict[str, TrainedModel],
    published: dict[str, Path],
    tmp_path: Path,
) -> None:
    dumped, images = tmp_path / "predictions.pkl", data / FOLDERS[task]
    mmvisionllama.test(
        config_of(checkpoints[task]),
        checkpoints[task],
        work_dir=tmp_path / "test",
        cfg_options={"test_evaluator": [dict(type="DumpResults", out_file_path=str(dumped))]},
    )
    tested = {Path(x["img_path"]).name: x for x in pickle.loads(dumped.read_bytes())}
    predicted = models[task].predict(images)
    assert len(predicted) == len(tested) >= 5  # more than a batch
    for prediction in predicted:
        require_as_tested(prediction, tested[Path(prediction.image.name).name])

    out = tmp_path / "out"
    assert main("predict", checkpoints[task], images, "--out", out, "--score-thr", "0") == 0
    numbers = json.loads((out / "predictions.json").read_text())
    assert numbers == json.loads(json.dumps([x.to_dict() for x in predicted]))

    folder = published[task].rename(tmp_path / "moved")  # nothing in it knows where it was
    loaded = load(folder)
    folder.rename(published[task])
    assert (loaded.task, loaded.classes) == (task, models[task].classes)
    for one, other in zip(loaded.predict(images), predicted, strict=True):
        assert_equal(one, other)


def test_python_the_shell_and_a_published_folder_draw_the_same_samples(
    checkpoints: dict[str, Path],
    models: dict[str, TrainedModel],
    published: dict[str, Path],
    tmp_path: Path,
) -> None:
    made = models["generation"].sample(classes=["3", 5], num=3, seed=7, batch_size=3)
    files = config_of(checkpoints["generation"]), checkpoints["generation"]
    options = ["--classes", "3", "5", "--num", "3", "--seed", "7", "--batch-size", "3"]
    assert main("sample", *files, *options, "--out", tmp_path) == 0
    assert [x.name_of(x.label) for x in made] == ["3", "5", "3"]
    again = load(published["generation"]).sample(classes=["3", 5], num=3, seed=7, batch_size=3)
    for i, (one, other) in enumerate(zip(made, again, strict=True)):
        path = next(tmp_path.glob(f"{i:06}*.png"))
        np.testing.assert_array_equal(one.generated.squeeze(), np.asarray(Image.open(path)))
        np.testing.assert_array_equal(one.generated, other.generated)
    made[0].save(tmp_path / "drawn.png")


@pytest.mark.parametrize(
    ("task", "to", "options"),
    [
        ("segmentation", "pt2", []),
        ("reconstruction", "pt2", ["--size", "64x64"]),
        ("classification", "pt2", ["--batch", "2", "--size", "48x64", "--backbone"]),
    ],
)
def test_a_published_folder_is_exported_and_the_file_computes_the_same(
    task: str,
    to: str,
    options: list[str],
    published: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    out = tmp_path / f"model.{to}"
    assert main("export", published[task], "--to", to, "--out", out, *options) == 0
    compared = [x.split() for x in capsys.readouterr().out.splitlines() if "difference" in x]
    assert max(float(x[-1]) for x in compared) < 1e-4
    batches, sizes = {x[1] for x in compared}, {x[3] for x in compared}
    assert (len(sizes), len(batches)) == (1 if "--size" in options else 2, 1 if "--batch" in options else 2)
    about = metadata(out)
    assert about["task"] == task
    assert about["outputs"][0] == ("logits" if task == "segmentation" else "features_0")


def test_an_exported_generator_computes_the_same(published: dict[str, Path], tmp_path: Path) -> None:
    model = load(published["generation"])
    for weight in model.module.parameters():
        if weight.abs().max() < 0.01:  # gates that begin at zero would hide what is behind them
            torch.nn.init.normal_(weight, std=0.05)
    out = tmp_path / "model.onnx"
    assert max(x.difference for x in export(model, "onnx", out, size="8x8")) < 1e-4
    assert [x.name for x in onnxruntime.InferenceSession(out).get_outputs()] == ["prediction"]
