"""A run reads, continues, prunes and removes its own files alone; who else left files there loses none."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mmvisionllama.checkpoint import newest_good, read_checkpoint
from mmvisionllama.checkpoint.manifest import manifest_of
from mmvisionllama.checkpoint.run_identity import RECORD, RunRecord, read_record
from mmvisionllama.checkpoint.saving import publish, remove_own, temporary_of
from mmvisionllama.errors import GoBack
from tests.fault_tolerance.resume_cases import training
from tests.fault_tolerance.test_nan_guard import FEW, guarded, nan_at

STEP = 5  # of the older of the two that are kept


def ran(work_dir: Path, **changes: Any) -> Any:
    runner = training(work_dir, every=2, **changes)
    runner.train()
    return runner


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(x.relative_to(folder)): x.read_bytes() for x in sorted(folder.rglob("*")) if x.is_file()}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of a training of six steps with a best checkpoint; tests must not change it."""
    work_dir = tmp_path_factory.mktemp("original") / "run"
    ran(work_dir, max_iters=6)
    return work_dir


def rewritten(path: Path, target: Path, **hub: Any) -> Path:
    """Publish a copy of a checkpoint whose history says something else."""
    content = read_checkpoint(path)
    content["message_hub"]["runtime_info"].update(hub)
    content["message_hub"]["resumed_keys"].update(dict.fromkeys(hub, True))
    torch.save(content, temporary_of(target))
    publish(target)
    return target


def test_checkpoints_manifests_log_summary_and_record_have_the_id_of_the_run(original: Path) -> None:
    record = read_record(original)
    assert record is not None
    for path in original.glob("*.pth"):
        assert read_checkpoint(path)["meta"]["run_id"] == record.run_id
        assert json.loads(manifest_of(path).read_text())["run_id"] == record.run_id
    facts = json.loads((original / "summary.json").read_text())
    assert (facts["run_id"], facts["forked_from"]) == (record.run_id, None)
    (log,) = original.glob("*/*.log")
    assert f"Run {record.run_id}\n" in log.read_text()


def test_a_resumed_run_keeps_its_id_and_two_runs_have_two(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "run")
    resumed = ran(tmp_path / "run", resume=True, max_iters=8)
    assert resumed.run.run_id == read_record(original).run_id
    assert ran(tmp_path / "other", max_iters=1).run.run_id != resumed.run.run_id


def test_a_fork_leaves_the_original_as_it_was_and_says_where_it_comes_from(
    original: Path, tmp_path: Path
) -> None:
    before = snapshot(original)
    start = original / f"iter_{STEP}.pth"
    fork = ran(tmp_path / "fork", resume=True, load_from=str(start))
    assert snapshot(original) == before
    record = read_record(tmp_path / "fork")
    assert record.run_id == fork.run.run_id != read_record(original).run_id
    expected = {"run_id": read_record(original).run_id, "checkpoint": str(start), "step": STEP}
    assert record.forked_from == expected
    assert json.loads((tmp_path / "fork" / "summary.json").read_text())["forked_from"] == expected
    named = [x for x in fork.message_hub.runtime_info.items() if "ckpt" in x[0]]
    assert named
    assert all(str(tmp_path / "fork") in path for _, path in named)


def test_what_a_checkpoint_names_is_removed_only_if_it_is_the_runs(original: Path, tmp_path: Path) -> None:
    """Paths elsewhere, paths upwards, other runs' checkpoints and folders in the own folder all stay."""
    work_dir, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(original, work_dir)
    shutil.copytree(original, elsewhere)
    other = ran(tmp_path / "other", max_iters=2)
    foreign = work_dir / "iter_900.pth"
    for path in (tmp_path / "other" / "iter_2.pth", manifest_of(tmp_path / "other" / "iter_2.pth")):
        shutil.copyfile(path, work_dir / path.name.replace("iter_2", "iter_900"))
    precious = work_dir / "precious.sharded"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years")
    kept = ["../elsewhere/iter_6.pth", str(elsewhere / "iter_5.pth"), foreign.name, precious.name, "..", 3]
    rewritten(
        original / "iter_6.pth",
        work_dir / "iter_6.pth",
        best_ckpt=str(elsewhere),
        kept_checkpoints=kept,
        keep_ckpt_ids=["../elsewhere/iter_4", "/"],
        best_score=1e9,  # so that the next validation is better
        last_ckpt=str(elsewhere / "iter_6.pth"),
    )
    untouched = snapshot(elsewhere) | {"foreign": foreign.read_bytes()}
    resumed = ran(work_dir, resume=True, load_from=str(work_dir / "iter_6.pth"), max_iters=12)
    assert resumed.run.run_id != other.run.run_id
    assert snapshot(elsewhere) | {"foreign": foreign.read_bytes()} == untouched
    assert (precious / "thesis.tex").read_text() == "years"
    assert sorted(x.name for x in work_dir.glob("iter_1*.pth")) == ["iter_10.pth", "iter_12.pth"]


