"""ADE20K recipe end to end: the shipped config, shortened by options, on a small tree in its layout."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, init_default_scope
from mmseg.models import EncoderDecoder
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmvisionllama import VisionLLaMA
from mmvisionllama.config import load_config
from tests.tools.commands import IN_PROCESS, logged_losses, run, summary

pytestmark = pytest.mark.slow
CONFIG = "configs/seg/visionllama_upernet_ade20k.py"
SIZES = {"training": [(96, 96), (80, 130), (150, 70), (64, 64)], "validation": [(70, 150), (110, 66)]}
ITERATIONS = 12
SHRUNK = [
    "model.backbone.arch=tiny",
    "model.backbone.out_indices=(1,3,5,7)",
    "model.data_preprocessor.size=(64,64)",
    "model.neck.embed_dim=96",
    "model.decode_head.in_channels=[96,96,96,96]",
    "model.decode_head.channels=32",
    "model.auxiliary_head.in_channels=96",
    "model.auxiliary_head.channels=32",
    "model.test_cfg.crop_size=(64,64)",
    "model.test_cfg.stride=(43,43)",
    "train_dataloader.dataset.pipeline.2.scale=(256,64)",
    "train_dataloader.dataset.pipeline.3.crop_size=(64,64)",
    *IN_PROCESS,
    "auto_scale_lr.base_batch_size=2",
    "val_dataloader.dataset.pipeline.1.scale=(256,64)",
    "test_dataloader.dataset.pipeline.1.scale=(256,64)",
    "optim_wrapper.optimizer.lr=2e-3",
    "param_scheduler.0.end=2",
    "param_scheduler.1.begin=2",
    f"param_scheduler.1.end={ITERATIONS}",
    f"train_cfg.max_iters={ITERATIONS}",
    f"train_cfg.val_interval={ITERATIONS // 2}",
    "default_hooks.logger.interval=1",
]


def write_tree(root: Path) -> None:
    """Write images of several sizes: a few of the 150 classes as coloured bands, and one unlabelled band."""
    rng = np.random.default_rng(0)
    for split, sizes in SIZES.items():
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for number, size in enumerate(sizes):
            labels = band_labels(size)
            noise = rng.integers(0, 40, (*size, 3))
            colours = labels[..., None] * np.array([1, 40, 90]) % 200
            name = f"ADE_{split[:5]}_{number:08d}"
            Image.fromarray((colours + noise).astype(np.uint8)).save(root / "images" / split / f"{name}.jpg")
            Image.fromarray(labels).save(root / "annotations" / split / f"{name}.png")


def band_labels(size: tuple[int, int]) -> NDArray:
    """Give the annotation of an image: 0 is unlabelled, 150 the last class."""
    bands = np.array([1, 150, 0, 37], np.uint8)
    return np.repeat(bands[np.arange(size[0]) * len(bands) // size[0]][:, None], size[1], axis=1)


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = tmp_path_factory.mktemp("data")
    write_tree(base / "ade" / "ADEChallengeData2016")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMVISIONLLAMA_DATA", str(base))
        yield base


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of the whole shrunk training; tests must not change it."""
    work_dir = tmp_path_factory.mktemp("ade20k")
    assert run("train", CONFIG, "--work-dir", work_dir, "--cfg-options", *SHRUNK) == 0
    return work_dir


