"""From the path of a config file to the configuration that a run uses."""

import os
import textwrap
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvisionllama.names import nearest

from .checking import check_config, helper_variables
from .errors import ConfigError, Problem
from .finding import find_config, repository_root
from .places import ROOT
from .variables import base_files, read_chain

DATA_VARIABLE = "MMVISIONLLAMA_DATA"
_DATA_PATHS = ("data_root", "ann_file")  # a metric names its annotations by themselves


def data_root_base() -> Path:
    """Return the folder that ``data/`` stands for: $MMVISIONLLAMA_DATA, else that of the repository."""
    given = os.environ.get(DATA_VARIABLE)
    return Path(given).expanduser().absolute() if given else repository_root() / "data"


def load_config(path: str | Path, cfg_options: dict[str, Any] | None = None) -> Config:
    """Read a config file, merge options, move data roots and check every key.

    Names that only helped to write the file are dropped: what remains is what takes effect. ``work_dir``
    is ``work_dirs/<config name>`` below the current directory where the config gives none.

    Args:
        path: Absolute, or relative to the current directory or else to the repository.
        cfg_options: Values by key path, e.g. ``{"train_dataloader.dataset.pipeline.0.scale": 2}``.

    Raises:
        ConfigError: with all problems of the config at once.
    """
    file = find_config(path)
    cfg = _read(file)
    problems = _merge(cfg, cfg_options or {})
    problems += check_config(cfg)
    if problems:
        listing = "".join(f"\n  {problem}" for problem in dict.fromkeys(problems))
        raise ConfigError(f"{file} cannot be used:{listing}", problems)
    for key in helper_variables(cfg):
        cfg.pop(key)
    _move_data_roots(cfg)
    cfg.setdefault("work_dir", str(Path("work_dirs", file.stem)))
    return cfg


def _read(file: Path) -> Config:
    chain = read_chain(file)
    try:
        return Config.fromfile(file)
    except Exception as error:  # a config file is a program: it may fail with anything
        reason = f"{type(error).__name__}: {error}"
        foreign = [
            (path, *base) for path, tree in chain.items() for base in base_files(tree) if "::" in base[0]
        ]
        frames = [x for x in traceback.extract_tb(error.__traceback__) if Path(x.filename) in chain]
        if frames:
            reason = f"{frames[-1].filename}, line {frames[-1].lineno}: {reason}"
        elif foreign:
            path, base, line = foreign[0]
            reason = f"{path}, line {line}: the base {base!r} of another package cannot be read ({reason})"
        else:
            reason = f"{file}: {reason}"
        raise ConfigError(reason) from error


def _merge(cfg: Config, options: dict[str, Any]) -> list[Problem]:
    """Merge the options that name a setting; return a problem for each of the others."""
    problems = []
    for path, value in options.items():
        name = path.partition(".")[0]
        if name in ROOT:
            try:
                cfg.merge_from_dict({path: value})
            except (KeyError, TypeError, IndexError) as error:
                reason = textwrap.shorten(str(error.args[0]), 300)
                problems.append(Problem(path, f"cannot be set: {reason}"))
        elif name in cfg:
            text = "only helps to write the config file; set what is computed from it"
            problems.append(Problem(path, text, None, tuple(_paths_of(cfg, cfg[name]))))
        else:
            text = f"there is no setting {name!r}"
            problems.append(Problem(path, text, nearest(name, ROOT), tuple(sorted(ROOT))))
    return problems


def _paths_of(cfg: Config, wanted: Any) -> Iterator[str]:
    for key in cfg:
        if key in ROOT:
            yield from (path for path, value in _walk(cfg[key], key) if value == wanted)


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    for key, item in items:
        yield from _walk(item, f"{path}.{key}")


def _move_data_roots(cfg: Config) -> None:
    for key in cfg:
        for _, place in _walk(cfg[key], key):
            for name in _DATA_PATHS if isinstance(place, dict) else ():
                path = place.get(name)
                if isinstance(path, str) and Path(path).parts[:1] == ("data",):
                    place[name] = str(data_root_base().joinpath(*Path(path).parts[1:]))
