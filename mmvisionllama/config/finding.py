"""Where configurations lie, and what a name that does not exist may have meant."""

from collections.abc import Iterable
from pathlib import Path

import mmvisionllama
from mmvisionllama.names import nearest_names

from .errors import ConfigError


def repository_root() -> Path:
    """Return the folder that holds the package, ``configs/`` and ``data/``."""
    return Path(mmvisionllama.__file__).resolve().parents[1]


def find_config(path: str | Path) -> Path:
    """Return the absolute path of a config file.

    Args:
        path: Absolute, or relative to the current directory or else to the repository.

    Raises:
        ConfigError: if there is none, with the nearest names; or if it is no Python file.
    """
    given = Path(path).expanduser()
    candidates = dict.fromkeys((given.absolute(), (repository_root() / given).absolute()))
    file = next((x for x in candidates if x.exists()), None)
    if file is None:
        raise ConfigError(f"no config {str(path)!r}{_near_files(given)}")
    if file.is_dir():
        inside = [x.name for x in sorted(file.glob("*.py"))]
        listing = f"; it holds {', '.join(inside)}" if inside else ""
        raise ConfigError(f"config {str(path)!r} is a folder{listing}")
    if file.suffix != ".py":
        raise ConfigError(f"config {str(path)!r} is no Python file (.py)")
    return file.resolve()


def did_you_mean(file: Path, known: Iterable[Path]) -> str:
    """Return a hint that names the known files whose base names come nearest to that of ``file``."""
    by_name: dict[str, list[Path]] = {}
    for path in known:
        by_name.setdefault(path.stem, []).append(path)
    hits = [shown(path) for name in nearest_names(file.stem, by_name) for path in by_name[name]]
    return f"; did you mean {' or '.join(hits)}?" if hits else ""


def _near_files(given: Path) -> str:
    folders = [given.parent, repository_root() / given.parent]
    beside = [x.resolve() for folder in folders for x in folder.glob("*.py")]
    return did_you_mean(given, dict.fromkeys([*beside, *(repository_root() / "configs").rglob("*.py")]))


def shown(path: Path) -> str:
    """Return a path from the current directory or else from the repository, where it lies in one."""
    for root in (Path.cwd(), repository_root()):
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return str(path)
