"""A training from shards is that from folders, bit for bit, and goes on in the middle of an epoch."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmvisionllama.errors import Stopped
from mmvisionllama.training.runner import ResumableRunner
from tests.models.test_backbones import PLAIN_ARCH

PIPELINE = [
    dict(type="mmvisionllama.LoadImageFromFile", max_corrupt=1),
    dict(type="RandomResizedCrop", scale=16),
    dict(type="PackInputs"),
]


class StopAt(Hook):
    def __init__(self, step: int) -> None:
        self.step = step

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if runner.iter == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def train(
    work_dir: Path, dataset: dict, sampler: dict, *, resume: bool = False, stop: int = -1
) -> dict[str, Tensor]:
    """Train a tiny classifier over two epochs of six steps, and return its weights."""
    cfg = Config(
        dict(
            default_scope="mmpretrain",
            model=dict(
                type="ImageClassifier",
                backbone=dict(
                    type="mmvisionllama.VisionLLaMA",
                    arch=PLAIN_ARCH,
                    img_size=16,
                    patch_size=8,
                    drop_path_rate=0.2,
                ),
                head=dict(type="LinearClsHead", in_channels=PLAIN_ARCH["embed_dims"], num_classes=3),
                data_preprocessor=dict(type="ClsDataPreprocessor", mean=[127.0] * 3, std=[64.0] * 3),
            ),
            train_dataloader=dict(
                batch_size=4, num_workers=0, sampler=sampler, dataset=dict(**dataset, pipeline=PIPELINE)
            ),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.01)),
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=2)),
            randomness=dict(seed=3),
            work_dir=str(work_dir),
            resume=resume,
            experiment_name=work_dir.name + str(resume),
        )
    )
    runner = ResumableRunner.from_cfg(cfg)
    runner.register_hook(StopAt(stop))
    runner.train()
    return runner.model.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("sampler", ["DefaultSampler", "mmvisionllama.ShardSampler"])
def test_a_stop_in_the_middle_of_an_epoch_of_shards_changes_nothing(
    sampler: str, tree: Path, shards: Path, tmp_path: Path
) -> None:
    order = dict(type=sampler, shuffle=True)
    dataset = dict(type="mmvisionllama.ShardedImages", data_root=str(shards), split="train")
    whole = train(tmp_path / "whole", dataset, order)
    with pytest.raises(Stopped):
        train(tmp_path / "cut", dataset, order, stop=8)
    assert same(train(tmp_path / "cut", dataset, order, resume=True), whole)
    if sampler == "DefaultSampler":
        folders = dict(type="CustomDataset", data_root=str(tree), data_prefix="train")
        assert same(train(tmp_path / "folders", folders, order), whole)
