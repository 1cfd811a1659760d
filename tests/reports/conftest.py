"""A tiny real segmentation training in mmengine's Runner: bright squares on dark noise."""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmengine import Config
from mmengine.runner import Runner

SIDE, IMAGES = 32, 10
_EXPERIMENTS = itertools.count()


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write images with one bright square; label 1 inside, 0 outside, 255 in the first rows."""
    root = tmp_path_factory.mktemp("squares")
    for folder in ("images", "annotations"):
        (root / folder).mkdir()
    generator = np.random.default_rng(0)
    for index in range(IMAGES):
        image = generator.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
        labels = np.zeros((SIDE, SIDE), np.uint8)
        row, column = generator.integers(4, SIDE // 2, 2)
        labels[row : row + 12, column : column + 12] = 1
        image[labels == 1] += 150
        labels[:4] = 255
        cv2.imwrite(str(root / "images" / f"{index}.jpg"), image)
        cv2.imwrite(str(root / "annotations" / f"{index}.png"), labels)
    return root


def run_squares(root: Path, folder: Path, *hooks: dict, **changes: Any) -> Runner:
    """Make a Runner over the images in ``root``, from a config file that is written in ``folder``."""
    dataset = dict(
        type="mmseg.BaseSegDataset",
        data_root=str(root),
        data_prefix=dict(img_path="images", seg_map_path="annotations"),
        metainfo=dict(classes=("ground", "square"), palette=[[20, 60, 160], [240, 200, 40]]),
        pipeline=[dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")],
    )
    backbone = dict(
        type="mmvisionllama.VisionLLaMA", arch="tiny", img_size=SIDE, patch_size=4, out_type="featmap"
    )
    head = dict(in_channels=96, in_index=0, channels=16, num_convs=1, num_classes=2, norm_cfg=dict(type="BN"))
    preprocessor = dict(type="SegDataPreProcessor", mean=[60.0] * 3, std=[60.0] * 3, size=(SIDE, SIDE))
    evaluation = dict(
        batch_size=2,
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset={**dataset, "test_mode": True},
    )
    cfg = dict(
        default_scope="mmseg",
        model=dict(
            type="EncoderDecoder",
            data_preprocessor=preprocessor,
            backbone=backbone,
            decode_head=dict(type="FCNHead", **head),
            test_cfg=dict(mode="whole"),
        ),
        train_dataloader=dict(batch_size=2, sampler=dict(type="InfiniteSampler"), dataset=dataset),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=4, val_interval=2),
        val_dataloader=evaluation,
        val_cfg=dict(),
        val_evaluator=dict(type="IoUMetric"),
        test_dataloader=evaluation,
        test_cfg=dict(),
        test_evaluator=dict(type="IoUMetric"),
        optim_wrapper=dict(
            optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
            constructor="mmvisionllama.LayerDecayOptimWrapperConstructor",
            paramwise_cfg=dict(layer_decay_rate=0.9, flat_decay_mult=0.0),
        ),
        param_scheduler=dict(type="PolyLR", eta_min=0.0, end=8, by_epoch=False),
        default_hooks=dict(
            checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2, save_best="mIoU")
        ),
        log_processor=dict(by_epoch=False),
        randomness=dict(seed=3),
        custom_hooks=list(hooks),
        work_dir=str(folder / "run"),
    )
    cfg.update(changes)
    path = folder / "squares.py"
    Config(cfg).dump(path)
    config = Config.fromfile(path)
    # Runners of one experiment name share a message hub, and the default name has a resolution of a second.
    config.experiment_name = f"squares_{next(_EXPERIMENTS)}"
    return Runner.from_cfg(config)


@pytest.fixture
def build_runner(squares: Path, tmp_path: Path) -> Callable[..., Runner]:
    """Return ``build(*hooks, **changes)``, which makes a Runner whose work directory is new."""
    return functools.partial(run_squares, squares, tmp_path)


@pytest.fixture(scope="session")
def finished(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Train four iterations with two validations and every report; tests must not change it."""
    hooks = [
        dict(type="mmvisionllama.RunSummaryHook"),
        dict(type="mmvisionllama.CurvesHook"),
        dict(type="mmvisionllama.SegPicturesHook", number=4),
    ]
    runner = run_squares(squares, tmp_path_factory.mktemp("finished"), *hooks)
    runner.train()
    return runner
