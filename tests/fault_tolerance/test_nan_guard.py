"""NaN and infinity are skipped, counted, and where there is too much of them the run goes back, once."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.errors import Diverged, GoBack
from mmvisionllama.fault_tolerance.bad_batches import read_batch
from mmvisionllama.fault_tolerance.guarded_step import guarded_steps
from mmvisionllama.fault_tolerance.nan_guard import HISTORY, NanGuardHook, read_history
from mmvisionllama.training.runner import ResumableRunner
from tests.fault_tolerance.nan_injection import PLACES, RecordStates, flat, is_finite
from tests.fault_tolerance.resume_cases import training
from tests.processes import in_processes

FEW = dict(budget=3, window=10)
both_kinds = pytest.mark.parametrize("fused", [True, False], ids=["fused", "not fused"])


def nan_at(place: str, steps: list[int], **options: Any) -> dict[str, Any]:
    return dict(type="mmengine.InjectNaN", place=place, steps=steps, **options)


def guarded(
    work_dir: Path, *injections: dict[str, Any], fused: bool = True, guard: dict | None = None, **changes: Any
) -> ResumableRunner:
    hooks = [
        *injections,
        dict(type="mmengine.RecordStates"),
        dict(type="mmvisionllama.NanGuardHook", **(guard or {})),
    ]
    runner = training(work_dir, hooks=hooks, **changes)
    runner.optim_wrapper["optimizer"]["fused"] = fused
    return runner


def states_of(runner: ResumableRunner) -> list[dict[str, Any]]:
    return next(hook for hook in runner.hooks if isinstance(hook, RecordStates)).states


def log_of(work_dir: Path) -> str:
    return "".join(x.read_text() for x in sorted(work_dir.rglob("*.log")))


@both_kinds
@pytest.mark.parametrize("value", [math.nan, math.inf], ids=["NaN", "infinity"])
@pytest.mark.parametrize("place", PLACES)
def test_a_bad_step_changes_nothing_and_the_schedule_goes_on(
    tmp_path: Path, place: str, value: float, fused: bool
) -> None:
    runner = guarded(tmp_path, nan_at(place, [3], value=value), fused=fused)
    runner.train()
    states = states_of(runner)
    before, after, later = (flat(states[index]) for index in (3, 4, 5))
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == []
    assert any(not torch.equal(after[name], later[name]) for name in after)
    assert states[3]["rate"] != states[4]["rate"]
    assert all(map(is_finite, states))
    # The model's tanh makes one of an infinite input; the gradient, zero times infinity, is NaN.
    in_gradient = place == "gradient" or (place, value) == ("input", math.inf)
    what = "gradient" if in_gradient else "loss"
    assert f"Step 4 skipped: the {what} is NaN or infinite (first on process 0)" in log_of(tmp_path)


@both_kinds
def test_a_training_without_nan_is_bit_for_bit_that_without_the_guard(
    tmp_path: Path, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded_run = guarded(tmp_path / "guarded", fused=fused)
    guarded_run.train()
    monkeypatch.setattr("mmvisionllama.fault_tolerance.nan_guard.guarded_steps", lambda runner: [])
    free_run = guarded(tmp_path / "free", fused=fused)
    free_run.train()
    one, other = (flat(states_of(run)[-1]) for run in (guarded_run, free_run))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("steps", [[3], [4, 5], [6]])
def test_a_bad_part_spoils_no_more_than_its_step_of_an_accumulation(tmp_path: Path, steps: list[int]) -> None:
    runner = guarded(tmp_path, nan_at("loss", steps), accumulate=4)
    runner.train()
    states = [flat(x) for x in states_of(runner)]
    # Steps end after the iterations 3, 7 and 9.
    begin, end = (0, 4) if steps == [3] else (4, 8)
    weights = [name for name in states[0] if name.startswith((".model", ".optimizer"))]
    assert all(torch.equal(states[begin][x], states[end][x]) for x in weights)
    assert is_finite(states_of(runner)[-1])


@pytest.mark.parametrize("place", PLACES)
def test_past_the_budget_the_run_goes_back_and_on_past_the_bad_batches(tmp_path: Path, place: str) -> None:
    bad = nan_at(place, [7, 8, 9])
    changes = dict(max_iters=20, every=5)
    with pytest.raises(GoBack) as caught:
        guarded(tmp_path, bad, guard=FEW, **changes).train()
    assert caught.value.checkpoint == tmp_path / "iter_5.pth"
    assert not (tmp_path / "iter_10.pth").exists()  # abandoned
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "iter_5.pth")
    resumed = guarded(
        tmp_path, bad, guard=FEW, resume=True, load_from=str(caught.value.checkpoint), **changes
    )
    resumed.train()
    assert "Step 8 passed over: it was bad before the run went back" in log_of(tmp_path)
    skipping = guarded(tmp_path / "skipping", bad, guard=dict(budget=4, window=10), **changes)
    skipping.train()
    one, other = (flat(states_of(run)[-1]) for run in (resumed, skipping))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_resuming_by_itself_takes_what_the_run_went_back_to_and_passes_over(tmp_path: Path) -> None:
    changes = dict(max_iters=20, every=5, guard=FEW)
    with pytest.raises(GoBack):
        guarded(tmp_path, nan_at("input", [7, 8, 9]), **changes).train()
    resumed = guarded(tmp_path, nan_at("input", [7, 8, 9]), resume=True, **changes)
    resumed.train()
    assert len(states_of(resumed)) == 15 + 1
    assert is_finite(states_of(resumed)[-1])


def test_the_second_time_at_the_same_place_the_run_stops_with_a_report(tmp_path: Path) -> None:
    bad, changes = nan_at("input", list(range(7, 14))), dict(max_iters=30, every=5, guard=FEW)
    with pytest.raises(GoBack):
        guarded(tmp_path, bad, **changes).train()
    with pytest.raises(Diverged) as caught:
        guarded(tmp_path, bad, resume=True, **changes).train()
    report = str(caught.value)
    assert "3 bad steps within 10 iterations, the last for its loss (steps 11 to 13)" in report
    assert "Going back to iter_5.pth has not helped: it is the second time at this place" in report
    assert str(tmp_path / "bad_batches") in report


def test_at_another_place_the_run_goes_back_again(tmp_path: Path) -> None:
    bad, changes = nan_at("input", [7, 8, 9, 25, 26, 27]), dict(max_iters=40, every=5, guard=FEW)
    went_back = []
    for _ in range(2):
        with pytest.raises(GoBack) as caught:
            guarded(tmp_path, bad, resume=bool(went_back), **changes).train()
        went_back.append(caught.value.checkpoint.name)
    runner = guarded(tmp_path, bad, resume=True, **changes)
    runner.train()
    assert went_back == ["iter_5.pth", "iter_25.pth"]
    assert is_finite(states_of(runner)[-1])
    incidents = json.loads((tmp_path / HISTORY).read_text())
    assert [x["bad"] for x in incidents] == [[7, 8, 9], [25, 26, 27]]


def test_a_new_training_in_the_same_folder_begins_without_a_past(tmp_path: Path) -> None:
    changes = dict(max_iters=20, every=5, guard=FEW)
    with pytest.raises(GoBack):
        guarded(tmp_path, nan_at("input", [7, 8, 9]), **changes).train()
    runner = guarded(tmp_path, **changes)
    runner.train()
    assert runner.run.run_id not in (tmp_path / HISTORY).read_text()
    assert "passed over" not in Path(runner.log_dir, f"{runner.timestamp}.log").read_text()


def test_bad_steps_that_leave_the_window_are_forgotten(tmp_path: Path) -> None:
    rare = nan_at("loss", [2, 8, 14, 20])
    runner = guarded(tmp_path, rare, guard=dict(budget=3, window=12), max_iters=25)
    runner.train()
    assert "2 of the last 12 iterations, 3 are too many" in log_of(tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["weight", "average"])
def test_nan_in_weights_or_averages_is_found_and_the_run_goes_back(
    tmp_path: Path, place: str, value: float
) -> None:
    changes = dict(max_iters=20, every=5, guard=dict(interval=4))
    with pytest.raises(
        GoBack, match=r"NaN or infinity in the weights or averages: .*layers.0.weight"
    ) as caught:
        guarded(tmp_path, nan_at(place, [7], value=value), **changes).train()
    assert caught.value.checkpoint == tmp_path / "iter_5.pth"
    runner = guarded(tmp_path, resume=True, **changes)
    runner.train()
    assert is_finite(states_of(runner)[-1])


def test_nan_in_weights_spends_the_budget_where_it_is_not_looked_for(tmp_path: Path) -> None:
    changes = dict(max_iters=20, every=5, guard=dict(interval=1000, **FEW))
    with pytest.raises(GoBack, match="3 bad steps") as caught:
        guarded(tmp_path, nan_at("weight", [7]), **changes).train()
    assert caught.value.checkpoint == tmp_path / "iter_5.pth"


def test_statistics_of_batch_norm_are_not_spoiled_by_a_bad_batch(tmp_path: Path) -> None:
    runner = guarded(tmp_path, nan_at("input", [0, 3]))
    runner.train()
    states = states_of(runner)
    assert int(states[-1]["model"]["norm.num_batches_tracked"]) == 8  # of 10 steps
    assert bool(torch.isfinite(states[-1]["model"]["norm.running_mean"]).all())


def test_a_run_without_a_checkpoint_to_go_back_to_stops(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="There is no good checkpoint"):
        guarded(tmp_path, nan_at("loss", [0, 1, 2]), guard=FEW).train()


def test_bad_steps_at_the_end_of_a_training_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(GoBack):
        guarded(tmp_path, nan_at("loss", [7, 8, 9]), guard=FEW).train()


def test_offending_batches_are_kept_for_replay_with_their_random_state(tmp_path: Path) -> None:
    guarded(tmp_path, nan_at("input", [2, 3, 6]), guard=dict(max_saved=2)).train()
    files = sorted((tmp_path / "bad_batches").iterdir())
    assert [x.name for x in files] == ["iter_2_rank0.pth", "iter_3_rank0.pth"]
    (batch,), random_state, meta = read_batch(files[0])
    assert torch.isnan(batch["inputs"].view(-1)[0])
    assert batch["inputs"].shape == (4, 4)
    assert (meta["step"], meta["rank"], meta["reason"]) == (2, 0, "loss")
    assert random_state.keys() >= {"python", "numpy", "torch"}
    assert read_checkpoint(files[0]).keys() == {"batch", "random", "meta"}


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[" * 100_000, '[{"reason": "", "first": 1}]', '"x"'])
def test_a_damaged_history_of_the_guard_is_a_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / HISTORY).write_text(text)
    if text == "{}":
        assert read_history(tmp_path / HISTORY) == []
        return
    with pytest.raises(ValueError, match=r"."):
        read_history(tmp_path / HISTORY)


def test_a_run_with_a_damaged_history_of_the_guard_goes_on_and_says_so(tmp_path: Path) -> None:
    guarded(tmp_path).train()
    (tmp_path / HISTORY).write_text("")
    guarded(tmp_path, resume=True, max_iters=12).train()
    assert f"{HISTORY} is damaged, so where this run went back" in log_of(tmp_path)


def test_every_run_is_guarded_and_a_guard_of_the_config_takes_the_place_of_the_default(
    tmp_path: Path,
) -> None:
    default = training(tmp_path / "default")
    assert [x.budget for x in default.hooks if isinstance(x, NanGuardHook)] == [10]
    own = guarded(tmp_path / "own", guard=dict(budget=2))
    assert [x.budget for x in own.hooks if isinstance(x, NanGuardHook)] == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(budget=0), "budget takes a whole number of at least 1, got 0"),
        (dict(budget=5, window=4), "never spent"),
    ],
)
def test_numbers_that_make_no_sense(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NanGuardHook(**arguments)


class Reads(TorchDispatchMode):
    """Count the values that leave a device for Python."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@both_kinds
