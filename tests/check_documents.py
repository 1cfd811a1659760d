"""Run the tutorials and the notebooks; `make check-docs` does so, `make test` does not."""

import re
from pathlib import Path

import pytest

from tests.docs.documents import NOTEBOOKS, TUTORIALS, blocks, executed, run_tutorial

# Of a table: its name, its number, and of these others that follow.
RESULT = re.compile(r"^ *(\S*[a-zA-Z]\S*) +(\d[\d.]*)(?: +-?[\d.]+)* *$", re.MULTILINE)


def numbers_in(text: str) -> dict[str, float]:
    """Return the results that tables on a screen name; of several the last."""
    return {name: float(value) for name, value in RESULT.findall(text)}


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_as_it_stands_and_gives_what_it_shows(page: Path, tmp_path: Path) -> None:
    found = numbers_in(run_tutorial(page, tmp_path))
    (told,) = [numbers_in(block.text) for block in blocks(page) if block.language == "text"]
    assert told
    # Sums are rounded in another order on other processors, and a training amplifies that.
    assert {name: found[name] for name in told} == pytest.approx(told, rel=0.25)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(notebook: Path, tmp_path: Path) -> None:
    executed(notebook, tmp_path)
