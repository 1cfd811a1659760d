"""The page of messages: commands print what it says, and the others are texts of the source."""

import ast
import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmvisionllama.cli.commands import main
from tests.docs.documents import DOCS, blocks
from tests.house import MODULES, ROOT

PAGE = DOCS / "messages.md"
PAIRS = list(pairwise([None, *blocks(PAGE)]))
TOLD = [
    (x.text.removeprefix("mmvisionllama ").strip(), y.text) for x, y in PAIRS if x and x.language == "shell"
]
UNTOLD = [y.text for x, y in PAIRS if y.language == "text" and (x is None or x.language != "shell")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Stand in a folder with the files that the commands of the page meet."""
    folder = tmp_path_factory.mktemp("messages")
    for name in ("one/daisy", "empty", "colours/images", "colours/masks", "results"):
        (folder / name).mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(folder / "one/daisy/a.png")
    street = np.full((32, 32, 3), (128, 64, 128), np.uint8)
    street[20:] = (0, 0, 142)
    for part in ("images", "masks"):
        for i in range(4):
            Image.fromarray(street).save(folder / "colours" / part / f"{i}.png")
    torch.save({"state_dict": Fraction(1, 2)}, folder / "foreign.pth")
    (folder / "broken.pth").write_bytes(b"PK\x03\x04 cut off")
    (folder / "results" / "iter_20.pth").write_bytes(b"x")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MMVISIONLLAMA_DATA", str(folder / "none"))
        patch.setenv("TORCH_HOME", str(folder / "torch"))
        yield folder


def pattern(text: str) -> str:
    """Return a regular expression of a message on the page."""
    return re.escape(text.strip()).replace(re.escape("[...]"), ".*")


@pytest.mark.parametrize(("command", "text"), TOLD, ids=[x for x, _ in TOLD])
def test_a_command_ends_with_the_message_of_the_page(command: str, text: str, place: Path) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as screen:
        try:
            status = main(shlex.split(command))
        except SystemExit as end:  # of argparse
            status = end.code
    assert status == 2
    printed = screen.getvalue().replace(str(place), "HERE").replace(str(ROOT), "CHECKOUT")
    assert re.search(f"^{pattern(text)}$", printed.strip(), re.MULTILINE | re.DOTALL), printed


@pytest.mark.parametrize("text", UNTOLD)
def test_a_message_without_its_command_is_a_text_of_the_source(text: str) -> None:
    """Its beginning is matched: what follows may be joined to it from other places."""
    assert any(re.match(x, text.strip()) for x in _texts())


def test_the_page_has_both_kinds() -> None:
    assert (len(TOLD) > 15, len(UNTOLD) > 2) == (True, True)


@cache
def _texts() -> list[str]:
    """Return the texts with values in the source, as regular expressions."""
    found = []
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [re.escape(x.value) if isinstance(x, ast.Constant) else ".+?" for x in node.values]
                if sum(len(x) for x in parts if x != ".+?") > 25:
                    found.append("".join(parts))
    return found
