"""Tiny models of every task: trained for a few steps by shallow versions of our recipes, and published."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvisionllama.datasets.digitscenes import write_digitscenes
from tests.tools.commands import main

CONFIGS = {
    "classification": "visionllama_tiny_digitscenes",
    "segmentation": "visionllama_tiny_upernet_digitscenes",
    "detection": "pyramid_visionllama_tiny_maskrcnn_digitscenes",
    "reconstruction": "visionllama_tiny_mae_digitscenes",
    "generation": "sit_visionllama_tiny_digits",
}
NAMES = {  # of the models in the package
    **{task: config.replace("_", "-") for task, config in CONFIGS.items()},
    "detection": "pyramid-visionllama-tiny-maskrcnn-digitscenes-narrow",
    "generation": "sit-visionllama-tiny-mnist",
}
FOLDERS = {
    "classification": "cls/val",
    "segmentation": "seg/images/validation",
    "detection": "det/images/val",
    "reconstruction": "cls/val",
}
PREDICTING = list(FOLDERS)
_PLAIN = dict(_delete_=True, embed_dims=96, num_layers=2, num_heads=3)
_PYRAMID = dict(_delete_=True, embed_dims=(32, 64, 128, 160), depths=(2, 1, 1, 1), num_heads=(1, 2, 4, 5))
_SHALLOW: dict[str, dict[str, Any]] = {
    "classification": dict(backbone=dict(arch=_PLAIN)),
    "segmentation": dict(backbone=dict(arch={**_PLAIN, "num_layers": 4}, out_indices=(0, 1, 2, 3))),
    "detection": dict(
        backbone=dict(arch=_PYRAMID),
        train_cfg=dict(rpn_proposal=dict(max_per_img=100), rcnn=dict(sampler=dict(num=32))),
        # It finds something after a few steps.
        test_cfg=dict(rpn=dict(max_per_img=100), rcnn=dict(score_thr=0.0, max_per_img=20)),
    ),
    "reconstruction": dict(backbone=dict(arch=_PLAIN), neck=dict(decoder_depth=1)),
    "generation": dict(network=dict(arch=_PLAIN)),
}


@contextmanager
def data_in(base: Path) -> Iterator[Path]:
    """Write a few scenes of every layout below ``base``, which $MMVISIONLLAMA_DATA names in this block."""
    write_digitscenes(base / "digitscenes", num_train=8, num_val=6, layouts=["cls", "seg", "det"], workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMVISIONLLAMA_DATA", str(base))
        yield base / "digitscenes"


def write_config(task: str, folder: Path) -> Path:
    """Write a config of a user: a shipped one with a shallow network, batches of four and few steps."""
    loader = dict(batch_size=4, num_workers=0, persistent_workers=False)
    loaders: dict[str, dict[str, Any]] = {f"{x}_dataloader": {**loader} for x in ("train", "val", "test")}
    told: dict[str, Any] = {"model": _SHALLOW[task], "param_scheduler": [], **loaders}
    match task:
        case "reconstruction" | "detection":
            told["train_cfg"] = dict(max_epochs=1)
        case "generation":
            told["train_cfg"] = dict(max_iters=2, val_interval=2)
            told["val_dataloader"] |= dict(dataset=dict(indices=4))
            told["test_dataloader"] |= dict(dataset=dict(indices=4))
        case _:
            told["train_cfg"] = dict(max_iters=2, val_interval=2)
    path = folder / f"{task}.py"
    base = f'_base_ = "mmvisionllama::toy/{CONFIGS[task]}.py"'
    path.write_text("\n".join([base, *(f"{name} = {value!r}" for name, value in told.items())]) + "\n")
    return path


def train(task: str, folder: Path) -> Path:
    """Train by the command and return the checkpoint; the config lies beside the work directory."""
    folder.mkdir(parents=True, exist_ok=True)
    assert main("train", write_config(task, folder), "--work-dir", folder / task) == 0
    return Path((folder / task / "last_checkpoint").read_text())


def config_of(checkpoint: Path) -> Path:
    """Return the config that ``train`` has written for a checkpoint."""
    return checkpoint.parent.with_suffix(".py")


def assert_equal(one: Any, other: Any) -> None:
    """Require that two predictions have the same numbers, to the bit."""
    numbers = {name: x for name, x in vars(one).items() if isinstance(x, (np.ndarray, float, int))}
    assert numbers
    for name, x in numbers.items():
        np.testing.assert_array_equal(x, getattr(other, name), err_msg=name)