@pytest.mark.parametrize("name", ["..", ".", "", "/", "../run/iter_5.pth", "link.pth", "weights.pth"])
def test_only_a_checkpoint_of_the_run_by_its_name_is_removed(
    original: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(original, tmp_path / "run")
    (tmp_path / "run" / "link.pth").symlink_to(original / "iter_5.pth")
    torch.save({"state_dict": {}}, tmp_path / "run" / "weights.pth")
    before = snapshot(tmp_path)
    run = read_record(original)
    assert not remove_own(tmp_path / "run", name, run)
    assert not remove_own(tmp_path / "run", "iter_5.pth", RunRecord.drawn(takes_unnamed=True))
    assert snapshot(tmp_path) == before
    assert remove_own(tmp_path / "run", "iter_5.pth", run)


def test_a_run_of_before_there_were_ids_goes_on_with_all_its_checkpoints(
    original: Path, tmp_path: Path
) -> None:
    work_dir = tmp_path / "run"
    work_dir.mkdir()
    for path in original.glob("*.pth"):
        content = read_checkpoint(path)
        del content["meta"]["run_id"], content["meta"]["forked_from"]
        torch.save(content, temporary_of(work_dir / path.name))
        publish(work_dir / path.name)
        manifest = manifest_of(work_dir / path.name)
        facts = json.loads(manifest.read_text())
        del facts["run_id"]
        manifest.write_text(json.dumps(facts))
    resumed = ran(work_dir, resume=True, max_iters=8)
    assert resumed.resumed_from == work_dir / "iter_6.pth"
    assert read_record(work_dir).takes_unnamed
    assert sorted(x.name for x in work_dir.glob("iter_*.pth")) == ["iter_6.pth", "iter_8.pth"]


def test_going_back_to_an_older_checkpoint_moves_the_later_ones_aside(original: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "run"
    shutil.copytree(original, work_dir)
    later = (work_dir / "iter_6.pth").read_bytes()
    ran(work_dir, resume=True, load_from=str(work_dir / "iter_5.pth"), max_iters=5)
    assert newest_good(work_dir).path == work_dir / "iter_5.pth"
    (aside,) = work_dir.glob("overwritten_*")
    assert (aside / "iter_6.pth").read_bytes() == later


def test_the_nan_guard_goes_back_to_its_own_runs_checkpoints_alone(original: Path, tmp_path: Path) -> None:
    """Where another run has left later checkpoints in the folder, and a history of its own."""
    work_dir = tmp_path / "run"
    shutil.copytree(original, work_dir)
    past = dict(reason="theirs", first=5, last=7, bad=[6], checkpoint="iter_4.pth")
    past["run_id"] = read_record(original).run_id
    (work_dir / "nan_guard.json").write_text(json.dumps([past]))
    for path in [*work_dir.glob("iter_*")]:
        path.rename(work_dir / path.name.replace("iter_", "iter_6"))  # as if after 65 and 66 steps
    theirs = {x.name: x.read_bytes() for x in work_dir.glob("iter_6*")}
    with pytest.raises(GoBack) as caught:
        guarded(work_dir, nan_at("input", [3, 4, 5]), guard=FEW, every=2, max_iters=10).train()
    assert read_checkpoint(caught.value.checkpoint)["meta"]["run_id"] == read_record(work_dir).run_id
    assert {x.name: x.read_bytes() for x in work_dir.glob("iter_6*")} == theirs
    history = json.loads((work_dir / "nan_guard.json").read_text())
    assert history[0]["reason"] == "theirs"
    assert history[1]["run_id"] == read_record(work_dir).run_id != past["run_id"]


def test_a_fresh_run_that_is_killed_early_is_what_a_resume_takes(original: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "run"
    shutil.copytree(original, work_dir)
    fresh = training(work_dir)
    fresh.run = RunRecord.drawn()
    fresh.begin()  # then it is killed, before it has saved
    assert newest_good(work_dir).path is None
    again = ran(work_dir, resume=True, max_iters=1)
    assert again.resumed_from is None
    assert again.iter == 1


def test_a_link_to_a_work_directory_is_as_good_as_itself(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    resumed = ran(tmp_path / "link", resume=True, max_iters=7)
    assert resumed.resumed_from == tmp_path / "link" / "iter_6.pth"
    assert os.path.samefile(newest_good(tmp_path / "real").path, tmp_path / "link" / "iter_7.pth")
    assert re.fullmatch(r"[0-9a-f]{32}", json.loads((tmp_path / "real" / RECORD).read_text())["run_id"])
