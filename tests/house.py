"""The house as the code has it: rooms, floors, files with their first lines, and imports between them."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mmvisionllama"
# From the ground up. Rooms of one floor may import from each other, but no files in a circle.
FLOORS = (
    (
        "__init__",
        "arguments",
        "compat",
        "host_imports",
        "data_readers",
        "errors",
        "files",
        "host_internals",
        "ops",
        "registry",
        "runner_parts",
        "signatures",
        "suggestions",
    ),
    ("models",),
    ("hosts", "generation", "datasets"),
    ("config", "checkpoint"),
    ("checks",),
    ("fault_tolerance", "reports", "evaluation"),
    ("training",),
    ("inference",),
    ("analysis", "experiments", "benchmark", "finetuning", "run_reports", "shards"),
    ("cli",),
)
# Entry points of ``python -m`` and former places of names stand above all floors.
ABOVE = ("__main__", "doctor", "engine", "checkpoint.__main__")


def module_of(path: Path) -> str:
    """Return the dotted name of a file below the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def floor_of(module: str) -> int:
    return next(floor for floor, rooms in enumerate(FLOORS) if room_of(module) in rooms)


@cache
def parsed(path: Path) -> ast.Module:
    """Parse a file once for all tests of a process."""
    return ast.parse(path.read_text())


def first_line(path: Path) -> str:
    """Return the first line of a file's docstring."""
    return (ast.get_docstring(parsed(path)) or "").split("\n")[0]


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules of this package that a file imports anywhere, also inside functions."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            head, _, rest = name.partition(".")
            if head == PACKAGE.name and rest in MODULES:
                yield rest


@cache
def imports() -> dict[str, set[str]]:
    """Return what every module imports of this package."""
    return {module: set(imports_of(path)) - {module} for module, path in MODULES.items()}


def fingerprint() -> str:
    """Return what a picture of the house shows, in short: files of each room, and imports between rooms."""
    files = sorted(module for module in MODULES if module not in ABOVE)
    between = sorted(
        {(room_of(x), room_of(y)) for x, found in imports().items() for y in found if x not in ABOVE}
    )
    return hashlib.sha256(repr((FLOORS, files, between)).encode()).hexdigest()
