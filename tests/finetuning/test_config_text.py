"""The text of a config: what it means, and how it is laid out."""

import subprocess
import sys
from pathlib import Path

from mmvisionllama.finetuning.config_text import Name, With, assignment

SETTINGS = dict(
    _data=dict(type="X", data_root='a "quoted" folder', metainfo=dict(classes=["ä", "b"])),
    train_dataloader=dict(
        batch_size=4,
        dataset=With(
            Name("_data"), dict(ann_file="train.txt", pipeline=[dict(type="Load"), dict(type="Pack")])
        ),
        one=(1,),
        scale=(64, 64),
        rate=1e-05,
        nothing=None,
        long=["a" * 60, "b" * 60],
        empty=[],
    ),
    test_dataloader=Name("train_dataloader"),
)
TEXT = "\n".join(assignment(name, value) for name, value in SETTINGS.items()) + "\n"


def test_the_text_says_what_the_settings_are() -> None:
    found: dict = {}
    exec(TEXT, found)
    assert found["_data"] == SETTINGS["_data"]
    loader = found["train_dataloader"]
    assert loader["dataset"] == {
        **SETTINGS["_data"],
        "ann_file": "train.txt",
        "pipeline": [{"type": "Load"}, {"type": "Pack"}],
    }
    for key in ("one", "scale", "rate", "nothing", "long", "empty"):
        assert loader[key] == SETTINGS["train_dataloader"][key]
    assert found["test_dataloader"] is loader


def test_lines_are_as_long_as_in_the_shipped_configs() -> None:
    assert max(map(len, TEXT.splitlines())) <= 110


def test_the_formatter_of_this_repository_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.py"
    file.write_text(TEXT)
    command = [sys.executable, "-m", "ruff", "format", "--check", "--line-length", "110", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
