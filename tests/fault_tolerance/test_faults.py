"""Every fault of the table in docs/resume.md, a few times; the command in faults.py strikes more often."""

import random
import re
from pathlib import Path

import pytest

from tests.fault_tolerance.faults import BENCHES, FAULTS, Tally, line, main, strike
from tests.fault_tolerance.small_disk import on_small_disk
from tests.fault_tolerance.trainings import EVERY, STEPS, FaultBench

REPOSITORY = Path(__file__).parents[2]
KILLS = 2


@pytest.fixture(scope="module")
def benches() -> dict[str, FaultBench]:
    return {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def small_disks(folder: Path) -> bool:
    """Whether this machine lets a process have a disk of its own."""
    place = folder / "disk"
    place.mkdir()
    try:
        return on_small_disk(place, 1 << 20, lambda: True)
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAULTS, key=lambda x: FAULTS[x].bench))
def test_a_fault_costs_at_most_an_interval_and_the_training_ends_as_undisturbed(
    name: str, benches: dict[str, FaultBench], folder: Path, small_disks: bool
) -> None:
    if name.startswith("disk") and not small_disks:
        pytest.skip("this machine allows no file systems of a user's own")
    times = KILLS if name.startswith("SIGKILL") else 1
    tally = strike(name, benches, folder, random.Random(name), times)
    assert tally.times == times
    assert tally.lost <= EVERY
    goes_on = "goes on" in FAULTS[name].comes
    assert tally.resumed == (0 if goes_on else times)
    assert tally.equal == tally.trainings
    assert tally.trainings > 0 or "another image" in FAULTS[name].comes


def test_a_training_that_ends_otherwise_is_noticed(folder: Path) -> None:
    """The comparison of all these tests is one that can fail."""
    bench = FaultBench(folder / "other")
    started = bench.start(bench.new(), lambda runner, heartbeat: runner.model.head.bias.data.add_(1e-6))
    assert started.ended() == [0]
    assert not bench.is_as_undisturbed(started)
    with pytest.raises(AssertionError, match="not as undisturbed"):
        Tally().compare(bench, started)


def test_a_fault_that_costs_more_than_an_interval_is_noticed() -> None:
    with pytest.raises(AssertionError, match=f"{EVERY + 1} iterations are lost"):
        Tally().count(EVERY + 1)


def test_the_docs_have_a_line_for_every_fault() -> None:
    text = (REPOSITORY / "docs" / "resume.md").read_text()
    assert [x for x in FAULTS if f"| {x} | " not in text] == []
    assert {fault.bench for fault in FAULTS.values()} == BENCHES.keys()
    kills = [int(x) for x in re.findall(r"^\| SIGKILL .*? \| (\d+) \| ", text, re.MULTILINE)]
    assert sum(kills) >= 100
    assert kills[0] >= 50


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--only", "cut off", "--times", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [line("newest checkpoint cut off", Tally(1, EVERY, 1, 1, 1))]
    assert len({x.count("|") for x in lines}) == 1
    assert STEPS > EVERY
