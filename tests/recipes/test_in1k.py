"""ImageNet recipes end to end: the shipped configs, shortened by options, on a small tree in its layout."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmpretrain.datasets.samplers import RepeatAugSampler
from mmpretrain.engine.optimizers import LARS, Lamb
from mmpretrain.models import CutMix, LabelSmoothLoss, Mixup
from PIL import Image
from torch import Tensor

from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.checks.run import check_training
from mmvisionllama.config import load_config
from mmvisionllama.datasets.augmentations import RandomErasing, ThreeAugment
from mmvisionllama.datasets.rand_augment import RandAugment
from mmvisionllama.models.losses import BinarizedCrossEntropyLoss
from mmvisionllama.training.loops import ResumableEpochLoop
from tests.tools.commands import IN_PROCESS, logged_losses, run, summary

SYNSETS = ("n01440764", "n01443537", "n02084071", "n02121808", "n03000684")
IMAGES = {"train": 4, "val": 2}  # of each class
BATCH, EPOCHS = 4, 2
STEPS = EPOCHS * len(SYNSETS) * IMAGES["train"] // BATCH
SHRUNK = [
    *IN_PROCESS,
    f"train_dataloader.batch_size={BATCH}",
    f"auto_scale_lr.base_batch_size={BATCH}",
    *(f"{split}_dataloader.dataset.metainfo.classes=[{','.join(SYNSETS)}]" for split in ("train", "val")),
    f"train_cfg.max_epochs={EPOCHS}",
    f"train_cfg.val_interval={EPOCHS}",
    "param_scheduler.0.end=1",
    "param_scheduler.1.begin=1",
    f"param_scheduler.1.end={EPOCHS}",
    f"default_hooks.checkpoint.interval={EPOCHS}",
    "default_hooks.logger.interval=1",
]
CLASSES = [f"{owner}.num_classes={len(SYNSETS)}" for owner in ("model.head", "data_preprocessor")]
TINY = ["model.backbone.arch=tiny", "model.head.in_channels=96"]
DECODER = [
    "model.neck.num_patches=16",
    "model.neck.decoder_embed_dim=32",
    "model.neck.decoder_depth=1",
    "model.neck.decoder_num_heads=2",
]
# What tells one recipe from another -> the method that a training calls if it really has it.
PARTS = {
    Lamb: "step",
    LARS: "step",
    torch.optim.AdamW: "step",
    RepeatAugSampler: "__iter__",
    Mixup: "mix",
    CutMix: "mix",
    ThreeAugment: "transform",
    RandAugment: "transform",
    RandomErasing: "transform",
    BinarizedCrossEntropyLoss: "forward",
    LabelSmoothLoss: "forward",
}


@dataclass
class Trained:
    """What a training left, the weights that it began with, and how often it called each of ``PARTS``."""

    work_dir: Path
    start: dict[str, Tensor]
    calls: Counter[str]

    @property
    def checkpoint(self) -> str:
        return summary(self.work_dir)["last_checkpoint"]

    @property
    def end(self) -> dict[str, Tensor]:
        return read_checkpoint(self.checkpoint)["state_dict"]


def at(side: int) -> list[str]:
    """Give the options that make a config train and evaluate on small images."""
    return [
        f"train_dataloader.dataset.pipeline.0.scale={side}",
        f"val_dataloader.dataset.pipeline.1.scale={side}",
        f"val_dataloader.dataset.pipeline.2.crop_size={side}",
    ]


def arch(sizes: str) -> list[str]:
    """Give the options that put sizes of one's own in the place of a named one."""
    return [f"model.backbone.arch.{size}" for size in ("_delete_=True", *sizes.split())]


def train(config: str, work_dir: Path, *options: str) -> Trained:
    calls, start = Counter(), {}
    run_loop = ResumableEpochLoop.run

    def remember_start(loop: ResumableEpochLoop) -> Any:
        start.update({name: x.clone() for name, x in loop.runner.model.state_dict().items()})
        calls.clear()  # of the checks before the training
        return run_loop(loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResumableEpochLoop, "run", remember_start)
        for owner, method in PARTS.items():
            patch.setattr(owner, method, counted(getattr(owner, method), owner.__name__, calls))
        status = run("train", f"configs/{config}", "--work-dir", work_dir, "--cfg-options", *SHRUNK, *options)
    assert status == 0
    return Trained(work_dir, start, calls)


def counted(method: Callable, name: str, calls: Counter[str]) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return method(*args, **kwargs)

    return call


