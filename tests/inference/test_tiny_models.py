"""The models that lie in the package: by name, without network or data, as the documents say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

import mmvisionllama
from mmvisionllama.checkpoint.names import TINY, tiny_models
from mmvisionllama.checkpoint.released import RELEASED
from mmvisionllama.errors import CheckpointError
from mmvisionllama.inference.trained_model import load
from tests.house import ROOT
from tests.inference.models import NAMES
from tests.tools.commands import main

IMAGES = TINY / "images"
DOCUMENT = (ROOT / "docs" / "use.md").read_text()
FIRST = DOCUMENT.partition("\n## ")[0]
BLOCKS = dict(re.findall(r"```(python|shell)\n(.*?)```", FIRST, re.DOTALL))


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand where a clone has the package, and no data."""
    (tmp_path / "mmvisionllama").symlink_to(ROOT / "mmvisionllama")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path / "none"))
    return tmp_path


def test_there_is_a_model_of_each_task() -> None:
    assert sorted(NAMES.values()) == tiny_models()


@pytest.mark.parametrize("task", NAMES)
def test_a_name_gives_a_small_whole_folder_whose_card_and_document_have_the_measured_numbers(
    task: str, clone: Path
) -> None:
    name = NAMES[task]
    files = {x.name: x for x in (TINY / name).iterdir()}
    assert set(files) == {"model.safetensors", "config.json", "README.md", "training.jsonl", "example.png"}
    assert sum(x.stat().st_size for x in files.values()) < 3_000_000
    model = load(name)
    assert model.task == task
    assert {x.dtype for x in model.module.parameters()} == {torch.float32}
    card = ModelCard.load(files["README.md"])
    steps = [json.loads(line) for line in files["training.jsonl"].read_text().splitlines()]
    assert any("loss" in x for x in steps)
    row = next(x for x in DOCUMENT.splitlines() if x.startswith(f"| `{name}` | {task}"))
    for result in card.data.eval_results:
        assert f"| {result.metric_type} | {result.metric_value} |" in card.text
    shown = [f"{x.metric_type} {x.metric_value}" for x in card.data.eval_results]
    assert any(x in row for x in shown)
    (command,) = re.findall(r"\| command \| `(.*)` \|", card.text)
    assert command in DOCUMENT
    assert not re.search(r"/(work|home|root|tmp)\b", card.text + files["config.json"].read_text())


def test_they_see_the_digits_of_images_that_they_were_not_trained_with() -> None:
    detector, segmentor = load(NAMES["detection"]), load(NAMES["segmentation"])
    classifier, autoencoder = load(NAMES["classification"]), load(NAMES["reconstruction"])
    for number, digits in {3: {"0"}, 4: {"3"}, 8: {"2", "3"}}.items():
        image = IMAGES / f"DigitScenes_val_{number:06}.jpg"
        found = detector.predict(image).above(0.5)
        assert {found.name_of(int(x)) for x in found.labels} == digits
        seen = segmentor.predict(image)
        shares = np.bincount(seen.labels.ravel(), minlength=11) / seen.labels.size
        assert {seen.classes[i] for i in np.flatnonzero(shares > 0.05)} == {"background", *digits}
        if len(digits) == 1:
            assert classifier.predict(image).name in digits
        assert autoencoder.predict(image).loss < 0.8  # of 1 that a guess of the mean has


def test_an_unknown_name_is_told_the_names_there_are(clone: Path) -> None:
    with pytest.raises(CheckpointError, match="Did you mean 'visionllama-tiny-digitscenes'") as error:
        load("visionllama-tiny-digitscene")
    assert all(name in str(error.value) for name in [*NAMES.values(), *RELEASED])
    with pytest.raises(CheckpointError, match="does not exist, and no model has that name"):
        mmvisionllama.test("toy/visionllama_tiny_digits", "nothing")


def test_what_lies_at_a_path_comes_before_a_name(clone: Path) -> None:
    (clone / NAMES["classification"]).mkdir()
    with pytest.raises(CheckpointError, match="has no good checkpoint"):
        load(NAMES["classification"])


def test_the_ten_lines_of_the_document_run_in_a_clone(clone: Path) -> None:
    lines = BLOCKS["python"].splitlines()
    assert len([x for x in lines if x]) == 10
    exec(compile(BLOCKS["python"], "docs/use.md", "exec"), {})
    made = {"detection.png", "reconstruction.png", "sample.png", *(f"segmentation_{i}.png" for i in range(4))}
    assert {x.name for x in clone.glob("*.png")} == made


def test_the_commands_of_the_document_run_in_a_clone(clone: Path) -> None:
    commands = [line.split() for line in BLOCKS["shell"].splitlines()]
    assert [x[1] for x in commands] == ["predict", "sample", "export", "demo"]
    assert all(name in tiny_models() for name in commands[-1][2:])
    for program, command, *arguments in commands[:-1]:
        assert program == "mmvisionllama"
        assert main(command, *arguments) == 0
    assert len(list((clone / "predictions").glob("*.png"))) == 8  # pictures and labels
    assert len(list((clone / "samples").glob("0*.png"))) == 10
    assert (clone / "visionllama-tiny-digitscenes.onnx").is_file()


def test_a_training_starts_from_a_name_and_a_test_measures_it(data: Path, tmp_path: Path) -> None:
    config, name = "toy/visionllama_tiny_digitscenes", NAMES["classification"]
    alone = {f"{x}_dataloader.num_workers": 0 for x in ("train", "val", "test")}
    alone |= {f"{x}_dataloader.persistent_workers": False for x in ("train", "val", "test")}
    metrics = mmvisionllama.test(config, name, work_dir=tmp_path / "test", cfg_options=alone)
    right = [x.name == Path(x.image.name).parent.name for x in load(name).predict(data / "cls/val")]
    assert metrics["accuracy/top1"] == pytest.approx(100 * np.mean(right), abs=0.01)
    start = alone | {"load_from": name, "train_cfg.max_iters": 1, "train_cfg.val_interval": 1}
    start |= {"param_scheduler": [], "optim_wrapper.optimizer.lr": 0.0, "train_dataloader.batch_size": 2}
    assert mmvisionllama.train(config, work_dir=tmp_path / "train", cfg_options=start) == metrics
    with pytest.raises(CheckpointError, match="no model has that name"):
        mmvisionllama.train(config, work_dir=tmp_path / "none", cfg_options={**start, "load_from": "nothing"})
