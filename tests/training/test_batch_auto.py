"""train --batch auto: what is chosen, remembered and told, and that it changes no result."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from mmvisionllama.training import batch_auto, launch
from mmvisionllama.training.batch_auto import batch_norms, cache_folder
from mmvisionllama.training.batch_search import Room
from mmvisionllama.training.dry_run import DryRun
from tests.tools.commands import TOY, log_text, run, run_in_two

LIMIT = 2


@HOOKS.register_module(force=True)
class SizeNoter(Hook):
    """Write how many images each process computes with at once."""

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        batches = data_batch if isinstance(data_batch, list) else [data_batch]
        sizes = [len(x["inputs"]) for x in batches]
        Path(runner.work_dir, f"sizes_{get_rank()}.json").write_text(json.dumps(sizes))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the user's that is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mmvisionllama" / "batches"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let a device take two images, and note which batches are tried on it."""
    asked: list[int] = []

    def limited(runner: Runner, hook: object) -> DryRun:
        batch = runner.cfg.train_dataloader.batch_size
        asked.append(batch)
        if batch > LIMIT:
            raise torch.OutOfMemoryError("no room")
        is_half = "BFloat16" in str(runner.cfg.optim_wrapper.get("type"))
        return DryRun(0.5, batch * (0.5 if is_half else 1.0), 3, 30 if is_half else 40, dict(weights=1))

    monkeypatch.setattr(launch, "make_dry_run", limited)
    monkeypatch.setattr(launch, "present_room", lambda *x, **y: Room(100, by_trying=True))
    return asked


def weights(work_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / "iter_3.pth")["state_dict"]


def test_the_largest_batch_that_fits_makes_the_same_step_as_the_whole(
    tmp_path: Path, tried: list[int]
) -> None:
    assert run("train", TOY, "--work-dir", tmp_path / "auto", "--batch", "auto") == 0
    assert tried == [1, 2, 4, 2]  # the last one is --amp
    text = log_text(tmp_path / "auto")
    assert "--batch auto: global batch 4 = 1 process x 2 x 2 accumulated" in text
    assert "--amp: measured as 0.50 x the time and 0.75 x the memory" in text
    assert run("train", TOY, "--work-dir", tmp_path / "whole") == 0
    found, expected = weights(tmp_path / "auto"), weights(tmp_path / "whole")
    assert all(torch.allclose(x, expected[key], atol=1e-6) for key, x in found.items())


def test_a_measurement_is_remembered_until_something_changes(
    tmp_path: Path, tried: list[int], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(name: str, **changes: object) -> int:
        tried.clear()
        assert run("train", TOY, "--work-dir", tmp_path / name, "--batch", "auto", **changes) == 0
        return len(tried)

    assert trained("first") == 4
    assert trained("again", **{"randomness.seed": 9, "train_cfg.max_iters": 2}) == 0
    assert "(remembered from " in log_text(tmp_path / "again")
    assert "--amp: measured as 0.50" in log_text(tmp_path / "again")
    (file,) = cache.iterdir()
    file.write_text('{"size": "2"}')
    assert trained("damaged") == 4
    assert trained("wider", **{"model.backbone.width": 16}) == 4
    monkeypatch.setattr(batch_auto, "__version__", "another")
    assert trained("newer") == 4
    # Others hold memory now.
    monkeypatch.setattr(launch, "present_room", lambda *x, **y: Room(39, by_trying=True))
    tried.clear()
    assert (
        run("train", TOY, "--work-dir", tmp_path / "full", "--batch", "auto") == 2
    )  # others hold memory now
    assert tried == [1]
    assert not (tmp_path / "full").exists()


def test_the_first_process_tells_the_others(tmp_path: Path, tried: list[int]) -> None:
    hooks = "--cfg-options", 'custom_hooks=[{"type": "SizeNoter"}]'
    run_in_two("train", TOY, "--work-dir", "run", "--batch", "auto", *hooks, folder=tmp_path)
    sizes = [json.loads((tmp_path / "run" / f"sizes_{rank}.json").read_text()) for rank in (0, 1)]
    assert sizes == [[2, 2], [2, 2]]


def test_what_contradicts_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--work-dir", tmp_path / "run", "--batch", "auto")
    for changes, told in (
        ({"train_dataloader.batch_size": 2}, "--batch auto and train_dataloader.batch_size in --cfg-options"),
        ({"optim_wrapper.accumulative_counts": 2}, "the config states no global batch"),
        ({"auto_scale_lr": dict(enable=True, base_batch_size=8)}, "--batch auto keeps both: leave it out"),
    ):
        assert run("train", TOY, *out, **changes) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_number_is_the_most_that_a_device_takes(tmp_path: Path) -> None:
    options = {"auto_scale_lr": dict(base_batch_size=4)}
    assert run("train", TOY, "--work-dir", tmp_path, "--batch", "1", **options) == 0
    assert "global batch 4 = 1 process x 1 x 4 accumulated" in log_text(tmp_path)


def test_norms_that_look_at_the_batch_are_named() -> None:
    assert batch_norms(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))) == "1"
    assert batch_norms(nn.LayerNorm(2)) is None


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "mmvisionllama" / "batches"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which its standard tells to ignore
    assert cache_folder() == tmp_path / ".cache" / "mmvisionllama" / "batches"
