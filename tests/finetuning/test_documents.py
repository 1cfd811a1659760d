"""The examples of docs/own_data.md: their code makes the data, their commands are understood."""

import re
import shlex
from pathlib import Path

import pytest

from mmvisionllama.finetuning.preparation import Prepared, prepare
from tests.house import ROOT
from tests.tools.commands import parser_of

TEXT = (ROOT / "docs" / "own_data.md").read_text()
SNIPPETS = {re.search(r'Path\("(\w+)"', x)[1]: x for x in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)}
COMMANDS = [
    x
    for x in re.findall(r"^mmvisionllama finetune (.*)$", TEXT.replace("\\\n", ""), re.MULTILINE)
    if "FOLDER" not in x
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the code of the document has run."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for code in SNIPPETS.values():
            exec(compile(code, "docs/own_data.md", "exec"), {})
    return folder


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_the_document_are_understood(line: str) -> None:
    assert parser_of("finetune").parse_args(shlex.split(line, comments=True)).task


@pytest.mark.parametrize(
    ("name", "task", "counts", "classes"),
    [
        ("digits", "cls", {"train": 1438, "val": 359}, tuple("0123456789")),
        ("digits100", "cls", {"train": 100, "val": 1697}, tuple("0123456789")),
        ("coins", "seg", {"train": 200, "val": 20}, ()),
        ("coins_boxes", "det", {"train": 200, "val": 20}, ("coin",)),
        ("digits", "pretrain", {"train": 1617, "val": 180}, ()),
    ],
)
def test_data_of_the_document_are_found_as_it_says(
    made: Path, tmp_path: Path, name: str, task: str, counts: dict[str, int], classes: tuple[str, ...]
) -> None:
    prepared: Prepared = prepare(made / name, task, out=tmp_path / "out", model="visionllama_tiny")
    assert {part: len(x) for part, x in prepared.found.parts.items()} == counts
    assert prepared.found.classes == classes


def test_every_option_is_in_the_document() -> None:
    options = {x for action in parser_of("finetune")._actions for x in action.option_strings}
    assert sorted(x for x in options - {"-h", "--help"} if x not in TEXT) == []
