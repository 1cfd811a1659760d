"""Trackers of a training that stops and goes on, read back by their own readers; and trackers that fail."""

import json
import logging
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, VISBACKENDS
from mmengine.runner import Runner
from mmengine.visualization.vis_backend import BaseVisBackend

from mmvisionllama.errors import LaunchError
from mmvisionllama.reports import tracking, wandb_files
from mmvisionllama.reports.trackers import TRACKERS
from mmvisionllama.reports.tracking import TrackingHook, trackers_with
from tests.tools.commands import TOY, log_text, run

_STEPS = {"train_cfg.val_interval": 3, "default_hooks.checkpoint.max_keep_ckpts": 3}


@HOOKS.register_module(force=True)
class Painter(Hook):
    """Draw predictions.png, as the hooks of the tasks do."""

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        image = np.full((8, 8, 3), (0, 0, runner.iter * 10), np.uint8)  # red, in OpenCV's order
        cv2.imwrite(str(Path(runner.work_dir, "predictions.png")), image)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train five steps, and from the checkpoint of the third on to the eighth, with every tracker."""
    folder = tmp_path_factory.mktemp("tracked") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE", "WANDB_DIR", "WANDB_PROJECT"):
            patch.delenv(name, raising=False)
        hooks = [dict(type="Painter"), dict(type="mmvisionllama.RunSummaryHook")]
        options = {**_STEPS, "custom_hooks": hooks}
        track = ("--work-dir", folder, "--track", "tensorboard,wandb", "--track", "mlflow")
        assert run("train", TOY, *track, **options, **{"train_cfg.max_iters": 5}) == 0
        resumed = ("--resume", folder / "iter_3.pth")
        assert run("train", TOY, *track, *resumed, **options, **{"train_cfg.max_iters": 8}) == 0
    return folder


def losses(folder: Path) -> dict[int, float]:
    """Return the loss of each step from the logs of both starts, the later one where both have it."""
    lines = [
        x for file in sorted(folder.glob("*/vis_data/scalars.json")) for x in file.read_text().splitlines()
    ]
    return {x["step"]: x["loss"] for x in map(json.loads, lines) if "loss" in x}


def test_tensorboard_has_every_step_once_and_what_came_after_the_resume(tracked: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tracked / "tracking" / "tensorboard")).Reload()
    found = [(x.step, x.value) for x in events.Scalars("train/loss")]
    assert [step for step, _ in found] == list(range(1, 9))
    assert dict(found) == pytest.approx(losses(tracked))
    assert [x.step for x in events.Scalars("val/error")] == [3, 6, 8]
    assert {"train/lr", "train/images_per_second", "train/waiting_percent"} <= {*events.Tags()["scalars"]}
    assert [x.step for x in events.Images("predictions")] == [3, 6, 8]
    shown = cv2.imdecode(np.frombuffer(events.Images("predictions")[1].encoded_image_string, np.uint8), 1)
    assert shown[0, 0].tolist() == [0, 0, 60]
    text = events.Tensors("config/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert "ToyRegression" in text


def test_wandb_has_one_run_with_every_step_once(tracked: Path) -> None:
    files = sorted(tracked.glob("tracking/wandb/offline-run-*/*.wandb"))
    assert len(files) == 2  # a folder for each start, of one run
    assert len({file.name for file in files}) == 1
    assert json.loads((tracked / "run.json").read_text())["run_id"] in files[0].name
    rows = [row for file in files for row in wandb_files.history(file)]
    found = [(step, x["train/loss"]) for step, x in rows if "train/loss" in x]
    assert [step for step, _ in found] == list(range(1, 9))
    assert dict(found) == pytest.approx(losses(tracked))
    assert [step for step, x in rows if "val/error" in x] == [3, 5, 6, 8]
    assert [step for step, x in rows if "predictions.path" in x] == [3, 5, 6, 8]
    assert wandb_files.config(files[0])["model"]["type"] == "ToyRegression"


def test_what_a_kill_has_cut_off_counts_as_missing(tracked: Path, tmp_path: Path) -> None:
    file = sorted(tracked.glob("tracking/wandb/offline-run-*/*.wandb"))[0]
    whole = wandb_files.history(file)
    assert [step for step, _ in whole] == [1, 2, 3, 4, 5]
    content = file.read_bytes()
    cut = tmp_path / "cut.wandb"
    cut.write_bytes(content[: len(content) // 2])
    assert wandb_files.history(cut) == whole[: len(wandb_files.history(cut))] != whole


def test_mlflow_has_one_run_with_every_step_once(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(tracked / "tracking" / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("mmvisionllama")
    (found,) = client.search_runs([experiment.experiment_id])
    history = [(x.step, x.value) for x in client.get_metric_history(found.info.run_id, "train/loss")]
    assert [step for step, _ in history] == list(range(1, 9))
    assert dict(history) == pytest.approx(losses(tracked))
    assert [x.step for x in client.get_metric_history(found.info.run_id, "val/error")] == [3, 5, 6, 8]
    assert (found.info.status, found.info.run_name) == ("FINISHED", "toy_config")
    assert found.data.params["model.type"] == "ToyRegression"
    assert found.data.tags["mmvisionllama.run_id"] == json.loads((tracked / "run.json").read_text())["run_id"]
    images = [x.path for x in client.list_artifacts(found.info.run_id, "images") if x.path.endswith(".png")]
    assert len(images) == 4


def test_the_log_says_where_trackers_write_and_which_steps_they_keep(tracked: Path) -> None:
    text = log_text(tracked)
    for name in TRACKERS:
        assert text.count(f"  {name:<11} ") == 2  # once a start
    for name in ("wandb", "mlflow"):
        assert text.count(f"{name} has steps 4 to 5 from before this start and keeps them") == 1
    assert "tensorboard has steps" not in text


class Failing(BaseVisBackend):
    """A tracker of which some part fails."""

    experiment = None

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir)
        self.rows: list[int] = []

    def _init_env(self) -> None: ...

    def add_scalars(self, scalar_dict: dict, step: int = 0, **kwargs: Any) -> None:
        self.rows.append(step)


@VISBACKENDS.register_module(force=True)
class NotInstalled(Failing):
    """Its library is not there."""

    def load(self) -> None:
        import no_such_library  # noqa: F401


@VISBACKENDS.register_module(force=True)
class ServerAway(Failing):
    """It cannot begin."""

    def begin(self, run: object) -> None:
        raise ConnectionError("nobody answers\nat this address")


@VISBACKENDS.register_module(force=True)
class SecondRowFails(Failing):
    """It refuses the second row, and its end."""

    def add_scalars(self, scalar_dict: dict, step: int = 0, **kwargs: Any) -> None:
        super().add_scalars(scalar_dict, step)
        if step == 2:
            raise ValueError("a row that it does not like")

    def close(self) -> None:
        raise RuntimeError("it does not end")


def test_a_tracker_that_fails_is_one_line_and_the_training_is_as_without(tmp_path: Path) -> None:
    kinds = ("NotInstalled", "ServerAway", "SecondRowFails")
    weights = []
    for name, track in (("with", [dict(type=x) for x in kinds]), ("without", None)):
        assert run("train", TOY, "--work-dir", tmp_path / name, track=track) == 0
        weights.append(torch.load(tmp_path / name / "iter_3.pth")["state_dict"])
    assert all(torch.equal(x, weights[1][key]) for key, x in weights[0].items())
    lines = log_text(tmp_path / "with").splitlines()
    for text in (
        "Not tracked by NotInstalled: no_such_library is not installed. Fix: ",
        "Not tracked by ServerAway: nobody answers at this address. Training goes on, and tries again",
        "SecondRowFails: a row that it does not like. Training goes on",
        "SecondRowFails: works again; 1 record is missing there",
        "SecondRowFails: its run was not closed: it does not end",
    ):
        assert len([line for line in lines if text in line]) == 1, text
    assert '"mmvisionllama[track]"' in "".join(lines)


class Forgetful(Failing):
    """It has the third step alone of what it was given in an earlier start."""

    def known_steps(self, noted: dict[str, int]) -> dict[str, int]:
        return {"train": 3}


def test_steps_that_a_kill_has_cut_off_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    memory = tracking._Memory(tmp_path / "runs.json", "a" * 32)
    memory.begin("Forgetful", None, {"train": 9})
    tracker = Forgetful(str(tmp_path))
    sender = tracking._Sender(tracker, memory, "name", 6, logging.getLogger("forgetful"))
    sender.start()
    for step in (7, 8):
        sender.put("train", step, tracker.add_scalars, {}, step=step)
    sender.close("finished")
    assert "Forgetful lacks what was logged of steps 4 to 6: a kill has cut it off" in caplog.text
    assert tracker.rows == [7, 8]


def test_a_tracker_that_hangs_costs_records_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "_WAITING", 2)
    monkeypatch.setattr(tracking, "_LAST", 0.05)
    tracker, hangs = Failing(str(tmp_path)), threading.Event()
    memory = tracking._Memory(tmp_path / "runs.json", "a" * 32)
    sender = tracking._Sender(tracker, memory, "name", 0, logging.getLogger("hanging"))
    sender.start()
    sender.put(None, 0, hangs.wait)
    for step in range(1, 6):
        sender.put("train", step, tracker.add_scalars, {}, step=step)
    sender.close("finished")
    assert "it takes records slower than they come" in caplog.text
    assert "could not be sent and are missing there" in caplog.text
    hangs.set()


def test_names_of_trackers_come_by_commas_and_keep_the_settings_of_the_config() -> None:
    own = dict(type="mmvisionllama.WandbTracker", init_kwargs=dict(project="mine"))
    assert trackers_with([own], ["wandb,mlflow", "mlflow"]) == [own, "mlflow"]
    assert trackers_with("tensorboard", "wandb") == ["tensorboard", "wandb"]
    with pytest.raises(LaunchError, match=r"--track wandbb: no such tracker.*wandb.*Known: tensorboard"):
        trackers_with(None, "wandbb")
    assert TrackingHook("wandb")._cfgs == [dict(type="mmvisionllama.WandbTracker")]


def test_what_another_training_has_sent_does_not_count(tmp_path: Path) -> None:
    memory = tracking._Memory(tmp_path / "runs.json", "a" * 32)
    assert memory.begin("wandb", "one", {}) == -1
    memory.note("wandb", "train", 7)
    same, other = (tracking._Memory(tmp_path / "runs.json", x * 32) for x in "ab")
    assert (same.own_id("wandb"), same.steps("wandb")) == ("one", {"train": 7})
    assert (other.own_id("wandb"), other.steps("wandb")) == (None, {})
    (tmp_path / "runs.json").write_text("[")
    assert tracking._Memory(tmp_path / "runs.json", "a" * 32).own_id("wandb") is None
