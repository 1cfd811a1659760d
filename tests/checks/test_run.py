"""What cannot become a training is refused by the command, in one message and without a trace."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmvisionllama import VisionLLaMA
from mmvisionllama.checks.run import build_model, check_testing, size_check_of
from mmvisionllama.config import load_config
from mmvisionllama.config.option_values import parse_options
from mmvisionllama.training.checkpoint_content import plain_config
from tests.tools.commands import IN_PROCESS, run

CLASSIFIER = "configs/toy/visionllama_tiny_digitscenes.py"
MASKED = "configs/toy/visionllama_tiny_mae_digitscenes.py"
VIT = ["model.backbone.type=MAEViT", "model.backbone.arch=deit-tiny", "model.neck.embed_dim=192"]
DIGITS = tuple("0123456789")


def write(base: Path, split: str, classes: tuple[str, ...] = DIGITS, side: int = 64) -> None:
    """Write an image of each class where the configs look for DigitScenes."""
    for label, name in enumerate(classes):
        folder = base / "digitscenes" / "cls" / split / name
        folder.mkdir(parents=True)
        Image.fromarray(np.full((side, side, 3), 25 * label, np.uint8)).save(folder / "0.jpg")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("sound")
    for split in ("train", "val"):
        write(base, split)
    return base


@pytest.fixture
def error_of(
    tmp_path: Path, sound: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return ``run_refused(config, *options)``, which gives the message of a training that must not start."""
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(sound))

    def run_refused(config: str, *options: str) -> str:
        work_dir = tmp_path / "work"
        assert run("train", config, "--work-dir", work_dir, "--cfg-options", *IN_PROCESS, *options) == 2
        assert not work_dir.exists()
        message = capfd.readouterr().err
        assert len(re.findall("^error: ", message, re.MULTILINE)) == 1
        assert "Traceback" not in message
        return message

    return run_refused


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a checkpoint of the classifier, as a training saves it."""
    cfg = load_config(CLASSIFIER)
    path = tmp_path_factory.mktemp("trained") / "iter_1500.pth"
    meta = {"model": plain_config(cfg.model), "cfg": cfg.pretty_text}
    torch.save({"meta": meta, "state_dict": build_model(cfg).state_dict()}, path)
    return str(path)


SIX_HEADS = "model.backbone.arch=dict(embed_dims=96,num_layers=8,num_heads=6)"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (SIX_HEADS, "model.backbone.arch.num_heads: 3 in the checkpoint, 6 in the config"),
        ("model.backbone.rope=dict(type=AS2DRoPE,base=100)", "rope.base: 10000.0 in the checkpoint, 100 in"),
    ],
)
def test_a_start_from_a_model_whose_weights_mean_something_else(
    error_of: Callable, trained: str, option: str, told: str
) -> None:
    assert told in error_of(CLASSIFIER, f"load_from={trained}", option)


def test_a_pretrained_backbone_whose_weights_mean_something_else(error_of: Callable, trained: str) -> None:
    init_cfg = f'model.backbone.init_cfg=dict(type=Pretrained,checkpoint="{trained}",prefix=backbone)'
    assert "num_heads: 3 in the checkpoint" in error_of(CLASSIFIER, init_cfg, SIX_HEADS)


@pytest.mark.parametrize("change", ["rope=None", "rope.type=RoPE1D", "img_size=224"])
def test_a_test_of_a_model_whose_weights_mean_something_else(
    sound: Path,
    trained: str,
    change: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(sound))
    options = ["--work-dir", tmp_path / "work", "--cfg-options", *IN_PROCESS, f"model.backbone.{change}"]
    assert run("test", CLASSIFIER, trained, *options) == 2
    message = capfd.readouterr().err
    (accepting,) = re.findall("--cfg-options '(.+)'", message)
    assert accepting.startswith(f"accepted_differences=[model.backbone.{change.partition('=')[0]}")
    assert not (tmp_path / "work").exists()
    given = parse_options([f"model.backbone.{change}", accepting, f"load_from={trained}"])
    assert "accepted: model.backbone." in check_testing(load_config(CLASSIFIER, given))[0]


def test_class_folders_that_differ_between_training_and_validation(
    error_of: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "train")
    write(tmp_path, "val", (*DIGITS[:9], "nine"))
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    root = tmp_path / "digitscenes" / "cls"
    assert f"{root}/train alone has 9; {root}/val alone has nine" in error_of(CLASSIFIER)


def test_fewer_class_folders_than_the_head_has_classes(
    error_of: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "val"):
        write(tmp_path, split, ("0", "1", "2"))
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    message = error_of(CLASSIFIER)
    assert "the data set has 3 classes (0, 1, 2), the model's head predicts 10" in message
    assert "model.head.num_classes=3" in message


def test_a_generator_of_other_classes_than_the_data_has(error_of: Callable) -> None:
    message = error_of("configs/toy/dit_visionllama_tiny_digits.py", "model.network.num_classes=3")
    assert "the data set has 10 classes" in message
    assert "model.network.num_classes of a generator" in message


def test_images_that_are_all_of_one_class(
    error_of: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "train", ("7",))
    for name in DIGITS:
        (tmp_path / "digitscenes" / "cls" / "train" / name).mkdir(exist_ok=True)
    write(tmp_path, "val")
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    assert "are of one class, '7'; there must be images of at least two of the 10 classes" in error_of(
        CLASSIFIER
    )


def test_labels_mixed_for_another_number_of_classes_than_the_head_has(error_of: Callable) -> None:
    mixup = ["model.train_cfg.augments.type=Mixup", "model.train_cfg.augments.alpha=0.8"]
    message = error_of(CLASSIFIER, *mixup, "data_preprocessor.num_classes=1000")
    assert "data_preprocessor.num_classes=1000, but model.head.num_classes=10" in message


def test_an_accuracy_among_more_classes_than_there_are(error_of: Callable) -> None:
    message = error_of(CLASSIFIER, "val_evaluator.topk=(1,20)")
    assert "val_evaluator: Accuracy has topk=(1, 20), but model.head.num_classes=10" in message


@pytest.mark.parametrize("encoder", [[], VIT], ids=["visionllama", "vit"])
@pytest.mark.parametrize("ratio", ["1.0", "0.995", "0.005", "0.0", "-0.25", "1.5"])
def test_a_mask_ratio_that_keeps_no_patch_or_hides_none(
    error_of: Callable, encoder: list[str], ratio: str
) -> None:
    message = error_of(MASKED, *encoder, f"model.backbone.mask_ratio={ratio}")
    assert re.search(rf"mask_ratio.* in \(0, 1\).*{ratio}", message)


def test_an_image_size_below_a_patch(error_of: Callable) -> None:
    message = error_of(CLASSIFIER, "model.backbone.img_size=(64,4)")
    assert "img_size (64, 4) (height, width) is smaller than a patch of 8 pixels" in message


@pytest.mark.parametrize("config", [CLASSIFIER, MASKED])
def test_crops_below_a_patch(error_of: Callable, config: str) -> None:
    message = error_of(config, "train_dataloader.dataset.pipeline.1.scale=4")
    assert (
        "(training): its pipeline gives images of 4 x 4 px, smaller than a patch of the model (8 x 8 px)"
        in message
    )


def test_images_that_the_preprocessor_pads_to_a_patch_suit_the_model() -> None:
    fits = size_check_of(build_model(load_config(CLASSIFIER, {"data_preprocessor.pad_size_divisor": 64})))
    assert fits((4, 65)) is None
    assert "smaller than a patch" in size_check_of(build_model(load_config(CLASSIFIER)))((4, 65))


def test_a_pipeline_of_random_sizes_is_refused_every_time_for_the_same_image(error_of: Callable) -> None:
    resize = "dict(_delete_=True, type='RandomResize', scale=(8, 8), ratio_range=(0.1, 1.0))"
    messages = set()
    for seed in range(3):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        messages.add(error_of(CLASSIFIER, f"train_dataloader.dataset.pipeline.1={resize}"))
    assert len(messages) == 1
    assert "smaller than a patch" in messages.pop()


def test_validation_images_below_a_patch(
    error_of: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "train")
    write(tmp_path, "val", side=6)
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    assert "(evaluation): its pipeline gives images of 6 x 6 px, smaller than a patch" in error_of(CLASSIFIER)


@pytest.mark.parametrize("encoder", [[], [*VIT, "model.backbone.img_size=64"]], ids=["visionllama", "vit"])
def test_crops_of_another_size_than_a_masked_model_takes(error_of: Callable, encoder: list[str]) -> None:
    message = error_of(MASKED, *encoder, "train_dataloader.dataset.pipeline.1.scale=48")
    assert "gives images of 48 x 48 px, the masked model takes 64 x 64 px alone" in message


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("model.backbone.img_size=32", "neck.num_patches is 64, the encoder has 16"),
        ("model.neck.embed_dim=64", "neck.embed_dim is 64, the encoder has 96"),
        ("model.neck.patch_size=16", "neck.patch_size ** 2 x neck.in_chans is 768, the encoder has 192"),
        ("model.head.patch_size=4", "head.patch_size is 4, the encoder has 8"),
    ],
)
def test_a_masked_model_whose_parts_are_of_different_sizes(
    error_of: Callable, option: str, text: str
) -> None:
    assert text in error_of(MASKED, option)


def test_a_first_image_that_an_evaluation_needs_and_cannot_read(
    error_of: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "val"):
        write(tmp_path, split)
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    broken = tmp_path / "digitscenes" / "cls" / "val" / "0" / "0.jpg"
    broken.write_bytes(broken.read_bytes()[:-8])
    assert "1 images cannot be read: 0/0.jpg" in error_of(CLASSIFIER)


def head() -> dict[str, Tensor]:
    return {"head.fc.weight": torch.zeros(10, 96), "head.fc.bias": torch.zeros(10)}


def patches() -> dict[str, Tensor]:
    weights = VisionLLaMA("tiny", patch_size=8).state_dict()
    return {f"backbone.{name}": x for name, x in weights.items() if name.startswith("patch_embed")}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"state_dict": head()}, r"it gives 0 of the backbone's 92 weights:\n  2 weights match"),
        ({"state_dict": head() | patches()}, r"it gives 2 of the backbone's 92 weights:\n  4 weights match"),
        ({"layer1.0.conv1.weight": torch.zeros(4, 4)}, r"1 only in the checkpoint: layer1\.0\.conv1\.weight"),
        ({"model": {"blocks.0.qkv": torch.zeros(4)}}, "no weights at its top level .* it has 'model'"),
        ({"state_dict": {}}, "holds no weights: it is empty"),
        ({}, "holds no weights: it is empty"),
    ],
    ids=["head alone", "head and patches", "other project", "nested deeper", "empty state dict", "empty"],
)
def test_a_checkpoint_without_a_backbone(
    error_of: Callable, tmp_path: Path, content: dict, text: str
) -> None:
    torch.save(content, tmp_path / "start.pth")
    message = error_of(CLASSIFIER, f"load_from={tmp_path / 'start.pth'}")
    assert f"{tmp_path}/start.pth" in message
    assert re.search(text, message)
