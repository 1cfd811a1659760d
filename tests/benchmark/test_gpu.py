"""The run on a GPU: jobs that fail or hang, records and page, steps of training, exactness; on a CPU."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from mmvisionllama.benchmark.gpu.correctness import (
    _differing,
    _saved,
    _signal_at,
    check_communication,
    check_operators,
)
from mmvisionllama.benchmark.gpu.jobs import Job, Record, run_jobs
from mmvisionllama.benchmark.gpu.kernels import profile_step
from mmvisionllama.benchmark.gpu.report import RECORDS, Book
from mmvisionllama.benchmark.gpu.step_speed import STYLES, measure_subject, worst
from mmvisionllama.benchmark.gpu.subjects import subjects
from mmvisionllama.files import read_json_lines
from tests.tools.commands import REPOSITORY, main


def work(kind: str) -> Record | list[Record]:
    if kind == "fails":
        raise ValueError("of two\nlines")
    if kind == "dies":
        os._exit(3)
    if kind == "hangs":
        time.sleep(60)
    return [dict(found=kind, number=i) for i in range(2)]


def test_jobs_that_fail_die_or_hang_are_records_and_the_others_go_on(tmp_path: Path) -> None:
    found: list[Record] = []
    kinds = ("fails", "hangs", "dies", "works")
    jobs = [Job("part", kind, work, dict(kind=kind), limit=1 if kind == "hangs" else 60) for kind in kinds]
    run_jobs(jobs, at_once=2, until=time.monotonic() + 60, logs=tmp_path, write=found.append)
    errors = {x["name"]: x["error"] for x in found if "error" in x}
    assert errors == {
        "fails": "ValueError: of two lines",
        "hangs": "ended after 1 s, its limit",
        "dies": "its process died with status 3",
    }
    assert [x["number"] for x in found if x["name"] == "works"] == [0, 1]
    assert "ValueError" in (tmp_path / "part_fails.log").read_text()


def test_jobs_for_which_no_time_is_left_are_named(tmp_path: Path) -> None:
    found: list[Record] = []
    run_jobs([Job("p", "n", work)], at_once=1, until=time.monotonic() - 1, logs=tmp_path, write=found.append)
    assert found == [dict(part="p", name="n", error="left out: no time was left")]


def test_steps_are_measured_beside_a_peer_listed_by_kernel_and_written_at_once(tmp_path: Path) -> None:
    name = subjects("small")[2].name
    options = dict(scale="small", device="cpu")
    found = measure_subject(name, ["eager"], seconds=0.01, **options)
    found += measure_subject(name, ["traced"], seconds=0.01, ours_only=True, **options)
    assert [(x["contestant"], x["style"]) for x in found] == [
        ("DiT-LLaMA", "eager"),
        ("diffusers", "eager"),
        ("DiT-LLaMA", "traced"),
    ]
    assert all(x["images_per_second"] > 0 and x["peak_bytes"] > 0 for x in found)
    flops = {x["contestant"]: x["flops_of_image"] for x in found}
    assert flops["DiT-LLaMA"] == pytest.approx(found[2]["flops_of_image"])
    book = Book(tmp_path, dict(device="none"))
    for record in found:
        book.write(dict(part="speed", name=name, **record))
    kernels = profile_step(name, worst(book.records[1:])["style"], **options)
    book.write(dict(part="kernels", name=name, **kernels))
    book.write(dict(part="task", name="a task", error="a | reason"))
    assert len(read_json_lines(tmp_path / RECORDS)) == 6
    page = (tmp_path / "report.md").read_text()
    assert page.count(f"| {name} | ") == 3
    assert "- task, a task: a | reason" in page
    assert len(kernels["kernels"]) == 15


def test_a_peer_that_fails_is_a_record_and_ours_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timm.create_model", lambda *args, **options: nn.Linear(1, 1))
    name = subjects("small")[0].name
    ours, peer = measure_subject(name, ["eager"], scale="small", device="cpu", seconds=0)
    assert "error" not in ours
    assert peer["error"].startswith("RuntimeError")


def test_every_subject_has_ours_and_peers_and_the_styles_are_known() -> None:
    for scale in ("full", "small"):
        found = subjects(scale)
        assert len({x.name for x in found}) == len(found)
        assert all(len(x.contestants) >= 2 for x in found)
    assert STYLES["eager"][0] is None


def test_operators_and_communication_hold_on_a_cpu(tmp_path: Path) -> None:
    found = check_operators(device="cpu")
    assert found["same_boxes"]
    assert found["apart"] == 0
    assert check_communication(tmp_path, device="cpu") == dict(backend="gloo", sums=True, gradients=True)


def test_a_difference_between_two_checkpoints_is_found_where_it_is(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    kept = dict(state_dict=model.state_dict(), optimizer=optimizer.state_dict(), meta={})
    torch.save(kept, tmp_path / "one.pth")
    kept["optimizer"]["state"][1]["exp_avg"] += 1
    torch.save(kept, tmp_path / "other.pth")
    one, other = (_saved(tmp_path / f"{name}.pth") for name in ("one", "other"))
    assert _differing(one, other) == [".optimizer.state.1.exp_avg"]
    assert _differing(one, one) == []


def test_a_training_gets_the_signal_once_its_checkpoint_is_there(tmp_path: Path) -> None:
    caught = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: caught.append(number))
    try:
        with _signal_at(tmp_path / "iter_1.pth"):
            time.sleep(0.02)
            assert caught == []
            (tmp_path / "iter_1.pth").touch()
            for _ in range(500):
                if caught:
                    break
                time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught == [signal.SIGTERM]


def test_without_a_gpu_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert main("benchmark_gpu", tmp_path / "o") == 2
    assert "--device cpu --size small" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    assert "tools/benchmark_gpu.sh" in (REPOSITORY / "docs/speed.md").read_text()
