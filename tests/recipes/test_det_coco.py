"""COCO recipes end to end: the shipped configs, shortened by options, on a small tree in COCO's layout."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from PIL import Image
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.tools.commands import IN_PROCESS, log_text, logged_losses, run, summary

pytestmark = pytest.mark.slow
CLASSES = CocoDataset.METAINFO["classes"]
SIZES = {
    "train2017": [(96, 128), (120, 80), (64, 100), (90, 90), (80, 80)],
    "val2017": [(70, 110), (110, 66)],
}
COMMON = [
    *IN_PROCESS,
    "train_dataloader.batch_size=2",
    "auto_scale_lr.base_batch_size=2",
    "param_scheduler.0.end=2",
    "param_scheduler.1.end=4",
    "param_scheduler.1.milestones=[3]",
    "train_cfg.max_epochs=4",
    "train_cfg.val_interval=4",
    "optim_wrapper.optimizer.lr=1e-3",
    "model.train_cfg.rcnn.sampler.num=16",
    "model.train_cfg.rpn_proposal.max_per_img=50",
    "model.test_cfg.rpn.max_per_img=50",
    "model.neck.out_channels=64",
    "model.rpn_head.in_channels=64",
    "model.rpn_head.feat_channels=64",
    "model.roi_head.bbox_roi_extractor.out_channels=64",
    "model.roi_head.bbox_head.in_channels=64",
    "model.roi_head.bbox_head.fc_out_channels=128",
    "model.roi_head.mask_roi_extractor.out_channels=64",
    "model.roi_head.mask_head.in_channels=64",
    "model.roi_head.mask_head.num_convs=1",
    "model.roi_head.mask_head.conv_out_channels=64",
    "model.test_cfg.rcnn.score_thr=0.0",  # so that a detector of a few steps finds something
    "model.test_cfg.rcnn.max_per_img=20",
    "default_hooks.checkpoint.interval=4",
    "default_hooks.logger.interval=1",
    "log_processor.window_size=1",
]
PIPELINE = "train_dataloader.dataset.pipeline"
SHRUNK = {
    "pyramid_visionllama_maskrcnn_coco_3x": [
        "model.backbone.arch=tiny",
        "model.neck.in_channels=[32,64,128,160]",
        f"{PIPELINE}.4.transforms.0.0.scales=[(96,128)]",
        f"{PIPELINE}.4.transforms.1.0.scales=[(96,128)]",
        f"{PIPELINE}.4.transforms.1.1.crop_size=(64,96)",
        f"{PIPELINE}.4.transforms.1.2.scales=[(96,128)]",
        "val_dataloader.dataset.pipeline.1.scale=(128,96)",
        "test_dataloader.dataset.pipeline.1.scale=(128,96)",
    ],
    "visionllama_vitdet_coco": [
        "model.backbone.arch=tiny",
        "model.backbone.window.size=3",
        "model.backbone.window.global_blocks=(3,7)",
        "model.backbone.with_cp=True",
        "model.neck.in_channels=96",
        "model.roi_head.bbox_head.conv_out_channels=64",
        "model.data_preprocessor.pad_size_divisor=128",
        f"{PIPELINE}.4.scale=(128,128)",
        f"{PIPELINE}.5.crop_size=(128,128)",
        *(f"{split}_dataloader.dataset.pipeline.1.scale=(128,128)" for split in ("val", "test")),
    ],
}


def rectangle(height: int, width: int) -> tuple[list[int], list[list[float]]]:
    """Give the box and the polygon of an object in the middle of an image."""
    x, y, w, h = width // 4, height // 4, width // 2, height // 2
    return [x, y, w, h], [[x, y, x + w, y, x + w, y + h, x, y + h]]


def write_tree(root: Path) -> None:
    """Write bright rectangles on dark noise: ids with gaps, a crowd, an empty mask, no objects."""
    rng = np.random.default_rng(0)
    categories = [dict(id=i + 1 + i // 9, name=name) for i, name in enumerate(CLASSES)]
    (root / "annotations").mkdir(parents=True)
    for split, sizes in SIZES.items():
        (root / split).mkdir()
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, (height, width) in enumerate(sizes, start=1):
            picture = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
            (x, y, w, h), polygon = rectangle(height, width)
            images.append(dict(id=number, file_name=f"{number:012d}.jpg", height=height, width=width))
            if split == "val2017" or number < len(sizes):  # the last training image shows nothing
                picture[y : y + h, x : x + w] += np.uint8(150)
                category = categories[0 if number % 2 else -1]["id"]
                common = dict(image_id=number, category_id=category, bbox=[x, y, w, h], area=w * h)
                annotations.append(dict(id=len(annotations) + 1, segmentation=polygon, iscrowd=0, **common))
                if number == 1:
                    crowd = np.zeros((height, width), np.uint8, order="F")
                    crowd[: height // 8] = 1
                    rle = run_lengths.encode(crowd)
                    rle["counts"] = rle["counts"].decode()
                    common |= dict(bbox=[0, 0, width, height // 8], area=int(crowd.sum()))
                    annotations.append(dict(id=len(annotations) + 1, segmentation=rle, iscrowd=1, **common))
                if number == 2 and split == "train2017":
                    annotations.append(dict(id=len(annotations) + 1, segmentation=[], iscrowd=0, **common))
            Image.fromarray(picture).save(root / split / f"{number:012d}.jpg")
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = tmp_path_factory.mktemp("data")
    write_tree(base / "coco")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMVISIONLLAMA_DATA", str(base))
        yield base / "coco"


@pytest.fixture(scope="module", params=SHRUNK)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Give a config's name and the work directory of its shrunk training; tests must not change it."""
    work_dir = tmp_path_factory.mktemp(request.param)
    options = ["--cfg-options", *COMMON, *SHRUNK[request.param]]
    assert run("train", f"configs/det/{request.param}.py", "--work-dir", work_dir, *options) == 0
    return request.param, work_dir


