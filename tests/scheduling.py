"""Which tests begin first and share a process, and which of them a change touches (``make test-quick``)."""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.house import ROOT

# Begun first, the longest first, so that the processes end together. Any other order is right, too.
LONGEST = (
    "tests/slurm/",
    "tests/configs/",
    "tests/fault_tolerance/",
    "tests/cli/test_reproduce.py",
    "tests/recipes/",
    "tests/experiments/",
    "tests/training/",
    "tests/tools/",
    "tests/cli/",
    "tests/benchmark/",
)
# Files that begin with one of these share a process: a cluster, configs or trainings with their models, and
# conversions.
PROCESS_GROUPS = ("tests/slurm/", "tests/configs/", "tests/inference/", "tests/checkpoint/released/")
ALWAYS = "tests/test_architecture.py"  # also holds the documents


def place_of(nodeid: str) -> int:
    """Return when a test should begin, as a number to sort by."""
    return next((i for i, path in enumerate(LONGEST) if nodeid.startswith(path)), len(LONGEST))


def changed_files(base: str = "main") -> list[str]:
    """Return the files that differ from where this branch left ``base``, committed or not, also new ones."""

    def git(*arguments: str) -> list[str]:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    known = git(
        "for-each-ref", "--format=%(refname:short)", f"refs/heads/{base}", f"refs/remotes/origin/{base}"
    )
    (start,) = git("merge-base", "HEAD", known[0]) if known else ["HEAD"]
    return sorted({*git("diff", "--name-only", start), *git("ls-files", "--others", "--exclude-standard")})


def mirrors_of(changed: Iterable[str]) -> list[str]:
    """Return what of the tests mirrors changed files.

    A test file stands for itself, another Python file of the package or of the tests for
    ``tests/<room>/test_<its name>*.py`` or, if there is none, for all of its room, a file below ``tools/`` or
    ``configs/`` for the tests of all of them, a document for those of all documents.
    """
    return sorted({ALWAYS, *(str(test) for file in changed for test in _mirror(Path(file)))})


def _mirror(file: Path) -> list[Path]:
    top, *inside = file.parts
    if top == "tests" and re.fullmatch(r"test_\w+\.py", file.name):
        return [file] if (ROOT / file).exists() else []
    if top in ("mmvisionllama", "tests") and file.suffix == ".py":
        room = Path("tests", *inside[:-1])
        return _tests_in(room, f"test_{file.stem}*.py") or _tests_in(room)
    if file.suffix == ".md":
        top = "docs"
    return _tests_in(Path("tests", top)) if top in ("configs", "docs", "tools") else []


def _tests_in(room: Path, pattern: str = "test_*.py") -> list[Path]:
    return [x.relative_to(ROOT) for x in (ROOT / room).glob(pattern)]


if __name__ == "__main__":
    sys.stdout.write(" ".join(mirrors_of(changed_files())) + "\n")
