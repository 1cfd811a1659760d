"""Where each value of a configuration comes from: a line of a file, or an option of the command."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvisionllama.files import replaced_when_whole

from .finding import shown
from .variables import base_files, read_chain

_DATA_PATHS = ("data_root", "ann_file")  # moved by load_config
# What the commands set by themselves -> by which option.
_COMMAND = {
    "launcher": "--launcher",
    "work_dir": "--work-dir, else the config's name",
    "randomness.seed": "--seed",
    "compile": "--compile",
    "load_from": "--resume",
    "resume": "--resume",
    "auto_scale_lr": "--global-batch",
    "optim_wrapper.optimizer.lr": "--global-batch",
    "optim_wrapper.type": "--amp",
    "optim_wrapper.dtype": "--amp",
    "model_wrapper_cfg": "several processes without GPUs",
}
_MISSING = object()


def origins_of(cfg: Config, options: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return key path -> origin for every plain value of a config that ``load_config`` has read.

    An origin is ``file:line`` of the text that says the value, or the option that changed it. Lists of plain
    values count as one value.

    Args:
        options: What ``--cfg-options`` gave.
    """
    files = [_File(path, tree) for path, tree in _all_files(Path(cfg.filename)).items()]
    leaves = _leaves(cfg.to_dict(), ())
    return {".".join(keys): _origin(keys, value, files, options or {}) for keys, value in leaves}


def write_origins(cfg: Config, options: Mapping[str, Any] | None, folder: str | Path) -> Path:
    """Write every value of a config with its origin into ``<config>_origins.txt`` in ``folder``."""
    values = {".".join(keys): value for keys, value in _leaves(cfg.to_dict(), ())}
    lines = [f"# Where each value of {cfg.filename} comes from.\n"]
    lines += [f"{path} = {values[path]!r}  # {x}\n" for path, x in origins_of(cfg, options).items()]
    target = Path(folder) / f"{Path(cfg.filename).stem}_origins.txt"
    with replaced_when_whole(target) as temporary:
        temporary.write_text("".join(lines))
    return target


def _all_files(path: Path) -> dict[Path, ast.Module]:
    """Return a config file and all that it inherits from, also from other packages, itself first."""
    chain = read_chain(path)
    for file, tree in list(chain.items()):
        for base, _ in base_files(tree):
            if "::" in base:
                chain |= _all_files(Path(Config._get_cfg_path(base, str(file))[0]))
    return chain


class _File:
    """A config file as the last assignment of every name at its top level."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self.path = path
        self.assigned: dict[str, ast.expr] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.assigned[target.id] = node.value


_Found = tuple[_File, ast.expr]


def _origin(keys: tuple[str, ...], value: Any, files: Sequence[_File], options: Mapping[str, Any]) -> str:
    path = ".".join(keys)
    if any(_overlap(path, option) for option in options):
        return "--cfg-options"
    found = _trace(keys, files)
    if found is not None:
        file, node = found
        written = _literal(node)
        if written is _MISSING or _alike(written, value):
            return f"{shown(file.path)}:{node.lineno}"
        if keys[-1] in _DATA_PATHS:
            return f"{shown(file.path)}:{node.lineno}, moved to where the data are"
    if keys[-1] == "_scope_":
        return "the package of the base"
    return next((text for key, text in _COMMAND.items() if _overlap(path, key)), "the command")


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
        return _trace([node.attr, *keys], files[1:]) or (files[0], node)
    if isinstance(node, ast.Name):
        here = files[0].assigned.get(node.id)
        if here is None or node.id in names:
            return _trace([node.id, *keys], files[1:]) or (files[0], node)
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


def _overlap(one: str, other: str) -> bool:
    """Whether one of two key paths lies below the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _leaves(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, (list, tuple)) and any(isinstance(x, (dict, list, tuple)) for x in value):
        items = list(enumerate(value))
    if not items:
        yield keys, value
    for key, item in items:
        yield from _leaves(item, (*keys, str(key)))
