"""A training that is stopped anywhere and resumed leaves, bit for bit, what an undisturbed one leaves."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmvisionllama.checkpoint import newest_good
from mmvisionllama.errors import Stopped
from mmvisionllama.fault_tolerance.stopping import SIGNALS
from mmvisionllama.training.runner import ResumableRunner
from tests.fault_tolerance.resume_cases import ask_of, differences, left_by, stopped_and_resumed, training

EPOCHS, ITERS = dict(epochs=2), dict(epochs=0)
STOPS = {
    "in the first step": dict(train=0),
    "inside an epoch": dict(train=3),
    "in the last step of an epoch": dict(train=5),
    "in the second epoch": dict(train=7),
}
both_loops = pytest.mark.parametrize("loop", [EPOCHS, ITERS], ids=["epochs", "iterations"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[ResumableRunner, dict]]:
    """Return ``make(**changes)``, which trains such a run once, and gives what it left."""
    made: dict[str, tuple[ResumableRunner, dict]] = {}

    def make(**changes: Any) -> tuple[ResumableRunner, dict]:
        key = repr(sorted(changes.items()))
        if key not in made:
            runner = training(tmp_path_factory.mktemp("undisturbed"), **changes)
            runner.train()
            made[key] = runner, left_by(runner)
        return made[key]

    return make


def check(undisturbed: Callable, work_dir: Path, ask: dict[str, Any], **changes: Any) -> None:
    runners = stopped_and_resumed(work_dir, ask, **changes)
    whole, left = undisturbed(**changes)
    assert differences(left, left_by(runners[-1])) == []
    if not ask.get("crash"):
        assert [draw for x in runners for draw in ask_of(x).drawn] == ask_of(whole).drawn
        assert sum(ask_of(x).steps for x in runners) == ask_of(whole).steps


@both_loops
@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
def test_a_stop_in_training_changes_nothing(
    undisturbed: Callable, tmp_path: Path, loop: dict, stop: dict
) -> None:
    check(undisturbed, tmp_path, stop, **loop)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_every_signal_of_terminals_and_of_slurm_stops(tmp_path: Path, number: signal.Signals) -> None:
    usual = [signal.getsignal(x) for x in SIGNALS]
    with pytest.raises(Stopped, match=f"{number.name} after step 3 of 10"):
        training(tmp_path, ask=dict(train=2, number=int(number))).train()
    assert newest_good(tmp_path).path == tmp_path / "iter_3.pth"
    assert [signal.getsignal(x) for x in SIGNALS] == usual


@both_loops
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_a_stop_in_validation_changes_nothing(
    undisturbed: Callable, tmp_path: Path, loop: dict, batch: int
) -> None:
    check(undisturbed, tmp_path, dict(val=(6 if loop["epochs"] else 5, batch)), **loop)


@both_loops
def test_a_stop_in_a_validation_that_no_checkpoint_precedes_saves_one_there(
    undisturbed: Callable, tmp_path: Path, loop: dict
) -> None:
    """The averages stand in the place of the weights then, and the validation has drawn random numbers."""
    step = 6 if loop["epochs"] else 5
    check(undisturbed, tmp_path, dict(val=(step, 1)), every=2 if loop["epochs"] else 10, **loop)


@both_loops
@pytest.mark.parametrize("step", [6, 7, 8])
def test_a_stop_inside_an_accumulation_changes_nothing(
    undisturbed: Callable, tmp_path: Path, loop: dict, step: int
) -> None:
    check(undisturbed, tmp_path, dict(train=step), accumulate=4, **loop)


@both_loops
def test_a_crash_after_a_checkpoint_inside_an_accumulation_changes_nothing(
    undisturbed: Callable, tmp_path: Path, loop: dict
) -> None:
    check(undisturbed, tmp_path, dict(train=7, crash=True), accumulate=4, **loop)


@both_loops
def test_a_crash_in_validation_changes_nothing(undisturbed: Callable, tmp_path: Path, loop: dict) -> None:
    check(undisturbed, tmp_path, dict(val=(6 if loop["epochs"] else 5, 1), crash=True), **loop)


def test_mmdets_batches_by_aspect_ratio_go_on_inside_an_epoch(undisturbed: Callable, tmp_path: Path) -> None:
    changes = dict(scope="mmdet", batch_sampler=dict(type="AspectRatioBatchSampler"))
    check(undisturbed, tmp_path, dict(train=8), epochs=2, **changes)


@both_loops
def test_mmpretrains_repeated_augmentation_goes_on_inside_an_epoch(
    undisturbed: Callable, tmp_path: Path, loop: dict
) -> None:
    check(undisturbed, tmp_path, dict(train=7), scope="mmpretrain", sampler="RepeatAugSampler", **loop)


def test_iterations_over_a_sampler_with_an_end_go_on_in_its_epoch(
    undisturbed: Callable, tmp_path: Path
) -> None:
    check(undisturbed, tmp_path, dict(train=7), sampler="DefaultSampler")


@both_loops
@pytest.mark.parametrize("workers", [2, 4])
def test_workers_change_nothing_nor_does_their_number_at_a_resume(
    undisturbed: Callable, tmp_path: Path, loop: dict, workers: int
) -> None:
    runners = stopped_and_resumed(tmp_path, dict(train=7), workers=workers, **loop)
    assert differences(undisturbed(**loop)[1], left_by(runners[-1])) == []


def test_the_seed_that_a_run_drew_for_itself_is_that_of_its_resumption(tmp_path: Path) -> None:
    first, second = stopped_and_resumed(tmp_path, dict(train=3), seed=None)
    whole = training(tmp_path / "whole", seed=first.seed)
    whole.train()
    assert second.seed == first.seed
    assert ask_of(first).drawn + ask_of(second).drawn == ask_of(whole).drawn


def test_a_finished_training_that_is_resumed_does_nothing_more(tmp_path: Path) -> None:
    first = training(tmp_path)
    first.train()
    again = training(tmp_path, resume=True)
    again.train()
    assert ask_of(again).drawn == []
    assert differences(left_by(first), left_by(again)) == []


def test_a_checkpoint_of_mmengine_alone_is_resumed_with_a_warning(tmp_path: Path) -> None:
    first = training(tmp_path)
    first.train()
    content = torch.load(tmp_path / "iter_10.pth", weights_only=False)
    del content["resume"]
    torch.save(content, tmp_path / "plain.pth")
    again = training(tmp_path, resume=True, load_from=str(tmp_path / "plain.pth"), max_iters=12)
    again.train()
    assert [step for step, _ in ask_of(again).drawn] == [10, 11]
    log = Path(again.log_dir, f"{again.timestamp}.log").read_text()
    assert "No random state in this checkpoint: the run goes on, not exactly" in log
