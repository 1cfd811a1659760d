"""Labels that a model learns from, or a metric compares with, are in the samples that a pipeline gives."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from tests.checks.generated import (
    LOADER,
    classification,
    coco,
    detection,
    folders,
    image,
    pairs,
    said,
    segmentation,
)

FILES = {"ant": ["0.jpg"], "bee": ["0.jpg"], "cat": ["0.jpg"]}
MASKS = [np.uint8([[0, 1] * 8] * 12)]


def detector(root: Path, masks: bool, **loads: bool) -> Config:
    pipeline = (LOADER, dict(type="LoadAnnotations", **loads), dict(type="PackDetInputs", meta_keys=()))
    cfg = detection(train=coco(root, pipeline=pipeline))
    if masks:
        cfg.model.roi_head.mask_head = dict(num_classes=2)
    return cfg


def test_a_detector_of_masks_needs_a_pipeline_that_loads_them(tmp_path: Path) -> None:
    errors, _ = said(detector(tmp_path, True, with_bbox=True))
    assert "its pipeline loads no gt_instances.masks, which the model learns from" in errors
    assert "with_mask=True" in errors
    assert said(detector(tmp_path, True, with_bbox=True, with_mask=True)) == ("", "")
    assert said(detector(tmp_path, False, with_bbox=True)) == ("", "")
    assert "loads no gt_instances.bboxes" in said(detector(tmp_path, False, with_bbox=False))[0]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_segmentor_needs_a_pipeline_that_loads_label_maps(tmp_path: Path, split: str) -> None:
    pipeline = (LOADER, dict(type="PackSegInputs", meta_keys=()))
    cfg = segmentation(**{split: pairs(tmp_path, split, MASKS, pipeline)})
    cfg.val_evaluator = dict(type="IoUMetric")
    assert "its pipeline loads no gt_sem_seg" in said(cfg)[0]
    cfg.val_evaluator = dict(type="IoUMetric", format_only=True)
    assert bool(said(cfg)[0]) == (split == "train")


def test_images_without_labels_are_nothing_to_learn_from_or_to_compare_with(tmp_path: Path) -> None:
    pipeline = (LOADER, dict(type="PackInputs", meta_keys=()))
    for split, told in (("train", "so there is nothing to learn from"), ("val", "so nothing can be scored")):
        cfg = classification(**{split: folders(tmp_path, split, FILES, pipeline, with_label=False)})
        cfg.val_evaluator = dict(type="Accuracy")
        assert f"it has no labels (with_label=False), {told}" in said(cfg)[0]
    cfg.model.head = dict(type="MAEPretrainHead")
    cfg.val_evaluator = dict(type="mmvisionllama.ReconstructionLoss")
    assert said(cfg) == ("", "")


def test_masks_are_not_scored_of_a_model_without_a_mask_head(tmp_path: Path) -> None:
    cfg = detection(val=coco(tmp_path, "val"))
    cfg.val_evaluator = dict(type="CocoMetric", metric=["bbox", "segm"])
    assert "has 'segm', but the model has no mask head; set it to 'bbox'" in said(cfg)[0]
    cfg.val_evaluator.metric = "bbox"
    assert said(cfg) == ("", "")


def test_label_zero_is_taken_out_of_all_label_maps_or_none(tmp_path: Path) -> None:
    parts = {split: pairs(tmp_path, split, MASKS) for split in ("train", "val")}
    parts["train"]["reduce_zero_label"] = True
    errors, _ = said(
        segmentation(1, **{k: x | dict(metainfo=dict(classes=("square",))) for k, x in parts.items()})
    )
    assert "its label maps are not those of BaseSegDataset (training)" in errors
    assert "reduce_zero_label=False" in errors


@pytest.mark.parametrize("change", [dict(indices=2), dict(test_mode=False, filter_cfg=dict(min_size=20))])
def test_an_evaluation_of_a_part_is_not_scored_by_the_whole_file(tmp_path: Path, change: dict) -> None:
    image(tmp_path / "1.jpg", 30, 30)
    images = [dict(id=i, file_name=f"{i}.jpg", width=16, height=12) for i in (1, 2, 3)]
    images[0].update(width=30, height=30)
    cfg = detection(val=coco(tmp_path, "val", images=images) | change)
    cfg.val_evaluator = dict(type="CocoMetric", metric="bbox", ann_file=str(tmp_path / "val.json"))
    assert "leave ann_file out of the evaluator" in said(cfg)[0]
    del cfg.val_evaluator["ann_file"]
    errors, notes = said(cfg)
    assert errors == "" and "images are left out by" in notes


def test_images_of_several_numbers_of_channels(tmp_path: Path) -> None:
    pipeline = (LOADER | dict(color_type="unchanged"), dict(type="PackInputs", meta_keys=()))
    cfg = classification(train=folders(tmp_path, "train", FILES, pipeline))
    Image.new("L", (16, 12)).save(tmp_path / "train" / "cat" / "0.jpg")
    assert "images of 1 and 3 channels; set color_type='color'" in said(cfg)[0]
