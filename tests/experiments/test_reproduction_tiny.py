"""Every kind of chain end to end by the tiny profile: from pre-training to the report, in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmvisionllama.evaluation import scores
from mmvisionllama.evaluation.scores import Moments
from mmvisionllama.experiments.paper import load_table
from mmvisionllama.experiments.reproduction import Link, data_in, plan
from mmvisionllama.experiments.reproduction_report import find_runs, write_report
from mmvisionllama.experiments.reproduction_runs import run_chain
from mmvisionllama.experiments.tiny_data import write_tiny_data
from mmvisionllama.experiments.tiny_profile import TinyProfile
from tests.tools.commands import main, run

PROFILE = TinyProfile()
# A row of every table and figure but two: Table 10 evaluates as Table 9 and the convergence of SiT do, at
# two more steps; the chain of the convergence of supervised trainings begins that of Table 2. Table 7 runs
# through the launchers, too, in tests/cli/test_reproduce.py.
CHAINS = [
    ("table4", "visionllama"),
    ("table3", "visionllama"),
    ("convergence_mae", "visionllama"),
    ("table6", "visionllama"),
    ("table2", "visionllama_large"),
    ("table11", "visionllama_large"),
    ("table5", "pyramid_visionllama"),
    ("table12", "ntk5"),
    ("table1", "visionllama_base_p4_guided"),
    ("table9", "visionllama_small"),
    ("table8", "visionllama_small"),
    ("convergence_sit", "visionllama_small"),
    ("table7", "gap_small"),
]


def in_this_process(link: Link) -> int:
    """Run the command of a link without the seconds that a new process takes to start."""
    script = next(i for i, word in enumerate(link.command) if Path(word).parent.name == "tools")
    name, arguments = Path(link.command[script]).stem, link.command[script + 1 :]
    # Trainings and tests of one name would share a logger.
    return run(name, *arguments) if name in ("train", "test") else main(name, *arguments)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("reproduce")
    with data_in(folder / "data"):
        write_tiny_data(folder / "data")
        yield folder


@pytest.fixture(autouse=True)
def _cheap_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The distance itself is tested in tests/evaluation; of 2,048 features each takes five seconds."""

    def of_means(one: Moments, other: Moments) -> float:
        return float(((one.mean_D - other.mean_D) ** 2).sum())

    monkeypatch.setattr(scores, "frechet_distance", of_means)


@pytest.mark.parametrize(("table", "row"), CHAINS)
def test_a_chain_runs_from_pretraining_to_the_report(table: str, row: str, out: Path) -> None:
    content = load_table(table)
    links = plan(content.row(row), out, profile=PROFILE)
    run_chain(links, PROFILE, launch=in_this_process)
    assert all(link.finished for link in links)
    runs = find_runs(content.row(row), out, PROFILE)
    for column in content.columns:
        (run_of_column,) = [x for x in runs if x.branch.name == column.branch]
        value = run_of_column.measured(column, PROFILE)
        assert (value is not None) == (column.metric is not None)
    markdown, page = write_report([content], out, PROFILE)
    label = content.row(row).label
    assert label in markdown.read_text() and label in page.read_text()
    assert "nothing about results" in markdown.read_text()
