"""The documents: their blocks of code, and running tutorials and notebooks in a folder."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.house import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *DOCS.rglob("*.md")])
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
LIMIT = 300  # seconds of a tutorial's block, of a notebook's cell
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SAVE_AS = re.compile(r"Save as `([\w.]+)`:\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        line: Of its fence, from 1.
        language: After its fence, "" if there is none.
        file: The name that the text before it tells to save it as, if it does.
    """

    page: Path
    line: int
    language: str
    text: str
    file: str | None


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page in their order."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        before = text[: found.start()]
        name = _SAVE_AS.search(before)
        yield Block(page, before.count("\n") + 1, found[1], found[2], name[1] if name else None)


def environ() -> dict[str, str]:
    """Return variables by which a shell finds this checkout's package and this Python's commands."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}


def run_tutorial(page: Path, folder: Path) -> str:
    """Run the blocks of a tutorial in their order in a folder, and return what its commands printed.

    Files that it tells to save are written, shell blocks are run, and other Python in this process.

    Raises: AssertionError: for a command that fails, with its line and output.
    """
    output = ""
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text)
            continue
        if block.language == "python":
            with _standing_in(folder), redirect_stdout(StringIO()):
                exec(compile(block.text, f"{page}:{block.line}", "exec"), {})
        if block.language != "shell":
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.text],
            cwd=folder,
            env=environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{page.name}:{block.line}: {done.stdout}"
        output += done.stdout
    return output


@contextmanager
def _standing_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def executed(notebook: Path, folder: Path) -> NotebookNode:
    """Return a notebook with the outputs of an execution in a folder.

    Raises: CellExecutionError: for a cell that fails.
    """
    content = nbformat.read(notebook, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(content, timeout=LIMIT, kernel_name="python3", resources=resources)
    client.record_timing = False
    done = client.execute(env={**environ(), "MPLBACKEND": "module://matplotlib_inline.backend_inline"})
    done.metadata.pop("language_info", None)  # of the Python that ran, which differs among machines
    return done


def source_hash(notebook: NotebookNode) -> str:
    """Return the SHA-256 of the code of a notebook, which stands in it where its outputs are of this code."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()