def test_a_step_of_a_fused_optimizer_waits_for_nothing(tmp_path: Path, fused: bool) -> None:
    runner = guarded(tmp_path, fused=fused, max_iters=2)
    runner.optim_wrapper.pop("clip_grad")  # mmengine itself reads the norm to log it
    runner.train()
    wrapper = runner.optim_wrapper
    del wrapper.__dict__["step"], wrapper.__dict__["backward"]
    (step,) = guarded_steps(runner)
    step.looks_at_state = True
    assert step.waits is not fused
    loss = sum(x.square().sum() for x in runner.model.parameters())
    with Reads() as reads:
        wrapper.backward(loss)
        wrapper.step()
        average = torch.zeros(3)
        step.chosen(average, torch.ones(3))
    assert reads.count == 0 if fused else reads.count > 0  # torch's own steps read more than the decision


def train_in_two(rank: int, work_dir: Path, place: str, fused: bool) -> dict[str, Any]:
    runner = guarded(work_dir, nan_at(place, [3], rank=1), fused=fused, launcher="pytorch", batch_size=2)
    runner.train()
    states = states_of(runner)
    return {
        "before": flat(states[3]["model"]) | flat(states[3]["optimizer"]),
        "after": flat(states[4]["model"]) | flat(states[4]["optimizer"]),
        "last": {name: x for name, x in flat(states[-1]["model"]).items() if "running" not in name},
        "finite": is_finite(states[-1]),
    }


