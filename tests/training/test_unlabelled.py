"""A test of images without labels writes predictions, and scores nothing."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmvisionllama.checks.run import build_model
from mmvisionllama.config import load_config
from mmvisionllama.datasets.digitscenes import write_digitscenes
from mmvisionllama.training.checkpoint_content import plain_config
from tests.tools.commands import IN_PROCESS, run

CLS = "configs/toy/visionllama_tiny_digitscenes.py"
SEG = "configs/toy/visionllama_tiny_upernet_digitscenes.py"
DET = "configs/toy/pyramid_visionllama_tiny_maskrcnn_digitscenes.py"
IMAGES = 4
DIGITS = list("0123456789")
Predict = Callable[..., Path]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write DigitScenes without the labels of its validation."""
    base = tmp_path_factory.mktemp("data")
    layouts = ["seg", "cls", "det"]
    write_digitscenes(base / "digitscenes", num_train=10, num_val=IMAGES, layouts=layouts, workers=1)
    file = base / "digitscenes/det/annotations/instances_val.json"
    content = json.loads(file.read_text())
    del content["annotations"]
    file.write_text(json.dumps(content))
    return base


@pytest.fixture
def predictions_of(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Return ``predict(config, *options)``, which tests an untrained model and returns what it leaves."""
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(data))

    def predict(config: str, *options: str) -> Path:
        cfg = load_config(config)
        meta = {"model": plain_config(cfg.model), "cfg": cfg.pretty_text}
        torch.save({"meta": meta, "state_dict": build_model(cfg).state_dict()}, tmp_path / "untrained.pth")
        work_dir = tmp_path / "work"
        arguments = ["--work-dir", work_dir, "--cfg-options", *IN_PROCESS, *options]
        assert run("test", config, tmp_path / "untrained.pth", *arguments) == 0
        return work_dir / "predictions"

    return predict


def test_a_classifier_writes_a_table(predictions_of: Predict) -> None:
    found = predictions_of(
        CLS,
        "test_dataloader.dataset.with_label=False",
        f"test_dataloader.dataset.metainfo.classes={DIGITS}",
    )
    rows = list(csv.DictReader((found / "predictions.csv").open()))
    assert len(rows) == IMAGES and all(x["name"] == x["label"] and 0 < float(x["score"]) < 1 for x in rows)


def test_a_segmentor_writes_label_maps(predictions_of: Predict) -> None:
    prefix = "test_dataloader.dataset.data_prefix={'_delete_':True,'img_path':'images/validation'}"
    files = sorted(predictions_of(SEG, prefix).glob("*.png"))
    assert [Image.open(x).size for x in files] == [(64, 64)] * IMAGES


def test_a_detector_writes_results_in_cocos_format(predictions_of: Predict) -> None:
    found = predictions_of(DET, "model.test_cfg.rcnn.score_thr=0.0")
    results = json.loads((found / "predictions.bbox.json").read_text())
    assert {"image_id", "bbox", "score", "category_id"} <= results[0].keys()
