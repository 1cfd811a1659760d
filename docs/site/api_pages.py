"""A page for each room of the package, which mkdocstrings fills from the docstrings."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "mmvisionllama"
# Entry points and commands, whose options `--help` and the documents say.
_WITHOUT = ("cli",)


def api_pages() -> dict[str, str]:
    """Return path and Markdown of every page: an index, and one for each room with its files."""
    rooms = sorted(x.parent for x in PACKAGE.glob("*/__init__.py") if x.parent.name not in _WITHOUT)
    rows = ["| room | what it is |", "|---|---|"]
    pages = {}
    for room in rooms:
        pages[f"api/{room.name}.md"] = _room(room)
        rows.append(f"| [{room.name}]({room.name}.md) | {_first_line(room / '__init__.py')} |")
    alone = [x for x in sorted(PACKAGE.glob("*.py")) if not x.stem.startswith("__")]
    pages["api/ground_floor.md"] = _page("Ground floor", "Files that every room may use.", alone)
    rows.append("| [ground floor](ground_floor.md) | Files that every room may use. |")
    head = (
        "# API\n\nWhat the docstrings say: shapes, units, ranges, errors. The public names of the package, "
        "`train`, `test`, `load`, `create_model`, `list_models`, `VisionLLaMA` and `PyramidVisionLLaMA`, are "
        "those of [training](training.md), [inference](inference.md) and [models](models.md); "
        "[architecture.md](../architecture.md) is the map.\n\n"
    )
    return {"api/index.md": head + "\n".join(rows) + "\n", **pages}


def _room(room: Path) -> str:
    files = sorted(x for x in room.rglob("*.py") if not x.stem.startswith("__"))
    return _page(room.name, _first_line(room / "__init__.py"), files)


def _page(title: str, about: str, files: list[Path]) -> str:
    parts = [f"# {title}\n\n{about}"]
    parts += [f"::: {_module(x)}" for x in files if _has_public_names(x)]
    return "\n\n".join(parts) + "\n"


def _module(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)


def _first_line(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]


def _has_public_names(file: Path) -> bool:
    kinds = (ast.FunctionDef, ast.ClassDef)
    return any(isinstance(x, kinds) and not x.name.startswith("_") for x in ast.parse(file.read_text()).body)
