"""Two processes stop at the same step and resume together, bit for bit; an epoch has each sample once."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist

from tests.fault_tolerance.resume_cases import ask_of, differences, left_by, stopped_and_resumed, training

LAUNCH = dict(launcher="pytorch", batch_size=2)


def in_two_processes(folder: Path, work: Callable[[int], None]) -> None:
    """Run ``work(rank)`` in two forked processes that form a group; fail with what either printed."""
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            status = 1
            with (folder / f"rank{rank}.txt").open("w") as output:
                try:
                    os.dup2(output.fileno(), 1)
                    os.dup2(output.fileno(), 2)
                    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
                    meeting = f"file://{folder}/meeting"
                    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
                    work(rank)
                    dist.barrier()
                    status = 0
                except BaseException:  # the parent shows it
                    traceback.print_exc(file=output)
                finally:
                    output.flush()
                    sys.stdout.flush()
                    os._exit(status)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    shown = "\n".join((folder / f"rank{rank}.txt").read_text()[-3000:] for rank in range(2))
    assert statuses == [0, 0], shown


def draws_of_all(ask: Any) -> list[list[int]]:
    """Return, for every iteration, the samples that both processes drew."""
    found = [None] * 2
    dist.all_gather_object(found, ask.drawn)
    return [one + other for (_, one), (_, other) in zip(*found, strict=True)]


@pytest.mark.parametrize("loop", [dict(epochs=2), dict(epochs=0)], ids=["epochs", "iterations"])
def test_two_processes_resume_exactly_whichever_was_asked_to_stop(tmp_path: Path, loop: dict) -> None:
    stops = [
        dict(train=3, rank=1),
        dict(train=7, rank=0),
        dict(val=(6 if loop["epochs"] else 5, 1), rank=1),
    ]

    def work(rank: int) -> None:
        for accumulate in (1, 4):
            changes = dict(LAUNCH, accumulate=accumulate, **loop)
            whole = training(tmp_path / f"whole{accumulate}", **changes)
            whole.train()
            left = left_by(whole)
            for index, stop in enumerate(stops):
                runners = stopped_and_resumed(tmp_path / f"{accumulate}_{index}", stop, **changes)
                assert differences(left, left_by(runners[-1])) == []
                assert [x for y in runners for x in ask_of(y).drawn] == ask_of(whole).drawn
                assert sum(ask_of(x).steps for x in runners) == ask_of(whole).steps
            crash = dict(train=7, crash=True)
            runners = stopped_and_resumed(tmp_path / f"{accumulate}_crash", crash, **changes)
            assert differences(left, left_by(runners[-1])) == []
        if loop["epochs"]:
            epoch = [index for draw in draws_of_all(ask_of(whole))[:6] for index in draw]
            assert set(epoch) == set(range(23))
            assert len(epoch) == 24  # one twice, so that both processes have the same number

    in_two_processes(tmp_path, work)


def test_two_processes_augment_as_one_does(tmp_path: Path) -> None:
    """What one process draws for a batch of four, two draw for their batches of two."""
    alone = training(tmp_path / "alone")
    expected = [next(iter(alone.build_dataloader(alone._train_dataloader, seed=3)))]

    def work(rank: int) -> None:
        loader = training(tmp_path / "two", **LAUNCH)
        batch = next(iter(loader.build_dataloader(loader._train_dataloader, seed=3)))
        assert torch.equal(batch["inputs"], expected[0]["inputs"][rank::2])
        assert batch["drawn"].tolist() == expected[0]["drawn"][rank::2].tolist()

    in_two_processes(tmp_path, work)
