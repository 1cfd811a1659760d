"""Sizes, batch, length and rate by the data; the backbone by a name or a checkpoint; what is measured."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmvisionllama.errors import ArgumentError, CheckpointError, DataError, LaunchError
from mmvisionllama.finetuning.backbones import Backbone, choose_backbone
from mmvisionllama.finetuning.found_data import Annotated, FoundData, ImageObject, Sample, Task
from mmvisionllama.finetuning.limits import fit_batch, fit_minutes
from mmvisionllama.finetuning.recipe import Recipe, choose_recipe
from mmvisionllama.training.dry_run import DryRun
from tests.finetuning.trees import image

TINY, SMALL = (Backbone(f"visionllama_{x}", x, {}) for x in ("tiny", "small"))
PYRAMID = Backbone("pyramid_visionllama_tiny", "tiny", {})


def data(count: int, width: int, height: int, side: float = 20) -> FoundData:
    """Return data whose sizes no file must be read for."""
    label = Annotated(width, height, (ImageObject("a", (0, 0, side, side)),))
    return FoundData("", Path(), {"train": tuple(Sample(Path(f"{i}.png"), label) for i in range(count))})


@pytest.mark.parametrize(
    ("task", "backbone", "hw", "side", "patch", "image_wh"),
    [
        ("cls", TINY, (8, 8), 8, 2, (8, 8)),
        ("cls", TINY, (28, 28), 32, 4, (28, 28)),
        ("cls", TINY, (480, 640), 64, 8, (85, 64)),
        ("cls", SMALL, (480, 640), 224, 16, (299, 224)),
        ("cls", SMALL, (100, 100), 112, 16, (100, 100)),
        ("cls", PYRAMID, (20, 20), 32, 4, (20, 20)),
        ("seg", TINY, (300, 300), 256, 8, (300, 300)),
        ("seg", SMALL, (1025, 2050), 512, 16, (1024, 512)),
        ("det", TINY, (480, 640), 240, 16, (320, 240)),
        ("det", TINY, (80, 100), 80, 8, (100, 80)),
        ("det", SMALL, (1000, 1000), 800, 16, (800, 800)),
        ("pretrain", SMALL, (500, 500), 224, 16, (224, 224)),
    ],
)
def test_images_are_trained_at_sizes_that_suit_them_and_the_model(
    task: Task, backbone: Backbone, hw: tuple[int, int], side: int, patch: int, image_wh: tuple[int, int]
) -> None:
    recipe = choose_recipe(task, data(100, hw[1], hw[0]), backbone)
    assert (recipe.side, recipe.patch_size, recipe.image) == (side, patch, image_wh)
    assert recipe.shrinks == (image_wh[0] < hw[1])


def test_few_images_mean_more_epochs_and_smaller_batches() -> None:
    few, many = (choose_recipe("cls", data(x, 64, 64), TINY) for x in (40, 20_000))
    assert few.epochs > many.epochs
    assert few.batch <= 40 / 8 < many.batch
    assert choose_recipe("cls", data(2, 64, 64), TINY).batch == 2


def test_what_is_given_is_taken() -> None:
    recipe = choose_recipe("cls", data(50, 64, 64), TINY, size=48, batch=7, epochs=3, flips=False)
    assert (recipe.side, recipe.batch, recipe.epochs, recipe.flips) == (48, 7, 3, False)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch": 51}, "--batch 51: there are 50 images for training"),
        ({"size": 4}, "--size 4: visionllama_tiny needs images of 8 px at least"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options: dict, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        choose_recipe("cls", data(50, 64, 64), TINY, **options)


def test_mae_of_a_pyramid_is_refused_with_a_model_that_works() -> None:
    with pytest.raises(ArgumentError, match=r"MAE needs a plain backbone, e\.g\. --model visionllama_tiny"):
        choose_recipe("pretrain", data(50, 64, 64), PYRAMID)


def test_images_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    found = FoundData("", tmp_path, {"train": (Sample(tmp_path / "x.png", "a"),)})
    with pytest.raises(DataError, match=r"none of the images can be read: x\.png"):
        choose_recipe("cls", found, TINY)
    image(tmp_path / "x.png", 40, 30)
    assert choose_recipe("cls", found, TINY).image == (40, 30)


def save(folder: Path, backbone: dict) -> Path:
    path = folder / "weights.pth"
    torch.save({"state_dict": {}, "meta": {"model": {"type": "X", "backbone": backbone}}}, path)
    return path


def test_a_checkpoint_brings_the_settings_of_its_backbone(tmp_path: Path) -> None:
    kept = dict(type="mmvisionllama.MAEVisionLLaMA", arch="tiny", img_size=64, patch_size=4, mask_ratio=0.5)
    backbone = choose_backbone(None, save(tmp_path, kept), "visionllama_small")
    assert backbone.model == "visionllama_tiny"
    assert backbone.kept == {"layer_scale": None, "img_size": 64, "patch_size": 4}
    assert choose_recipe("cls", data(50, 64, 64), backbone).patch_size == 4


@pytest.mark.parametrize(
    ("model", "backbone", "error", "told"),
    [
        ("visionllama_smal", None, ArgumentError, "no such model. Did you mean 'visionllama_small'"),
        (
            "visionllama_small",
            dict(type="mmvisionllama.VisionLLaMA", arch="tiny"),
            ArgumentError,
            "is a visionllama_tiny; leave --model out",
        ),
        (None, dict(type="mmpretrain.ResNet"), CheckpointError, "its backbone is a ResNet"),
        (None, {}, CheckpointError, "it does not say of which model it is"),
    ],
)
def test_a_model_that_is_not_known_or_another_than_the_start_is_refused(
    tmp_path: Path, model: str | None, backbone: dict | None, error: type[Exception], told: str
) -> None:
    init = None if backbone is None else save(tmp_path, backbone)
    with pytest.raises(error, match=told):
        choose_backbone(model, init, "visionllama_tiny")


RECIPE = choose_recipe("cls", data(1000, 64, 64), TINY)


def run(step: float, peak: int = 0, val: float = 0.0) -> DryRun:
    return DryRun(
        1.0, step, 1, peak, {}, val_seconds=val, val_batches=10 if val else 0, validations=10 if val else 0
    )


def test_the_batch_grows_while_that_pays_off() -> None:
    def measure(recipe: Recipe) -> DryRun:
        return run(1.0 if recipe.batch <= 16 else recipe.batch / 16)

    assert fit_batch(RECIPE, 1000, measure).batch == 16


def test_the_batch_grows_while_there_is_room() -> None:
    def measure(recipe: Recipe) -> DryRun:
        if recipe.batch > 8:
            raise torch.OutOfMemoryError("no room")
        return run(1.0)

    assert fit_batch(RECIPE, 1000, measure).batch == 8
    with pytest.raises(LaunchError, match="2 images of 64 px find no room in memory"):
        fit_batch(RECIPE, 1000, lambda recipe: run(1.0, peak=1 << 60))


def test_the_batch_leaves_eight_steps_to_an_epoch() -> None:
    assert fit_batch(RECIPE, 100, lambda recipe: run(1.0)).batch == 8


def test_minutes_are_turned_into_epochs_of_steps_and_validations() -> None:
    recipe = replace(RECIPE, batch=10)
    assert fit_minutes(recipe, 1000, 10, run(0.1)).epochs == 54  # of 540 s, 10 s each
    assert fit_minutes(recipe, 1000, 10, run(0.1, val=1.0)).epochs == 44  # 100 s less
    assert fit_minutes(recipe, 1000, 0.01, run(0.1)).epochs == 1


def test_a_start_without_a_named_size_has_the_heads_of_tiny_models_if_it_is_no_wider() -> None:
    narrow = choose_backbone(None, "pyramid-visionllama-tiny-maskrcnn-digitscenes-narrow", "")
    assert (narrow.model, narrow.is_tiny) == ("pyramid_visionllama_own", True)
    wide = replace(narrow, arch={**narrow.arch, "embed_dims": (64, 128, 256, 512)})
    assert not wide.is_tiny
