"""What is kept beside samples."""

import json
from pathlib import Path

import pytest

from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation import SampleInfo, read_info, write_info

INFO = SampleInfo(dataset="MNIST", weights="ema", sampler="DDPMSampler", guidance_scale=1.5, seed=3)


@pytest.mark.parametrize("name", ["samples.npz", "folder"])
def test_what_is_written_beside_samples_comes_back(name: str, tmp_path: Path) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
    path = write_info(tmp_path / name, INFO)
    assert path == (tmp_path / "folder" / "samples.json" if name == "folder" else tmp_path / "samples.json")
    assert read_info(tmp_path / name) == INFO


def test_nothing_is_known_of_samples_without_a_file_beside_them(tmp_path: Path) -> None:
    assert read_info(tmp_path / "samples.npz") is None


def test_an_unknown_fact_and_a_file_of_something_else_are_named(tmp_path: Path) -> None:
    file = tmp_path / "samples.json"
    file.write_text(json.dumps({"guidance": 1.5}))
    with pytest.raises(EvaluationError, match="'guidance'"):
        read_info(tmp_path / "samples.npz")
    file.write_text("[]")
    with pytest.raises(EvaluationError, match="holds a list"):
        read_info(tmp_path / "samples.npz")
    file.write_text("{")
    with pytest.raises(EvaluationError, match=r"samples\.json is damaged"):
        read_info(tmp_path / "samples.npz")
