"""Find config files, and suggest the nearest ones for a name that does not exist."""

import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import mmvisionllama
from mmvisionllama.errors import ConfigError
from mmvisionllama.files import from_here, why_no_file
from mmvisionllama.registry import SCOPE
from mmvisionllama.suggestions import nearest_names

SHIPPED = f"{SCOPE}::"  # a config of this package, as in ``mmvisionllama::seg/visionllama_upernet_ade20k.py``


def configs_folder() -> Path:
    """Return the folder of the shipped configs: ``configs/`` of a checkout, or where a wheel has them."""
    return Path(mmvisionllama.__file__).parent.joinpath(".mim", "configs").resolve()


def checkout() -> Path | None:
    """Return the folder of ``configs/``, ``tools/`` and ``data/``; None where a wheel was installed."""
    folder = configs_folder().parent
    return None if folder.name == ".mim" else folder


def commit() -> str | None:
    """Return the commit of the checkout, with ``-dirty`` where files are changed; None outside of one."""
    if (folder := checkout()) is None:
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run([*command, "--exclude=*"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def typed_command(name: str) -> list[str]:
    """Return what to type for a command: its script of a checkout from here, or ``mmvisionllama NAME``."""
    folder = checkout()
    return ["mmvisionllama", name] if folder is None else [from_here(folder / "tools" / f"{name}.sh")]


def find_config(path: str | Path) -> Path:
    """Return the absolute path of a config file.

    Args:
        path: Absolute, or relative to the current directory; else that of a shipped config, with or without
            ``configs/`` or ``mmvisionllama::`` before it. The ending ``.py`` may be left out.

    Raises:
        ConfigError: if there is none, with the nearest names; or if it is no Python file.
    """
    given = Path(path).expanduser()
    places = [_shipped(given)] if str(path).startswith(SHIPPED) else [given.absolute(), _shipped(given)]
    candidates = [x for place in places for x in (place, place.with_name(f"{place.name}.py"))]
    file = next((x for x in candidates if x.is_file()), None) or next(
        filter(os.path.lexists, candidates), None
    )
    if file is None:
        raise ConfigError(f"no config {str(path)!r}{_near_files(given)}")
    if file.is_dir():
        inside = [x.name for x in sorted(file.glob("*.py"))]
        listing = f"; it holds {', '.join(inside)}" if inside else ""
        raise ConfigError(f"config {str(path)!r} is a folder{listing}")
    if problem := why_no_file(file):
        raise ConfigError(f"config {str(path)!r} is {problem}")
    if file.suffix != ".py":
        raise ConfigError(f"config {str(path)!r} is no Python file (.py)")
    return file.resolve()


def _shipped(given: Path) -> Path:
    name = Path(str(given).removeprefix(SHIPPED))
    return configs_folder() / (Path(*name.parts[1:]) if name.parts[:1] == ("configs",) else name)


def shown(path: Path) -> str:
    """Return a path from the current directory, or that of a shipped config as ``find_config`` takes it."""
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    folder = configs_folder()
    return str(Path("configs", path.relative_to(folder)) if path.is_relative_to(folder) else path)


def shown_as_base(path: Path) -> str:
    """Return a shipped config as a base of a config anywhere."""
    return f"{SHIPPED}{path.relative_to(configs_folder())}"


def did_you_mean(file: Path, known: Iterable[Path], show: Callable[[Path], str] = shown) -> str:
    """Return a hint that names the known files called as ``file`` is, or else the nearest ones."""
    by_name: dict[str, list[Path]] = {}
    for path in known:
        by_name.setdefault(path.stem, []).append(path)
    names = [file.stem] if file.stem in by_name else nearest_names(file.stem, by_name)
    hits = [show(path) for name in names for path in by_name[name]]
    return f"; did you mean {' or '.join(hits)}?" if hits else ""


def _near_files(given: Path) -> str:
    beside = [x.resolve() for folder in (given.parent, _shipped(given).parent) for x in folder.glob("*.py")]
    return did_you_mean(given, dict.fromkeys([*beside, *configs_folder().rglob("*.py")]))
