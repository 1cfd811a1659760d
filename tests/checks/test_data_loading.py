"""Loaders that give no batch, batches without end, or images that do not fit into one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config

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

CLS = (LOADER, dict(type="PackInputs", meta_keys=()))
SEG = (LOADER, dict(type="LoadAnnotations"), dict(type="PackSegInputs", meta_keys=()))
FILES = {"ant": ["0.jpg", "1.jpg"], "bee": ["0.jpg"]}
SAMPLER = dict(type="DefaultSampler", shuffle=True)


def classifier(root: Path, split: str = "train", **loader: Any) -> Config:
    cfg = classification(2, **{split: folders(root, split, FILES, CLS)})
    cfg[f"{split}_dataloader"].update(loader)
    return cfg


@pytest.mark.parametrize("processes", [1, 2])
def test_fewer_images_than_a_batch_that_may_not_be_smaller(tmp_path: Path, processes: int) -> None:
    cfg = classifier(tmp_path, batch_size=4, sampler=SAMPLER, drop_last=True)
    errors, _ = said(cfg, processes=processes)
    share = 3 if processes == 1 else 2
    assert f"{share} images" in errors and "fewer than a batch of 4 and drop_last=True" in errors
    assert f"set train_dataloader.drop_last=False or train_dataloader.batch_size={share}" in errors
    for change in (dict(drop_last=False), dict(batch_size=share)):
        cfg.train_dataloader.update(dict(batch_size=4, drop_last=True) | change)
        assert said(cfg, processes=processes) == ("", "")


def test_a_batch_sampler_that_drops_the_only_batch(tmp_path: Path) -> None:
    cfg = detection(train=coco(tmp_path))
    batches = dict(type="AspectRatioBatchSampler", drop_last=True)
    cfg.train_dataloader.update(batch_size=4, sampler=SAMPLER, batch_sampler=batches)
    assert "3 images are fewer than a batch of 4" in said(cfg)[0]


def test_a_repeated_data_set_counts_as_often_as_it_is_repeated(tmp_path: Path) -> None:
    cfg = classifier(tmp_path, batch_size=4, sampler=SAMPLER, drop_last=True)
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=2, dataset=cfg.train_dataloader.dataset)
    assert said(cfg) == ("", "")


def test_an_evaluation_that_leaves_images_out_is_said(tmp_path: Path) -> None:
    cfg = classifier(tmp_path, "val", batch_size=2, drop_last=True)
    assert "drop_last=True leaves the last 1 of 3 images out of the evaluation" in said(cfg)[1]


@pytest.mark.parametrize("name", ["InfiniteSampler", "mmengine.dataset.InfiniteSampler"])
def test_epochs_of_a_sampler_that_never_ends(tmp_path: Path, name: str) -> None:
    cfg = classifier(tmp_path, sampler=dict(type=name, shuffle=True))
    errors, _ = said(cfg)
    assert "train_dataloader.sampler: InfiniteSampler never ends, so an epoch would not either" in errors
    assert "dict(type='DefaultSampler', shuffle=True)" in errors
    for train_cfg in (dict(by_epoch=False, max_iters=2), dict(type="IterBasedTrainLoop", max_iters=2)):
        cfg.train_cfg = train_cfg
        assert said(cfg) == ("", "")


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_evaluation_by_a_sampler_that_never_ends(tmp_path: Path, split: str) -> None:
    cfg = classifier(tmp_path, split, sampler=dict(type="InfiniteSampler", shuffle=False))
    assert (
        "an evaluation would not either; set sampler=dict(type='DefaultSampler', shuffle=False)"
        in said(cfg)[0]
    )


def segmentor(root: Path, split: str) -> Config:
    masks = [np.zeros((12, 16), np.uint8), np.ones((16, 12), np.uint8), np.ones((12, 16), np.uint8)]
    cfg = segmentation(**{split: pairs(root, split, masks, SEG)})
    cfg.model.data_preprocessor = dict(type="SegDataPreProcessor", size=(16, 16), seg_pad_val=255)
    cfg[f"{split}_dataloader"].batch_size = 2
    return cfg


def test_images_of_several_sizes_in_a_batch_of_a_segmentors_validation(tmp_path: Path) -> None:
    cfg = segmentor(tmp_path, "val")
    errors, _ = said(cfg)
    assert "images of several sizes (12 x 16, 16 x 12 px), which SegDataPreProcessor cannot join" in errors
    assert "or val_dataloader.batch_sampler=dict(type='mmvisionllama.SameSizeBatchSampler')" in errors
    cfg.val_dataloader.batch_sampler = dict(type="mmvisionllama.SameSizeBatchSampler")
    assert said(cfg) == ("", "")
    del cfg.val_dataloader["batch_sampler"]
    cfg.val_dataloader.batch_size = 1
    assert said(cfg) == ("", "")


def test_a_segmentors_training_pads_to_one_size_that_is_given(tmp_path: Path) -> None:
    cfg = segmentor(tmp_path, "train")
    assert said(cfg) == ("", "")
    for sizes in (dict(size=None), dict(size=(16, 16), size_divisor=8)):
        cfg.model.data_preprocessor.update(sizes)
        assert "model.data_preprocessor needs either size or size_divisor" in said(cfg)[0]


@pytest.mark.parametrize("split", ["train", "val"])
def test_images_of_several_sizes_for_a_collation_that_stacks(tmp_path: Path, split: str) -> None:
    cfg = classifier(tmp_path, split, batch_size=2, collate_fn=dict(type="default_collate"))
    assert said(cfg) == ("", "")
    image(tmp_path / split / "bee" / "0.jpg", 20, 20)
    assert "several sizes (12 x 16, 20 x 20 px), which default_collate cannot join" in said(cfg)[0]
    del cfg[f"{split}_dataloader"]["collate_fn"]
    errors, notes = said(cfg)
    assert errors == "" and "predictions depend on the others" in notes
