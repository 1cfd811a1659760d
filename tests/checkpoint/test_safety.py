"""A file that would run code is refused at every entrance, and its code does not run."""

import io
import os
import pickle
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as host

from mmvisionllama.checkpoint import make_mmengine_read_safely, read_checkpoint
from mmvisionllama.errors import CheckpointError
from tests.tools.commands import TOY, main, run

CLASSIFIER = "configs/toy/visionllama_tiny_digitscenes.py"


class RunsCode:
    def __init__(self, proof_of_run: Path) -> None:
        self.proof_of_run = proof_of_run

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.proof_of_run),)


@pytest.fixture
def proof_of_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that exists once the code has run; the current directory is the empty one around it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "ran"


def zipped(content: Any, path: Path) -> None:
    torch.save(content, path)


def legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def bare_pickle(content: Any, path: Path) -> None:
    # Tensors themselves are pickled as code outside of torch.save.
    path.write_bytes(pickle.dumps({key: x for key, x in content.items() if key == "x"}, protocol=2))


@pytest.fixture(params=[zipped, legacy, bare_pickle])
def unsafe_file(request: pytest.FixtureRequest, proof_of_run: Path) -> str:
    content = {"state_dict": {"w": torch.ones(1)}, "meta": {}, "x": RunsCode(proof_of_run)}
    request.param(content, Path("unsafe.pth"))
    return "unsafe.pth"


def pretrained(path: str) -> dict[str, str]:
    return {"model.backbone.init_cfg": {"type": "Pretrained", "checkpoint": path}}


@pytest.mark.parametrize(
    "enter",
    [
        lambda path: run("train", TOY, "--resume", path),
        lambda path: run("train", TOY, load_from=path),
        lambda path: run("train", TOY, **pretrained(path)),
        lambda path: run("train", TOY, load_from=path, resume=True),
        lambda path: run("test", TOY, path),
        lambda path: main("resolution_sweep", CLASSIFIER, path),
        lambda path: main("convert_checkpoint", path, "ours.safetensors"),
        lambda path: main("convert_checkpoint", path, "ours.safetensors", "--part", "state_dict"),
    ],
    ids=["--resume", "load_from", "init_cfg", "resume", "test", "sweep", "convert", "convert a part"],
)
def test_no_command_runs_the_code_in_a_checkpoint(
    enter: Callable[[str], int], unsafe_file: str, proof_of_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enter(unsafe_file) == 2
    error = capsys.readouterr().err
    assert "posix.mkdir" in error
    assert "save its weights alone" in error
    assert not proof_of_run.exists()
    assert [path.name for path in Path().iterdir()] == [unsafe_file]


@pytest.mark.parametrize(
    "load",
    [
        lambda path: CheckpointLoader.load_checkpoint(path),
        lambda path: host.load_from_local(path, None),
        lambda path: host._safe_torch_load(path),
        lambda path: host._safe_torch_load(io.BytesIO(Path(path).read_bytes())),
    ],
    ids=["by path", "local", "openmmlab", "s3"],
)
def test_no_loader_of_mmengine_falls_back_to_running_code(
    load: Callable[[str], Any], unsafe_file: str, proof_of_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CheckpointLoader, "_schemes", dict(CheckpointLoader._schemes))
    for name in ("load_from_local", "load_from_http", "_safe_torch_load"):
        monkeypatch.setattr(host, name, getattr(host, name))
    make_mmengine_read_safely()
    with pytest.raises(CheckpointError, match=r"posix\.mkdir"):
        load(unsafe_file)
    assert not proof_of_run.exists()


def test_the_options_that_trainings_of_deit_and_dit_save_are_read(tmp_path: Path) -> None:
    torch.save({"args": Namespace(model="DiT-XL/2", lr=1e-4)}, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth")["args"].model == "DiT-XL/2"


def test_a_namespace_cannot_bring_code_along(proof_of_run: Path) -> None:
    torch.save({"args": Namespace(hook=RunsCode(proof_of_run))}, "a.pth")
    with pytest.raises(CheckpointError, match=r"posix\.mkdir"):
        read_checkpoint("a.pth")
    assert not proof_of_run.exists()
