"""How many processes a command gets, and what each of them is told."""

import os
import sys
from collections.abc import Sequence
from types import ModuleType

import pytest

from mmvisionllama.cli import launch as launching
from mmvisionllama.cli.launch import Processes, launch, processes_by
from mmvisionllama.errors import LaunchError
from tests.tools.commands import parser_of

OTHER_MACHINE = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1"}


@pytest.mark.parametrize(
    ("variables", "visible", "expected"),
    [
        ({}, 2, Processes(2, True)),
        ({}, 0, Processes(1, False)),
        ({"GPUS": "1"}, 2, Processes(1, True)),
        ({"GPUS": "0"}, 2, Processes(1, False)),
        ({"GPUS": "0", "NPROC": "3"}, 2, Processes(3, False)),
        ({"NPROC": "3"}, 0, Processes(3, False)),
        ({"GPUS": "", "NPROC": "", "NNODES": ""}, 0, Processes(1, False)),
        (
            {**OTHER_MACHINE, "GPUS": "1"},
            2,
            Processes(
                1,
                True,
                ("--nnodes", "2", "--node-rank", "1", "--master-addr", "10.0.0.1", "--master-port", "29500"),
            ),
        ),
    ],
)
def test_the_variables_decide_how_many_processes_start(
    variables: dict[str, str], visible: int, expected: Processes
) -> None:
    assert processes_by(variables, lambda: visible) == expected
    assert expected.alone == (expected.count == 1 and not variables.get("NNODES"))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"GPUS": "3"}, "GPUS=3, but 2 are visible"),
        ({"GPUS": "two"}, "GPUS=two must be a whole number"),
        ({"GPUS": "1", "NPROC": "2"}, "NPROC=2 counts processes on CPUs"),
        ({"NPROC": "2"}, "NPROC=2 counts processes on CPUs"),
        ({"NPROC": "0", "GPUS": "0"}, "NPROC=0 must be a whole number of at least 1"),
        ({"NNODES": "2"}, "NNODES=2 needs NODE_RANK"),
        ({"NNODES": "2", "NODE_RANK": "0"}, "NNODES=2 needs MASTER_ADDR"),
        ({"NNODES": "2", "NODE_RANK": "2", "MASTER_ADDR": "a"}, "NODE_RANK=2 must be below NNODES=2"),
    ],
)
def test_variables_that_cannot_work_are_errors(variables: dict[str, str], message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        processes_by(variables, lambda: 2)


def test_gpus_are_not_counted_where_none_are_wanted() -> None:
    def count() -> int:
        raise AssertionError("asked")

    assert processes_by({"GPUS": "0", "NPROC": "2"}, count) == Processes(2, False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The options that torchrun gets, in the environment of a shell without GPUs."""
    for name in ("GPUS", "NPROC", "NNODES", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # which launch() writes, and monkeypatch then undoes
    calls: list[list[str]] = []
    torchrun = ModuleType("mmvisionllama.cli.torchrun")
    torchrun.run = lambda options: calls.append(options) or 75
    monkeypatch.setitem(sys.modules, torchrun.__name__, torchrun)
    monkeypatch.setattr("mmvisionllama.cli.torchrun", torchrun, raising=False)
    monkeypatch.setattr(launching, "_visible_gpus", lambda: 0)
    return calls


def start(*arguments: str) -> int:
    def main(words: Sequence[str]) -> int:
        sys.stdout.write(" ".join(words))
        return 0

    return launch("train", arguments, parser_of("train"), main)


def test_one_process_is_this_one(started: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert start("a.py", "--amp") == 0
    assert capsys.readouterr().out == "a.py --amp --launcher none"
    assert started == []


@pytest.mark.parametrize("as_package", [True, False])
def test_several_processes_are_what_this_one_is_and_end_as_they_do(
    as_package: bool, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPROC", "1000")
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "")
    monkeypatch.setattr(sys, "argv", ["/bin/mmvisionllama", "train"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", "some" if as_package else None)
    assert start("a.py", "--amp") == 75
    program = ["--module", "--", "mmvisionllama"] if as_package else ["--", "/bin/mmvisionllama"]
    arguments = ["train", "a.py", "--amp", "--launcher", "pytorch"]
    assert started == [["--standalone", "--nproc-per-node", "1000", *program, *arguments]]
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_a_mistake_in_the_options_is_said_once_before_any_process_starts(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NPROC", "2")
    with pytest.raises(SystemExit):
        start("a.py", "--ammp")
    assert "unrecognized arguments: --ammp" in capsys.readouterr().err
    assert started == []


def test_a_mistake_in_the_variables_is_one_line(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPUS", "1")
    assert start("a.py") == 2
    assert (
        capsys.readouterr().err
        == "error: GPUS=1, but 0 are visible; for several processes on CPUs set NPROC\n"
    )
