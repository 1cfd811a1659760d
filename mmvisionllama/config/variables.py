"""The files behind a configuration, and the variables that only help to write it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .finding import did_you_mean


def read_chain(path: Path) -> dict[Path, ast.Module]:
    """Return the syntax trees of a config file and of every file it inherits from, itself first.

    Bases of other packages (``package::path``) are left to mmengine.

    Raises:
        ConfigError: for a base that does not exist or a file that is no Python, with file and line.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except SyntaxError as error:
        raise ConfigError(f"{path}, line {error.lineno}: {error.msg}: {(error.text or '').strip()}") from None
    chain = {path: tree}
    for base, line in base_files(tree):
        if "::" in base:
            continue
        file = (path.parent / base).resolve()
        if not file.is_file():
            hint = did_you_mean(file, file.parent.glob("*.py"))
            raise ConfigError(f"{path}, line {line}: there is no base file {base!r}{hint}")
        chain |= read_chain(file)
    return chain


def base_files(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the bases that a config file names, with the line of each."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and "_base_" in map(_name, node.targets):
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value, part.lineno


def _name(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def read_variables(filename: str | None) -> frozenset[str]:
    """Return the names that the file which assigns them last, or one that inherits it, reads again."""
    read: set[str] = set()
    assigned: set[str] = set()
    file = Path(filename or "")
    for tree in read_chain(file).values() if file.is_file() else ():
        nodes = list(ast.walk(tree))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        stored = {node.id for node in names if isinstance(node.ctx, ast.Store)} - assigned
        read |= stored & {node.id for node in names if isinstance(node.ctx, ast.Load)}
        read |= {x.attr for x in nodes if isinstance(x, ast.Attribute) and _name(x.value) == "_base_"}
        assigned |= stored
    return frozenset(read)


def values_below(value: Any) -> Iterator[Any]:
    """Yield every value inside ``value``, except those too common to show that a name is used."""
    for item in value.values() if isinstance(value, dict) else value:
        if item is not None and not isinstance(item, bool):
            yield item
        if isinstance(item, (dict, list, tuple)):
            yield from values_below(item)
