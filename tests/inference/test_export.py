"""Exported files compute what the model does, carry what they need, and are whole or not there."""

import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.registry import DefaultScope

from mmvisionllama.errors import ExitStatus, ExportError, InexactExport
from mmvisionllama.inference import export as exporting
from mmvisionllama.inference.export import export
from mmvisionllama.inference.export_networks import MeanPool
from mmvisionllama.inference.proposals import decode_proposals
from mmvisionllama.inference.trained_model import TrainedModel, load
from tests.tools.commands import main

NAMES = tuple("0123456789")


@pytest.fixture(scope="module")
def classifier(models: dict[str, TrainedModel]) -> TrainedModel:
    return models["classification"]


@pytest.fixture(scope="module")
def checkpoint(checkpoints: dict[str, Path]) -> Path:
    return checkpoints["classification"]


def metadata(path: Path) -> dict:
    if path.suffix == ".onnx":
        return json.loads(
            onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["mmvisionllama"]
        )
    with ZipFile(path) as archive:  # torch.export.load takes seconds to read the graph, too
        (name,) = [x for x in archive.namelist() if x.endswith("extra/mmvisionllama.json")]
        return json.loads(archive.read(name))


def test_a_command_exports_a_classifier_whose_scores_are_the_predictions(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "made" / "digits.onnx"
    assert main("export", checkpoint, "--to", "onnx", "--out", out) == 0
    told = capsys.readouterr().out.splitlines()
    assert [x.partition(":")[0] for x in told[:-1]] == [
        "batch 1 of 64x64",
        "batch 3 of 64x64",
        "batch 1 of 49x79",
        "batch 3 of 49x79",
    ]
    about = metadata(out)
    assert about["classes"] == list(NAMES)
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(out)
    (logits,) = session.run(None, {"image": np.float32(rgb.transpose(2, 0, 1)[None])})
    scores = np.exp(logits[0]) / np.exp(logits[0]).sum()
    np.testing.assert_allclose(scores, load(checkpoint, device="cpu").predict(rgb).scores, atol=1e-5)


def test_weights_in_safetensors_are_loaded_with_config_and_names(
    classifier: TrainedModel, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "digits.safetensors"
    compared = export(classifier, "safetensors", out)
    assert {x.difference for x in compared} == {0.0}
    again = load(out, device="cpu")
    assert again.classes == NAMES
    rgb = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        again.predict(rgb).scores, load(checkpoint, device="cpu").predict(rgb).scores
    )


def test_raw_outputs_of_a_detector_are_decoded_by_numpy_as_by_its_own_rpn(
    models: dict[str, TrainedModel], tmp_path: Path
) -> None:
    model, out = models["detection"], tmp_path / "detector.pt2"
    export(model, "pt2", out, size="64x96", batch="1")
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255
    extra = {"mmvisionllama.json": ""}
    program = torch.export.load(out, extra_files=extra)
    about = json.loads(extra["mmvisionllama.json"])
    found = dict(zip(about["outputs"], program.module()(image), strict=True))
    scores, offsets = (
        [x[0].detach() for name, x in found.items() if name.startswith(kind)] for kind in ("score", "offset")
    )
    boxes, score = decode_proposals(
        [x.numpy() for x in scores], [x.numpy() * 8 for x in offsets], (60, 90), about["proposals"]
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        (expected,) = model.module.rpn_head.predict_by_feat(
            [x[None] for x in scores],
            [x[None] * 8 for x in offsets],
            batch_img_metas=[dict(img_shape=(60, 90))],
            cfg=model.module.rpn_head.test_cfg,
        )
    assert len(boxes) == len(expected) > 20
    np.testing.assert_allclose(score, expected.scores.numpy(), atol=1e-6)
    np.testing.assert_allclose(boxes, expected.bboxes.numpy(), atol=1e-3)


@pytest.mark.parametrize("sides", [(1, 1), (2, 3), (6, 6)])
def test_the_mean_pooling_of_a_graph_is_torchs(sides: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 7, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(MeanPool(sides)(x), torch.nn.AdaptiveAvgPool2d(sides)(x))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--to", "tflite"], "--to must be one of ['onnx', 'pt2', 'safetensors'], got 'tflite'"),
        (
            ["--to", "onnx", "--size", "224"],
            "--size: expected HxW in pixels, e.g. 224x224, or dynamic, got '224'",
        ),
        (
            ["--to", "onnx", "--batch", "0"],
            "--batch: expected a whole number of at least 1, or dynamic, got '0'",
        ),
        (["--to", "pt2", "--out", "{base}/x.onnx"], "x.onnx: a file of pt2 ends with .pt2"),
        (["--to", "safetensors", "--size", "8x8"], "leave --size and --batch out"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    arguments: list[str], told: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = [x.format(base=tmp_path) for x in arguments]
    out = [] if "--out" in given else ["--out", tmp_path / f"x.{given[1]}"]
    assert main("export", checkpoint, *given, *out) == ExitStatus.USER_ERROR
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert told in error
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_is_missing_is_named_with_its_extra(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(exporting, "import_module", missing)
    assert main("export", checkpoint, "--to", "onnx", "--out", tmp_path / "x.onnx") == ExitStatus.USER_ERROR
    error = capsys.readouterr().err
    assert "onnx is not installed" in error
    assert "mmvisionllama[export]" in error
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_differs_is_not_kept_and_what_was_there_stays(
    classifier: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "digits.safetensors"
    out.write_text("before")
    shifted = lambda path, backbone: lambda x: (torch.full((len(x), 10), float("nan")),)  # noqa: E731
    monkeypatch.setattr(exporting, "run_safetensors", shifted)
    with pytest.raises(InexactExport, match="differs from the model by nan"):
        export(classifier, "safetensors", out)
    assert out.read_text() == "before"
    assert [x.name for x in tmp_path.iterdir()] == [out.name]


def test_sides_that_a_generators_patches_do_not_divide_are_refused(
    models: dict[str, TrainedModel], tmp_path: Path
) -> None:
    model = models["generation"]
    assert model.module.network.patch_size == 2
    with pytest.raises(ExportError, match="--size 9x8: the model takes multiples of its patches"):
        export(model, "pt2", tmp_path / "x.pt2", size="9x8")
    with pytest.raises(ExportError, match="is a generator, which has no backbone"):
        export(model, "pt2", tmp_path / "x.pt2", backbone=True)
    assert list(tmp_path.iterdir()) == []
