"""What pages say is in the files: letters, notebooks with their outputs, the zoo, sections of docstrings."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from mmvisionllama import models
from mmvisionllama.checkpoint.names import TINY, tiny_models
from mmvisionllama.checkpoint.released import RELEASED
from mmvisionllama.files import sha256_of
from mmvisionllama.inference.published_files import LOG
from mmvisionllama.inference.zoo import rows_in, table_of_public, with_table
from tests.docs.documents import DOCS, NOTEBOOKS, TUTORIALS, source_hash
from tests.house import ROOT

ZOO = DOCS / "zoo.json"


def test_the_glossary_has_the_letters_of_the_networks() -> None:
    rows = re.findall(
        r"^\| ([A-Z], [A-Z]|[A-Z]) \| ([\w -]+)", (DOCS / "glossary.md").read_text(), re.MULTILINE
    )
    said = " ".join(models.__doc__.split()).partition("names: ")[2].partition(" A plain")[0]
    said = said.replace("P = K/2", "P")
    assert {x for letters, _ in rows for x in letters.split(", ")} == {*re.findall(r"\b[A-Z]\b", said)}
    assert [x for x in rows if f"{x[0].replace(', ', ' ')} {x[1].strip()}" not in said] == []


def test_the_zoo_has_the_hashes_configs_and_logs_of_the_files() -> None:
    rows = rows_in(ZOO)
    assert [x.name for x in rows] == tiny_models()
    for row in rows:
        assert (ROOT / row.folder) == TINY / row.name
        facts = json.loads((ROOT / row.folder / "config.json").read_text())
        assert row.sha256 == facts["sha256"] == sha256_of(TINY / row.name / "model.safetensors")
        assert (row.task, row.log) == (facts["task"], (ROOT / row.folder / LOG).is_file())
        assert row.config.startswith("configs/toy/")
        assert (ROOT / row.config).is_file()
        card = (ROOT / row.folder / "README.md").read_text()
        assert f"| metric | {row.measured_by} |" in card
        assert all(f"| {name} | {value} |" in card for name, value in row.metrics.items())


def test_the_table_of_the_zoo_is_that_of_its_file_and_of_the_released_weights() -> None:
    page = DOCS / "zoo.md"
    assert page.read_text() == with_table(page.read_text(), rows_in(ZOO), page)
    for name, release in RELEASED.items():
        (row,) = [x for x in page.read_text().splitlines() if x.startswith(f"| `{name}` |")]
        assert f"| {release.published} | published by the authors |" in row
        assert release.config in row
        assert (ROOT / release.config).is_file()


def test_the_zoo_lists_public_weights_of_other_rotary_transformers() -> None:
    assert table_of_public() in (DOCS / "zoo.md").read_text()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_outputs_of_a_notebook_are_of_its_code_and_small(notebook: Path) -> None:
    content = nbformat.read(notebook, as_version=4)
    assert content.metadata["executed"] == source_hash(content), "run docs/notebooks/execute.py"
    code = [x for x in content.cells if x.cell_type == "code"]
    assert [x.execution_count for x in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [x for x in outputs if x.output_type == "error" or x.get("name") == "stderr"]
    pictures = [x.data["image/png"] for x in outputs if "image/png" in x.get("data", {})]
    assert pictures
    assert max(map(len, pictures)) < 100_000
    assert not re.search(r"/(work|home|root|tmp)\b", json.dumps([dict(x) for x in outputs]))


def test_there_are_tutorials_and_pictures_in_documents_are_small() -> None:
    assert [x.stem for x in TUTORIALS] == ["classify", "detect", "generate", "segment"]
    assert (DOCS / "figures" / "tasks.png").stat().st_size < 300_000
    assert max(x.stat().st_size for x in (DOCS / "tutorials" / "figures").iterdir()) < 100_000


def test_sections_on_one_line_become_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(DOCS / "site"), *sys.path])
    from docstrings import as_sections

    one = "Do it.\n\nReturns: The sum.\nRaises: InputError: for a name that\n    is none.\n\nMore."
    told = as_sections(one)
    assert "Returns:\n    The sum.\n" in told
    assert "Raises:\n    InputError: for a name that is none.\n" in told
    assert as_sections("Raises:\n    A: b.\n") == "Raises:\n    A: b.\n"