@both_kinds
@pytest.mark.parametrize("place", PLACES)
def test_what_is_bad_in_one_process_is_skipped_in_both(tmp_path: Path, place: str, fused: bool) -> None:
    left = in_processes(2, train_in_two, tmp_path, place, fused)
    for one in left:
        assert [name for name, x in one["before"].items() if not torch.equal(x, one["after"][name])] == []
        assert one["finite"]
    assert all(torch.equal(x, left[1]["last"][name]) for name, x in left[0]["last"].items())
    assert "(first on process 1)" in log_of(tmp_path)
    saved = sorted(x.name for x in (tmp_path / "bad_batches").iterdir())
    both = ["iter_3_rank0.pth", "iter_3_rank1.pth"]
    assert saved == (both if place == "gradient" else both[1:])


def go_back_in_two(rank: int, work_dir: Path) -> dict[str, Any]:
    bad = nan_at("input", [7, 8, 9], rank=1)
    changes = dict(guard=FEW, launcher="pytorch", batch_size=2, max_iters=16, every=5)
    with pytest.raises(GoBack) as caught:
        guarded(work_dir, bad, **changes).train()
    runner = guarded(work_dir, bad, resume=True, load_from=str(caught.value.checkpoint), **changes)
    runner.train()
    state = states_of(runner)[-1]
    return {"weights": flat(state["model"]), "finite": is_finite(state), "from": caught.value.checkpoint.name}


def test_two_processes_go_back_together(tmp_path: Path) -> None:
    one, other = in_processes(2, go_back_in_two, tmp_path)
    assert (one["from"], other["from"]) == ("iter_5.pth", "iter_5.pth")
    assert one["finite"] and other["finite"]
    weights = [name for name in one["weights"] if "running" not in name]
    assert all(torch.equal(one["weights"][x], other["weights"][x]) for x in weights)
