"""The command from a folder to a trained model, for each task, with trainings of a few steps."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvisionllama.errors import ExitStatus
from mmvisionllama.inference.trained_model import load
from tests.finetuning.trees import coco, image, images, mask
from tests.tools.commands import IN_PROCESS, log_text, main, summary


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finetune")


@pytest.fixture(scope="module")
def pretrained(base: Path) -> Path:
    """The work directory of a pre-training on images without labels, in folders of any names."""
    for name in ("here", "there/deeper"):
        images(base / "unlabelled" / name, 6)
    options = ["--task", "pretrain", "--model", "visionllama_tiny", "--epochs", "1"]
    assert main("finetune", base / "unlabelled", *options, "--out", base / "pretrained") == 0
    return base / "pretrained" / "training"


@pytest.fixture(scope="module")
def animals(base: Path) -> Path:
    for part, count in (("train", 4), ("val", 2), ("test", 2)):
        for label in ("cat", "dog", "fox"):
            images(base / "animals" / part / label, count)
    return base / "animals"


@pytest.fixture(scope="module")
def classifier(base: Path, animals: Path, pretrained: Path) -> Path:
    """The folder of a classifier that starts from the pre-training."""
    options = ["--task", "cls", "--init", pretrained, "--epochs", "1"]
    assert main("finetune", animals, *options, "--out", base / "classifier") == 0
    return base / "classifier"


def test_pretraining_draws_reconstructions(pretrained: Path) -> None:
    assert (pretrained / "predictions.png").is_file()
    assert "reconstruction/loss" in summary(pretrained)["last"]


def test_a_classifier_starts_from_the_pretraining_and_is_tested(classifier: Path) -> None:
    log = log_text(classifier / "training")
    assert "loads in part" in log
    assert "head.fc.weight" in log  # new
    assert (classifier / "training" / "confusion.png").is_file()  # of the test
    assert load(classifier / "training").classes == ("cat", "dog", "fox")


def test_other_classes_start_from_the_classifier_with_the_rows_of_those_they_share(
    base: Path, classifier: Path, tmp_path: Path
) -> None:
    for label in ("fox", "owl"):
        images(tmp_path / "data" / label, 4)
    out = tmp_path / "out"
    options = ["--task", "cls", "--init", classifier / "training", "--epochs", "1", "--no-train"]
    assert main("finetune", tmp_path / "data", *options, "--out", out) == 0
    (config,) = out.glob("*.py")
    # A rate of zero: what is saved is what the training began with.
    options = ["--cfg-options", "optim_wrapper.optimizer.lr=0.0", *IN_PROCESS]
    assert main("train", config, "--launcher", "none", *options) == 0
    before, after = (load(x / "training").module.head.fc for x in (classifier, out))
    np.testing.assert_array_equal(after.weight[0].detach(), before.weight[2].detach())
    assert not any((after.weight[1] == row).all() for row in before.weight)
    assert "1 kept (fox); 1 new (owl); 2 dropped (cat, dog)" in log_text(out / "training")


def test_images_and_masks_train_a_segmentor_that_predicts_in_tiles(base: Path, tmp_path: Path) -> None:
    for i in range(5):
        image(tmp_path / "data" / "images" / f"{i}.jpg")
        mask(tmp_path / "data" / "masks" / f"{i}.png", (0, 255))
    out = tmp_path / "out"
    options = ["--task", "seg", "--model", "pyramid_visionllama_tiny", "--epochs", "1"]
    assert main("finetune", tmp_path / "data", *options, "--out", out) == 0
    big = image(tmp_path / "big.png", 100, 70)
    assert main("predict", out / "training", big, "--tile", "32", "--out", tmp_path / "found") == 0
    assert np.asarray(Image.open(tmp_path / "found" / "big_labels.png")).shape == (70, 100)


def test_boxes_alone_train_a_detector_that_predicts_in_tiles(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("val", 2)):
        coco(tmp_path / "data", part, count, masks=False)
    out = tmp_path / "out"
    options = ["--task", "det", "--model", "visionllama_tiny", "--epochs", "1"]
    assert main("finetune", tmp_path / "data", *options, "--out", out) == 0
    model = load(out / "training")
    assert (model.classes, model.module.with_mask) == (("cat", "dog"), False)
    big = image(tmp_path / "big.png", 80, 60)
    options = ["--tile", "32", "--score-thr", "0", "--csv"]
    assert main("predict", out / "training", big, *options, "--out", tmp_path / "found") == 0
    assert (tmp_path / "found" / "big.png").is_file()
    assert (tmp_path / "found" / "predictions.csv").is_file()


def test_the_next_commands_are_named_and_a_second_call_writes_over_nothing(
    classifier: Path, animals: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ["--task", "cls", "--model", "visionllama_tiny"]
    assert main("finetune", animals, *options, "--out", classifier) == ExitStatus.USER_ERROR
    assert "is there and not empty; train by its config" in capsys.readouterr().err
    assert main("finetune", animals, *options, "--no-train", "--out", tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert "class folders in" in told
    assert "next: " in told
    assert "train.sh" in told


def test_a_training_that_was_stopped_is_told_how_to_go_on(
    animals: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = []
    monkeypatch.setattr(
        "mmvisionllama.cli.commands.main", lambda arguments: typed.extend(arguments) or ExitStatus.STOPPED
    )
    options = ["--task", "cls", "--model", "visionllama_tiny", "--out", tmp_path / "out"]
    assert main("finetune", animals, *options, "--track", "wandb,mlflow") == ExitStatus.STOPPED
    assert typed[-1] == "--track=wandb,mlflow"
    (config,) = (tmp_path / "out").glob("*.py")
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith("to go on: ")
    assert told.endswith(f"train.sh {config} --resume --track=wandb,mlflow")


def test_numbers_and_names_that_cannot_be_are_refused_in_a_line(
    animals: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = ["--out", tmp_path / "out"]
    for options, told in (
        (["--task", "cls", "--batch", "0"], "a whole number of at least 1"),
        (["--task", "cls", "--epochs", "1", "--minutes", "2"], "not allowed with argument"),
        (["--task", "all"], "invalid choice: 'all'"),
    ):
        with pytest.raises(SystemExit) as ended:
            main("finetune", animals, *options, *out)
        assert ended.value.code == ExitStatus.USER_ERROR
        assert told in capsys.readouterr().err
    assert main("finetune", animals, "--task", "det", *out) == ExitStatus.USER_ERROR
    assert "has none of the layouts of --task det" in capsys.readouterr().err
    assert main("finetune", animals, "--task", "cls", "--track", "wandbb", *out) == ExitStatus.USER_ERROR
    assert "--track wandbb: no such tracker. Did you mean 'wandb'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
