"""Find the line of a config file that says a value."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvisionllama.config.config_files import shown
from mmvisionllama.config.variables import read_chain
from mmvisionllama.files import atomic_path

_MISSING = object()


class FileOrigins:
    """The lines of a config file and of all that it inherits from, also from other packages."""

    def __init__(self, path: Path) -> None:
        self._files = [_File(path, tree) for path, tree in read_chain(path, foreign=True).items()]

    def of(self, keys: Sequence[str], value: Any = _MISSING) -> str:
        """Return ``file:line`` of the text that says the value there, and whether that is another value."""
        found = _trace(keys, self._files)
        if found is None:
            return "the config"
        file, node = found
        written = _literal(node)
        changed = _MISSING not in (written, value) and not _alike(written, value)
        return f"{shown(file.path)}:{node.lineno}" + (", changed below it" if changed else "")


def leaves(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the keys down to every plain value, and the value; lists of plain values count as one value."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, Config):
        value = value.to_dict()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, (list, tuple)) and any(isinstance(x, (dict, list, tuple)) for x in value):
        items = list(enumerate(value))
    if not items:
        yield keys, value
    for key, item in items:
        yield from leaves(item, (*keys, str(key)))


def write_values(cfg: Config, origins: Mapping[str, str], folder: str | Path) -> Path:
    """Write every value of a config with its origin into ``<config>_origins.txt`` in ``folder``."""
    lines = [f"# Where each value of {cfg.filename} comes from.\n"]
    values = {".".join(keys): value for keys, value in leaves(cfg)}
    lines += [f"{path} = {value!r}  # {origins[path]}\n" for path, value in values.items()]
    target = Path(folder) / f"{Path(cfg.filename).stem}_origins.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("".join(lines))
    return target


def overlap(one: str, other: str) -> bool:
    """Return whether one of two key paths lies below the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


class _File:
    """A config file as the last assignment of every name in it."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self.path = path
        self.assigned: dict[str, ast.expr] = {}
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=targets, value=value):
                    self.assigned |= {x.id: value for x in targets if isinstance(x, ast.Name)}
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self.assigned[name] = value


_Found = tuple[_File, ast.expr]


def _trace(keys: Sequence[str], files: Sequence[_File]) -> _Found | None:
    """Find the expression that says the value at ``keys``: the first file that has it decides."""
    for index, file in enumerate(files):
        if keys[0] in file.assigned:
            found = _descend(file.assigned[keys[0]], keys[1:], files[index:], {keys[0]})
            if found is not None:
                return found
    return None


def _descend(node: ast.expr, keys: Sequence[str], files: Sequence[_File], names: set[str]) -> _Found | None:
    """Go down into an expression of the first file; ``names`` have been followed to get there."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_base_":
        return _trace_variable(node.attr, node, keys, files)
    if isinstance(node, ast.Name):
        here = files[0].assigned.get(node.id)
        if here is None or node.id in names:
            return _trace_variable(node.id, node, keys, files)
        return _descend(here, keys, files, names | {node.id})
    if not keys:
        return files[0], node
    entries = _entries(node)
    if entries is None:
        return files[0], node  # computed: the whole comes from this line
    for key, value in reversed(entries):
        if key == keys[0]:
            return _descend(value, keys[1:], files, names)
        if key is None and (found := _descend(value, keys, files, names)) is not None:
            return found
    return None


def _trace_variable(name: str, node: ast.expr, keys: Sequence[str], files: Sequence[_File]) -> _Found | None:
    """Go on in the file below that assigns a variable; ``node`` itself decides if none does."""
    if any(name in file.assigned for file in files[1:]):
        return _trace([name, *keys], files[1:])
    return files[0], node


def _entries(node: ast.expr) -> list[tuple[str | None, ast.expr]] | None:
    """Return the keys and values of a dictionary or list; the key of ``**other`` is None."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return None if node.args else [(x.arg, x.value) for x in node.keywords]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _literal(key) for key in node.keys]
        return [(key if key is None else str(key), x) for key, x in zip(keys, node.values, strict=True)]
    if isinstance(node, (ast.List, ast.Tuple)) and not any(isinstance(x, ast.Starred) for x in node.elts):
        return [(str(index), x) for index, x in enumerate(node.elts)]
    return None


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return _MISSING


def _alike(written: Any, value: Any) -> bool:
    """Whether two values are equal; reading a config may turn a tuple into a list."""
    if isinstance(written, (list, tuple)) and isinstance(value, (list, tuple)):
        return len(written) == len(value) and all(map(_alike, written, value))
    return written == value