def check_finished(trained: Trained, metric: str) -> None:
    facts, losses = summary(trained.work_dir), logged_losses(trained.work_dir)
    assert facts["status"] == "finished"
    assert math.isfinite(facts["last"][metric])
    assert list(losses) == list(range(1, STEPS + 1))
    assert np.isfinite(list(losses.values())).all()
    assert all(x.isfinite().all() for x in trained.end.values())
    for name in ("curves.png", "predictions.png"):
        with Image.open(trained.work_dir / name) as picture:
            assert min(picture.size) > 40


def not_from(first: Trained, second: Trained) -> set[str]:
    """Name the weights that the second training did not begin with as the first one ended."""
    end = first.end
    return {name for name, x in second.start.items() if name not in end or not torch.equal(x, end[name])}


def without_leaf(names: set[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


VIT = arch("embed_dims=96 num_layers=4 num_heads=3 feedforward_channels=192")
TINY_VIT = [*VIT, "model.head.in_channels=96"]


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Write noisy images of one colour for each class, of several sizes and shapes."""
    base, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split, count in IMAGES.items():
        for label, synset in enumerate(SYNSETS):
            folder = base / "imagenet" / split / synset
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 60, (*rng.integers(40, 150, 2), 3)) + 40 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{synset}_{number}.JPEG")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMVISIONLLAMA_DATA", str(base))
        yield base


@pytest.fixture(scope="module")
def first_stage(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    options = [*CLASSES, *TINY, *at(32), "model.backbone.img_size=32"]
    return train("cls/visionllama_in1k_pre192.py", tmp_path_factory.mktemp("pre192"), *options)


@pytest.fixture(scope="module")
def visionllama_mae(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    options = [*DECODER, *at(64), "model.backbone.arch=tiny", "model.backbone.img_size=64"]
    work_dir = tmp_path_factory.mktemp("mae")
    return train("pretrain/visionllama_mae_in1k_800e.py", work_dir, *options, "model.neck.embed_dim=96")


@pytest.fixture(scope="module")
def vit_mae(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    options = [*DECODER, *at(64), *VIT, "model.backbone.img_size=64"]
    work_dir = tmp_path_factory.mktemp("vit_mae")
    return train("pretrain/vit_mae_in1k_800e.py", work_dir, *options, "model.neck.embed_dim=96")


def test_fewer_folders_than_classes_are_an_error_that_says_how_to_name_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = "configs/cls/visionllama_small_in1k.py"
    options = ["--work-dir", tmp_path / "run", "--cfg-options", *IN_PROCESS, *TINY]
    assert run("train", config, *options) == 2
    message = capsys.readouterr().err
    assert f"imagenet/train has 5 class folders ({', '.join(SYNSETS)}), the data set 1000 classes" in message
    assert "name them in dataset.metainfo.classes, and set model.head.num_classes=5" in message
    assert not (tmp_path / "run").exists()


def test_classes_are_named_in_a_file_as_well(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(SYNSETS))
    splits = ("train", "val", "test")
    by_file = [f"{split}_dataloader.dataset.classes={tmp_path / 'names.txt'}" for split in splits]
    cfg = load_config("configs/cls/visionllama_small_in1k.py", dict(x.split("=") for x in by_file))
    cfg.model.head.num_classes = cfg.data_preprocessor.num_classes = len(SYNSETS)
    assert check_training(cfg) == [
        f"ImageNet (training): {len(SYNSETS) * IMAGES['train']} images of {len(SYNSETS)} classes",
        f"ImageNet (evaluation): {len(SYNSETS) * IMAGES['val']} images of {len(SYNSETS)} classes",
    ]


def test_the_first_stage_trains_by_lamb_on_mixed_images_whose_classes_all_count_whole(
    first_stage: Trained,
) -> None:
    check_finished(first_stage, "accuracy/top1")
    calls = first_stage.calls
    assert calls["Lamb"] == calls["BinarizedCrossEntropyLoss"] == STEPS
    assert calls["Mixup"] + calls["CutMix"] == STEPS
    assert calls["RepeatAugSampler"] == EPOCHS
    assert calls["ThreeAugment"] == STEPS * BATCH
    assert not calls["AdamW"] + calls["RandAugment"] + calls["LabelSmoothLoss"]


def test_the_second_stage_begins_with_every_weight_of_the_first_at_a_larger_size(
    first_stage: Trained, tmp_path: Path
) -> None:
    options = [*CLASSES, *TINY, *at(48), "model.backbone.img_size=48", f"load_from={first_stage.checkpoint}"]
    second = train("cls/visionllama_in1k.py", tmp_path, *options)
    check_finished(second, "accuracy/top1")
    assert not_from(first_stage, second) == set()
    calls = second.calls
    assert calls["AdamW"] == calls["LabelSmoothLoss"] == calls["Mixup"] + calls["CutMix"] == STEPS
    assert calls["RandAugment"] == STEPS * BATCH
    assert not calls["Lamb"] + calls["RepeatAugSampler"] + calls["ThreeAugment"] + calls["RandomErasing"]


@pytest.mark.parametrize(
    ("model", "options", "parts"),
    [
        (
            "pyramid_visionllama_small",
            ["model.backbone.arch=tiny", "model.head.in_channels=160", "model.backbone.img_size=64"],
            {"AdamW", "RepeatAugSampler", "RandAugment", "RandomErasing", "LabelSmoothLoss"},
        ),
        (
            "deit3_small",
            [*TINY, "model.backbone.img_size=64"],
            {"Lamb", "RepeatAugSampler", "ThreeAugment", "BinarizedCrossEntropyLoss"},
        ),
        (
            "swin_tiny",
            [
                *arch("embed_dims=24 depths=[1,1,2,1] num_heads=[1,2,4,8]"),
                "model.backbone.pad_small_map=True",
                "model.backbone.img_size=64",
                "model.head.in_channels=192",
            ],
            {"AdamW", "RandAugment", "RandomErasing", "LabelSmoothLoss"},
        ),
        (
            "twins_svt_small",
            [
                *arch("embed_dims=[16,32,64,128] depths=[1,1,2,1] num_heads=[1,2,4,8] mlp_ratios=[2,2,2,2]"),
                *arch("patch_sizes=[4,2,2,2] strides=[4,2,2,2] sr_ratios=[8,4,2,1] window_sizes=[7,7,7,7]"),
                "model.head.in_channels=128",
            ],
            {"AdamW", "RandAugment", "RandomErasing", "LabelSmoothLoss"},
        ),
    ],
)
def test_a_supervised_config_trains_with_all_parts_of_its_recipe_and_no_others(
    model: str, options: list[str], parts: set[str], tmp_path: Path
) -> None:
    trained = train(f"cls/{model}_in1k.py", tmp_path, *CLASSES, *at(64), *options)
    check_finished(trained, "accuracy/top1")
    assert set(trained.calls) - {"Mixup", "CutMix"} == parts
    assert trained.calls["Mixup"] + trained.calls["CutMix"] == STEPS


@pytest.mark.parametrize("encoder", ["visionllama_mae", "vit_mae"])
def test_masked_pretraining_reconstructs_the_validation_images(
    encoder: str, request: pytest.FixtureRequest
) -> None:
    pretrained = request.getfixturevalue(encoder)
    check_finished(pretrained, "reconstruction/loss")
    assert pretrained.calls == {"AdamW": STEPS}


@pytest.mark.parametrize(
    ("encoder", "options", "new_norm"),
    [("visionllama_mae", TINY, "backbone.norms.all"), ("vit_mae", TINY_VIT, "backbone.ln2")],
)
def test_fine_tuning_begins_with_the_encoder_and_a_new_norm_and_head(
    encoder: str, options: list[str], new_norm: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pretrained = request.getfixturevalue(encoder)
    options = [*options, *CLASSES, *at(64), "model.backbone.img_size=64"]
    tuned = train(f"cls/{encoder}_finetune_in1k.py", tmp_path, *options, f"load_from={pretrained.checkpoint}")
    check_finished(tuned, "accuracy/top1")
    assert without_leaf(not_from(pretrained, tuned)) == {new_norm, "head.fc"}
    calls = tuned.calls
    assert calls["AdamW"] == calls["LabelSmoothLoss"] == calls["Mixup"] + calls["CutMix"] == STEPS
    assert calls["RandAugment"] == calls["RandomErasing"] == STEPS * BATCH
    assert not_from(tuned, tuned) == set(tuned.start)  # every weight has learned


@pytest.mark.parametrize(
    ("encoder", "options", "new"),
    [
        (
            "visionllama_mae",
            [*TINY, "model.neck.input_features=96", "model.backbone.frozen_stages=8"],
            {"backbone.norms.all", "neck.bn", "head.fc"},
        ),
        (
            "vit_mae",
            [*TINY_VIT, "model.neck.input_features=96", "model.backbone.frozen_stages=4"],
            {"neck.bn", "head.layers.head"},
        ),
    ],
)
def test_a_linear_probe_trains_the_head_alone_by_lars_on_the_encoder(
    encoder: str, options: list[str], new: set[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pretrained = request.getfixturevalue(encoder)
    options = [*options, *CLASSES, *at(64), "model.backbone.img_size=64"]
    probe = train(f"cls/{encoder}_linear_in1k.py", tmp_path, *options, f"load_from={pretrained.checkpoint}")
    check_finished(probe, "accuracy/top1")
    assert without_leaf(not_from(pretrained, probe)) == new
    assert probe.calls == {"LARS": STEPS}
    learned = not_from(probe, probe)
    assert without_leaf(learned) == {name for name in new if not name.startswith("backbone.")}