@pytest.fixture(scope="module")
def tested(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[tuple[int, ...]]]:
    """The metrics of the last checkpoint, and the size of every piece of image that the model saw."""
    out, seen = tmp_path_factory.mktemp("tested"), []
    whole = EncoderDecoder.encode_decode

    def recorded(model: EncoderDecoder, inputs: Tensor, metas: list[dict]) -> Tensor:
        seen.append(tuple(inputs.shape[2:]))
        return whole(model, inputs, metas)

    arguments = (CONFIG, trained / f"iter_{ITERATIONS}.pth", "--work-dir", out, "--out", out / "metrics.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncoderDecoder, "encode_decode", recorded)
        assert run("test", *arguments, "--cfg-options", *SHRUNK) == 0
    return json.loads((out / "metrics.json").read_text())["metrics"], seen


def test_coloured_bands_are_learned_in_a_few_iterations(trained: Path) -> None:
    assert summary(trained)["last"]["mIoU"] > 50


def test_every_logged_loss_is_finite(trained: Path) -> None:
    losses = logged_losses(trained)
    assert list(losses) == list(range(1, ITERATIONS + 1))
    assert np.isfinite(list(losses.values())).all()


def test_model_has_150_classes(trained: Path) -> None:
    weights = torch.load(trained / f"iter_{ITERATIONS}.pth", weights_only=False)["state_dict"]
    assert weights["decode_head.conv_seg.weight"].shape[0] == 150
    assert weights["auxiliary_head.conv_seg.weight"].shape[0] == 150


def test_validations_come_when_the_schedule_says(trained: Path) -> None:
    facts = summary(trained)
    assert facts["status"] == "finished"
    assert facts["steps"] == facts["last_step"] == ITERATIONS
    assert set(facts["last"]) >= {"mIoU", "mAcc", "aAcc"}


def test_best_and_last_checkpoints_are_kept(trained: Path) -> None:
    facts = summary(trained)
    assert Path(facts["last_checkpoint"]).is_file()
    assert Path(facts["best_checkpoint"]).is_file()


@pytest.mark.parametrize("name", ["curves.png", "predictions.png"])
def test_run_ends_with_pictures(trained: Path, name: str) -> None:
    with Image.open(trained / name) as picture:
        assert min(picture.size) > 40


def test_testing_the_last_checkpoint_repeats_the_last_validation(
    trained: Path, tested: tuple[dict, list[tuple[int, ...]]]
) -> None:
    validated = summary(trained)["last"]
    assert {name: tested[0][name] for name in ("mIoU", "mAcc", "aAcc")} == pytest.approx(
        {name: validated[name] for name in ("mIoU", "mAcc", "aAcc")}
    )


def test_images_longer_than_the_crop_are_evaluated_in_sliding_windows(
    tested: tuple[dict, list[tuple[int, ...]]],
) -> None:
    # Resized to 64 x 137 and 107 x 64: three windows across the one, two down the other.
    assert tested[1] == [(64, 64)] * 5


def test_unlabelled_pixels_are_ignored_and_classes_begin_at_zero() -> None:
    cfg = load_config(CONFIG)
    init_default_scope(cfg.default_scope)
    sample = DATASETS.build(cfg.val_dataloader.dataset)[0]["data_samples"]
    expected = band_labels(SIZES["validation"][0]).astype(int) - 1
    expected[expected < 0] = 255
    np.testing.assert_array_equal(sample.gt_sem_seg.data[0].numpy(), expected)


def test_load_from_gives_the_backbone_of_a_pretraining(tmp_path: Path) -> None:
    backbone = VisionLLaMA("tiny", layer_scale=None, with_cls_token=False, out_type="avg_featmap")
    pretrained = {f"backbone.{name}": torch.randn_like(x) * 0.02 for name, x in backbone.state_dict().items()}
    torch.save({"state_dict": {**pretrained, "neck.mask_token": torch.zeros(1, 1, 64)}}, tmp_path / "mae.pth")
    frozen = ["optim_wrapper.optimizer.lr=0", "train_cfg.max_iters=1", "unchecked=[param_scheduler]"]
    frozen += [f"load_from={tmp_path / 'mae.pth'}"]
    assert run("train", CONFIG, "--work-dir", tmp_path / "run", "--cfg-options", *SHRUNK, *frozen) == 0
    weights = torch.load(tmp_path / "run" / "iter_1.pth", weights_only=False)["state_dict"]
    same = [name for name, x in pretrained.items() if name in weights and torch.equal(weights[name], x)]
    assert len(same) == len([name for name in weights if name.startswith("backbone.")])