def test_a_detector_trains_with_finite_losses_is_evaluated_and_drawn(trained: tuple[str, Path]) -> None:
    _, work_dir = trained
    losses = list(logged_losses(work_dir).values())
    assert len(losses) == 4 * 2 and np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    facts = summary(work_dir)
    assert facts["status"] == "finished"
    assert 0 <= facts["last"]["coco/bbox_mAP"] <= 1
    assert (work_dir / "predictions.png").is_file() and (work_dir / "curves.png").is_file()


def test_images_without_objects_and_empty_masks_are_reported_and_left_out(trained: tuple[str, Path]) -> None:
    text = log_text(trained[1])
    assert "1 of 5 images are left out: without objects, or too small" in text
    assert "1 of 6 annotations have no mask and are left out: ids" in text


def test_ap_equals_that_of_pycocotools(trained: tuple[str, Path], data: Path, tmp_path: Path) -> None:
    name, work_dir = trained
    out = tmp_path / "metrics.json"
    options = ["--work-dir", tmp_path, "--out", out, "--cfg-options", *COMMON, *SHRUNK[name]]
    assert run("test", f"configs/det/{name}.py", summary(work_dir)["last_checkpoint"], *options) == 0
    metrics = json.loads(out.read_text())["metrics"]
    truth = COCO(str(data / "annotations/instances_val2017.json"))
    for kind in ("bbox", "segm"):
        predictions = json.loads((tmp_path / f"predictions.{kind}.json").read_text())
        assert predictions
        if kind == "segm":
            for prediction in predictions:
                prediction.pop("bbox", None)
        evaluation = COCOeval(truth, truth.loadRes(predictions), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert metrics[f"coco/{kind}_mAP"] == pytest.approx(evaluation.stats[0], abs=6e-4)
        assert metrics[f"coco/{kind}_mAP_50"] == pytest.approx(evaluation.stats[1], abs=6e-4)
    assert (tmp_path / "precision_recall.png").is_file()
