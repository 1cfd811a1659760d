"""Read config files as syntax trees: what each inherits from, and its helper variables."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvisionllama.config.config_files import SHIPPED, configs_folder, did_you_mean, shown, shown_as_base
from mmvisionllama.config.problems import ConfigProblem
from mmvisionllama.config.sections import ROOT
from mmvisionllama.errors import ConfigError
from mmvisionllama.host_internals import path_of_base
from mmvisionllama.suggestions import nearest


def read_chain(path: Path, foreign: bool = False) -> dict[Path, ast.Module]:
    """Return the syntax trees of a config file and of every file it inherits from, itself first.

    Args:
        foreign: Also of the bases from other packages (``package::path``), which must have been read before.

    Raises:
        ConfigError: for a base that does not exist or a file that is no Python, with file and line.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except SyntaxError as error:
        raise ConfigError(f"{path}, line {error.lineno}: {error.msg}: {(error.text or '').strip()}") from None
    chain = {path: tree}
    for base, line in base_files(tree):
        ours = base.startswith(SHIPPED)
        if "::" in base and not foreign and not ours:
            continue
        file = configs_folder() / base.removeprefix(SHIPPED) if ours else path_of_base(base, path).resolve()
        if not file.is_file():
            near = configs_folder().rglob("*.py") if ours else file.parent.glob("*.py")
            hint = did_you_mean(file, near, shown_as_base if ours else shown)
            raise ConfigError(f"{path}, line {line}: there is no base file {base!r}{hint}")
        chain |= read_chain(file, foreign)
    return chain


def base_files(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the bases that a config file names, with the line of each.

    They stand in ``_base_``, or are imported relatively inside ``with read_base():``.
    """
    for node in tree.body:
        if isinstance(node, ast.Assign) and "_base_" in map(_name, node.targets):
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value, part.lineno
        elif isinstance(node, ast.With):
            for part in node.body:
                if isinstance(part, ast.ImportFrom) and part.level and part.module:
                    up = "../" * (part.level - 1)
                    yield f"{up}{part.module.replace('.', '/')}.py", part.lineno


def _name(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def assigned_names(tree: ast.AST) -> set[str]:
    """Return the names that a syntax tree assigns anywhere."""
    return {x.id for x in ast.walk(tree) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}


def helper_variables(cfg: Config) -> list[str]:
    """Return the top-level names that are no settings: the config file computes settings from them."""
    return [key for key in cfg if key not in ROOT]


def useless_variables(cfg: Config) -> list[ConfigProblem]:
    """Find the top-level values that are neither a setting nor read by the files to compute one.

    A name counts as read when the file that assigns it, or one that inherits it, mentions it again;
    failing that (a dumped config has only values) when a setting contains its value. What a file imports or
    defines, and what a loop leaves behind, is no value that somebody set.
    """
    read = _read_variables(cfg.filename)
    settings = {key: cfg[key] for key in cfg if key in ROOT}
    values = [x for _, x in walk(settings) if x is not None and not isinstance(x, bool)]
    problems = []
    for key in helper_variables(cfg):
        value = cfg[key]
        if (
            key.startswith("_")
            or key in read
            or not isinstance(value, (str, int, float, list, tuple, dict, type(None)))
        ):
            continue
        meant = nearest(key, ROOT, cutoff=0.8)
        if value not in values or (
            meant and not isinstance(value, (dict, list, tuple))
        ):  # scalars meet by chance
            text = "no setting has this name and none is computed from it"
            problems.append(ConfigProblem(key, text, meant))
    return problems


def _read_variables(filename: str | None) -> set[str]:
    """Return the names that the file which sets them last, or one that inherits it, also reads."""
    read: set[str] = set()
    assigned: set[str] = set()
    file = Path(filename or "")
    for tree in read_chain(file, foreign=True).values() if file.is_file() else ():
        nodes = list(ast.walk(tree))
        stored = assigned_names(tree) - assigned
        loads = {x.id for x in nodes if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Load)}
        loops = [assigned_names(x.target) for x in nodes if isinstance(x, ast.For)]
        read |= stored & loads.union(*loops)
        read |= {x.asname or x.name for x in nodes if isinstance(x, ast.alias)}
        read |= {x.attr for x in nodes if isinstance(x, ast.Attribute) and _name(x.value) == "_base_"}
        assigned |= stored
    return read


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value inside dictionaries and lists with its key path."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    for key, item in items:
        below = f"{path}.{key}" if path else str(key)
        yield below, item
        yield from walk(item, below)
