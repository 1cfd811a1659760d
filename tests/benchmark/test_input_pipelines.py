"""Measurements of training pipelines: images, peers of the same policy, rates."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmvisionllama.benchmark.input_pipelines import measure_alone, pipelines_of
from mmvisionllama.benchmark.peer_pipelines import peer_of
from mmvisionllama.benchmark.sample_images import SIZE, make_images, records_of
from mmvisionllama.errors import ConfigError
from tests.configs.shipped import load
from tests.tools.commands import main

RANDAUG, THREE, MAE = (
    f"configs/{name}.py"
    for name in (
        "cls/pyramid_visionllama_in1k",
        "cls/visionllama_small_in1k",
        "pretrain/visionllama_mae_in1k_800e",
    )
)
HAS_TIMM = importlib.util.find_spec("timm") is not None


def steps_of(name: str) -> list[dict]:
    return load(name).train_dataloader.dataset.pipeline


def test_images_that_are_made_are_whole_photographs_of_their_size(tmp_path: Path) -> None:
    records = make_images(tmp_path, 8)
    pixels = [np.asarray(Image.open(record["img_path"])) for record in records]
    assert {x.shape for x in pixels} == {(SIZE[1], SIZE[0], 3)}
    assert all(x.std() > 20 for x in pixels)
    assert len({x.tobytes() for x in pixels}) == 8


def test_images_of_the_data_set_are_taken_where_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "n0"
    folder.mkdir()
    names = {record["img_path"] for record in make_images(folder, 5)}
    dataset = dict(type="CustomDataset", data_root=str(tmp_path), pipeline=[])
    cfg = Config(dict(default_scope="mmpretrain", train_dataloader=dict(dataset=dataset)))
    assert {record["img_path"] for record in records_of(cfg, 9)} == names
    assert len(records_of(cfg, 3)) == 3
    dataset["data_root"] = str(tmp_path / "missing")
    cfg = Config(dict(default_scope="mmpretrain", train_dataloader=dict(dataset=dataset)))
    assert records_of(cfg, 9) is None


def test_a_data_set_without_image_files_is_an_error() -> None:
    dataset = dict(type="mmvisionllama.SklearnDigits", split="train", pipeline=[])
    cfg = Config(dict(default_scope="mmpretrain", train_dataloader=dict(dataset=dataset)))
    with pytest.raises(ConfigError, match="SklearnDigits keeps no image files"):
        records_of(cfg, 2)


@pytest.mark.skipif(not HAS_TIMM, reason="timm is an extra of development")
@pytest.mark.parametrize(
    ("name", "policy"), [(RANDAUG, "timm, rand-m9-n2-mstd0.5-inc1"), (THREE, "timm, 3a")]
)
def test_the_peer_has_the_policy_of_the_config(name: str, policy: str, tmp_path: Path) -> None:
    peer = peer_of(steps_of(name))
    assert peer.name == policy
    (record,) = make_images(tmp_path, 1)
    image, label = peer(record)
    assert (tuple(image.shape), str(image.dtype), label) == ((3, 224, 224), "torch.uint8", 0)


def test_crops_and_flips_alone_have_torchvisions_as_peer(tmp_path: Path) -> None:
    peer = peer_of(steps_of(MAE))
    assert peer.name == "torchvision, crop and flip"
    (record,) = make_images(tmp_path, 1)
    image, _ = peer(record)
    assert (tuple(image.shape), str(image.dtype)) == ((3, 224, 224), "torch.float32")
    assert peer_of([dict(type="LoadImageFromFile"), dict(type="Resize", scale=8)]) is None


def test_every_pipeline_is_measured_in_every_round(tmp_path: Path) -> None:
    pipelines = pipelines_of({"ours": load(MAE)})
    timings = measure_alone(pipelines, make_images(tmp_path, 2), rounds=3, warmup=1)
    assert [pipeline.name for pipeline in pipelines] == ["torchvision, crop and flip", "ours"]
    assert [len(timing.seconds) for timing in timings] == [3, 3]
    assert all(second > 0 for timing in timings for second in timing.seconds)


def test_the_tool_reports_rates_in_one_process_and_through_loaders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--images",
        "3",
        "--repeats",
        "2",
        "--workers",
        "1",
        "--batch",
        "2",
        "--rounds",
        "1",
        "--warmup",
        "0",
    ]
    assert main("benchmark", "--data", MAE, *options, "--out", tmp_path / "out.json") == 0
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    ways = [result["way"].split(",")[0] for result in results]
    assert ways == ["one process"] * 3 + ["1 loading processes"] * 2
    assert all(result["images_per_second"] > 0 for result in results)
    assert "3 images made for this" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("arguments", [[], ["mmpretrain.SVT(arch='small')", "--data", MAE]])
def test_neither_models_nor_data_and_both_are_an_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("benchmark", *arguments) != 0
    assert "give either models, or configs after --data" in capsys.readouterr().err
