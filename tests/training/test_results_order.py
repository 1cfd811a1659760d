"""Evaluations in batches of one size: numbers, saved predictions and pictures are those of one by one."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from mmengine.evaluator import BaseMetric
from PIL import Image

from mmvisionllama.config import load_config
from mmvisionllama.evaluation.saved_predictions import SavedPredictions, read_predictions
from mmvisionllama.reports.pictures import PicturesHook
from mmvisionllama.training.runner import ResumableRunner

SIZES = [(48, 32), (32, 48), (48, 32), (48, 32), (40, 40), (32, 48), (40, 40), (48, 32), (32, 48)]
BATCHES = dict(type="mmvisionllama.SameSizeBatchSampler")
PACK = dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"))


class Outputs(BaseMetric):
    """Keep what a model gives of each image, in the order that is gathered, and the size of its batch."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += [{**sample, "batch": len(data_samples)} for sample in data_samples]

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        self.kept = results
        return {}


class ShownHook(PicturesHook):
    """Note which images are drawn."""

    def keep(self, sample: Any, metainfo: dict, img: torch.Tensor | None = None) -> tuple[str, tuple]:
        return sample.img_path, tuple(img.shape)

    def draw(self, kept: list[tuple[str, tuple]], metainfo: dict) -> Figure:
        self.shown = kept
        return Figure(figsize=(1, 1))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write images of three sizes with a bright square, their label maps, and COCO's annotations."""
    root, draws = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    images, annotations = [], []
    for number, (width, height) in enumerate(SIZES):
        left, top = (int(x) for x in draws.integers(4, 12, 2))
        pixels = draws.integers(0, 90, (height, width, 3), dtype=np.uint8)
        pixels[top : top + 16, left : left + 16] += 150
        labels = (pixels.min(2) >= 150).astype(np.uint8)
        for folder, content in (("images", pixels), ("annotations", labels)):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(content).save(root / folder / f"{number}.png")
        images.append(dict(id=90 - number, file_name=f"{number}.png", width=width, height=height))
        box = [left, top, 16, 16]
        corners = [left, top, left + 16, top, left + 16, top + 16, left, top + 16]
        about = dict(id=number + 1, image_id=90 - number, category_id=0, area=256, iscrowd=0)
        annotations.append(about | dict(bbox=box, segmentation=[corners]))
    categories = [dict(id=0, name="square")]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / "coco.json").write_text(json.dumps(content))
    return root


def segmentation(root: Path) -> dict[str, Any]:
    """Return changes of the toy config; windows slide over the images."""
    meta = dict(classes=["ground", "square"], palette=[[0, 0, 0], [255, 255, 255]])
    pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
    prefix = dict(img_path="images", seg_map_path="annotations")
    dataset = dict(type="mmseg.BaseSegDataset", data_root=str(root), data_prefix=prefix, metainfo=meta)
    return {
        "test_dataloader.dataset": {**dataset, "img_suffix": ".png", "pipeline": pipeline},
        "test_evaluator": [dict(type="IoUMetric"), dict(type="mmvisionllama.SegPredictionWriter")],
        "model.data_preprocessor.test_cfg": dict(size_divisor=32),
        "model.decode_head.num_classes": 2,
        "model.decode_head.loss_decode.class_weight": [1.0, 1.0],
        "model.test_cfg": dict(mode="slide", crop_size=(32, 32), stride=(21, 21)),
    }


def detection(root: Path) -> dict[str, Any]:
    """Return changes of the toy config; a model that has learnt nothing keeps what it finds."""
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale_factor=1.0, keep_ratio=True),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    ]
    dataset = dict(
        type="CocoDataset", data_root=str(root), ann_file="coco.json", data_prefix=dict(img="images")
    )
    ann_file = str(root / "coco.json")
    return {
        "test_dataloader.dataset": {
            **dataset,
            "metainfo": dict(classes=["square"]),
            "test_mode": True,
            "pipeline": [*pipeline, PACK],
        },
        "test_evaluator": [
            dict(type="FasterCocoMetric", ann_file=ann_file, metric=["bbox", "segm"]),
            dict(type="mmvisionllama.DetPredictionWriter", ann_file=ann_file),
        ],
        "model.roi_head.bbox_head.num_classes": 1,
        "model.roi_head.mask_head.num_classes": 1,
        "model.test_cfg.rcnn.score_thr": 0.0,
        "model.test_cfg.rcnn.max_per_img": 40,
    }


@dataclass(frozen=True)
class Evaluated:
    """What a test gives: metrics, outputs of each image, saved predictions, images that are drawn."""

    metrics: dict[str, float]
    outputs: list[dict[str, Any]]
    saved: SavedPredictions
    shown: list[tuple[str, tuple]]


def evaluated(config: str, changes: dict[str, Any], folder: Path, **loader: Any) -> Evaluated:
    """Test a model of random weights."""
    cfg = load_config(f"configs/toy/{config}", {"work_dir": str(folder), "custom_hooks": []})
    cfg.test_dataloader = dict(sampler=dict(type="DefaultSampler", shuffle=False), **loader)
    cfg.merge_from_dict({key: value for key, value in changes.items() if key != "test_evaluator"})
    writer = changes["test_evaluator"][1] | dict(folder=str(folder / "saved"))
    cfg.test_evaluator = [changes["test_evaluator"][0], writer]
    runner, outputs, shown = ResumableRunner.from_cfg(cfg), Outputs(), ShownHook(4)
    runner.test_loop.evaluator.metrics.append(outputs)
    runner.register_hook(shown)
    return Evaluated(runner.test(), outputs.kept, read_predictions(folder / "saved"), shown.shown)


def logits(sample: dict[str, Any]) -> list[torch.Tensor]:
    return [sample["seg_logits"]["data"]]


def objects(sample: dict[str, Any]) -> list[torch.Tensor]:
    """Return boxes in shares of the longest side, since pixels are rounded by their size; scores, labels."""
    found = sample["pred_instances"]
    return [found["bboxes"] / max(map(max, SIZES)), found["scores"], found["labels"]]


CASES = [
    ("visionllama_tiny_upernet_digitscenes.py", segmentation, logits),
    ("pyramid_visionllama_tiny_maskrcnn_digitscenes_narrow.py", detection, objects),
]


@pytest.mark.parametrize(("config", "changes", "values"), CASES, ids=["segmentation", "detection"])
def test_batches_of_one_size_give_what_one_by_one_gives(
    config: str, changes: Callable, values: Callable, scenes: Path, tmp_path: Path
) -> None:
    one = evaluated(config, changes(scenes), tmp_path / "one", batch_size=1)
    many = evaluated(config, changes(scenes), tmp_path / "many", batch_size=3, batch_sampler=BATCHES)
    assert {x["batch"] for x in one.outputs} == {1} and {x["batch"] for x in many.outputs} == {1, 2, 3}
    assert max(one.metrics.values()) > 0
    assert many.metrics == pytest.approx(one.metrics, abs=1e-6, nan_ok=True)
    for this, other in zip(many.outputs, one.outputs, strict=True):
        assert this["img_path"] == other["img_path"]
        for mine, theirs in zip(values(this), values(other), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    assert many.shown == one.shown and len(one.shown) == 4
    names = [f"{number}.png" for number in range(len(SIZES))]
    assert [many.saved.name_of(number) for number in range(len(SIZES))] == names
    for this, other in zip(many.saved.images, one.saved.images, strict=True):
        assert this.get("id") == other.get("id")
        for key in {"truth", "predicted"} & this.keys():
            same = [Image.open(x.saved.folder / image[key]) for x, image in ((many, this), (one, other))]
            assert np.array_equal(*same)
