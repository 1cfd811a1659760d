"""The command that evaluates one checkpoint at many sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmvisionllama.config import load_config
from tests.tools.commands import main, parser_of

CONFIG = """
default_scope = "mmpretrain"
model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="mmvisionllama.PyramidVisionLLaMA",
        arch=dict(embed_dims=(8, 8, 16, 16), depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2)),
        img_size=32,
    ),
    head=dict(type="LinearClsHead", num_classes=2, in_channels=16),
)
data_preprocessor = dict(num_classes=2, mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True)
test_dataloader = dict(
    batch_size=3,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CustomDataset",
        data_root="images",
        data_prefix="val",
        pipeline=[dict(type="mmvisionllama.LoadImageFromFile"), dict(type="PackInputs")],
    ),
)
test_cfg = dict()
test_evaluator = dict(type="Accuracy", topk=(1, 2))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a config, its checkpoint and six images of two classes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        folder = tmp_path / "images" / "val" / name
        folder.mkdir(parents=True)
        for index, size in enumerate([(40, 48), (64, 32), (50, 50)]):
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    Path("small.py").write_text(CONFIG)
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(load_config("small.py").model).state_dict()), "small.pth")
    return tmp_path


def test_the_command_line_is_frozen() -> None:
    parser = parser_of("resolution_sweep")
    names = sorted(name for action in parser._actions for name in action.option_strings or [action.dest])
    options = ["--cfg-options", "--help", "--out", "--positions", "--sizes", "-h"]
    assert names == sorted(["config", "checkpoint", *options])


def test_every_size_and_kind_of_positions_is_in_the_table_the_json_and_the_picture(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--sizes", "32", "64", "32x48", "--positions", "AS2DRoPE", "RoPE2D", "NTKRoPE2D:5"]
    assert main("resolution_sweep", "small.py", "small.pth", *options) == 0
    printed = capsys.readouterr().out
    out = here / "work_dirs" / "small" / "resolution"
    written = json.loads((out / "resolution.json").read_text())
    assert (written["config"], written["checkpoint"]) == ("small.py", "small.pth")
    assert [(x["size"], x["positions"]) for x in written["results"]] == [
        (size, kind) for size in ("32", "64", "32x48") for kind in ("AS2DRoPE", "RoPE2D", "NTKRoPE2D:5")
    ]
    for row in written["results"]:
        assert set(row["metrics"]) == {"accuracy/top1", "accuracy/top2"}
        assert row["metrics"]["accuracy/top2"] == 100
        assert f"{row['positions']}" in printed
        assert f"{row['metrics']['accuracy/top1']:.2f}" in printed
    assert written["results"][0]["metrics"] == written["results"][1]["metrics"]  # scale 1 where it trained
    with Image.open(out / "resolution.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300


def test_auto_scaled_and_plain_positions_are_compared_unless_others_are_asked_for(here: Path) -> None:
    assert main("resolution_sweep", "small.py", "small.pth", "--sizes", "48", "48", "--out", "new") == 0
    written = json.loads(Path("new/resolution.json").read_text())
    assert [(x["size"], x["positions"]) for x in written["results"]] == [("48", "AS2DRoPE"), ("48", "RoPE2D")]
    assert sorted(x.name for x in Path("new").iterdir()) == ["resolution.json", "resolution.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small.py", "smal.pth"], "checkpoint smal.pth does not exist; nearest files there: small.pth"),
        (["smal.py", "small.pth"], "smal.py"),
        (["small.py", "small.pth", "--sizes", "32", "big"], "HEIGHTxWIDTH in pixels, got 'big'"),
        (["small.py", "small.pth", "--sizes", "32", "3", "64x2"], "sizes 3, 64x2: smaller than a patch"),
        (
            ["small.py", "small.pth", "--positions", "NTKRope:5"],
            "unknown positions 'NTKRope'. Did you mean 'NTKRoPE2D'?",
        ),
        (["small.py", "small.pth", "--positions", "RoPE2D:5"], "RoPE2D takes no number"),
        (
            ["small.py", "small.pth", "--cfg-options", "model.head.in_channels=8"],
            "small.pth is a checkpoint of another model",
        ),
        (
            ["small.py", "small.pth", "--cfg-options", "test_dataloader.dataset.data_root=nowhere"],
            "nowhere does not exist",
        ),
        (
            ["configs/toy/visionllama_tiny_upernet_digitscenes.py", "small.pth"],
            "a sweep is of an ImageClassifier, this is EncoderDecoder",
        ),
    ],
)
def test_what_cannot_work_ends_with_one_message_and_leaves_no_trace(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    before = sorted(here.iterdir())
    assert main("resolution_sweep", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error
    assert sorted(here.iterdir()) == before
