"""Read a config file and the options of a command into the config that a run uses."""

import ast
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path, PurePath
from types import FunctionType
from typing import Any

from mmengine.config import Config, ConfigDict

from mmvisionllama.checkpoint.reading import make_mmengine_read_safely
from mmvisionllama.config.checker import check_config
from mmvisionllama.config.config_files import SHIPPED, checkout, find_config
from mmvisionllama.config.problems import ConfigProblem, raise_problems
from mmvisionllama.config.run_config import RunConfig
from mmvisionllama.config.sections import ROOT
from mmvisionllama.config.variables import assigned_names, base_files, helper_variables, read_chain, walk
from mmvisionllama.errors import ConfigError

DATA_VARIABLE = "MMVISIONLLAMA_DATA"
_OPT_OUTS = "unchecked"
_DATA_PATHS = ("data_root", "ann_file")  # a metric names its annotations by themselves


def data_root_base() -> Path:
    """Return the folder that ``data/`` stands for.

    Returns: $MMVISIONLLAMA_DATA, else ``data`` in the checkout, without one in the current directory.
    """
    given = os.environ.get(DATA_VARIABLE)
    return Path(given).expanduser().absolute() if given else (checkout() or Path.cwd()) / "data"


def load_config(path: str | Path, cfg_options: dict[str, Any] | None = None) -> Config:
    """Return the config of ``read_config`` alone."""
    return read_config(path, cfg_options).cfg


def read_config(path: str | Path, cfg_options: dict[str, Any] | None = None) -> RunConfig:
    """Read a config file, put in options, move data roots and check every key and value.

    Names that only helped to write the file are dropped: what remains is what takes effect. ``work_dir``
    is ``work_dirs/<config name>`` below the current directory where the config gives none.

    Args:
        path: See ``find_config``.
        cfg_options: Values by key path, e.g. ``{"train_dataloader.dataset.pipeline.0.scale": 2}``.

    Raises:
        ConfigError: with all problems of the config at once.
    """
    make_mmengine_read_safely()  # a base may be a YAML file
    file = find_config(path)
    cfg, inherited = _read(file)
    config, problems = RunConfig(cfg), []
    # Marks first: mmengine merges all options at once.
    options = sorted((cfg_options or {}).items(), key=lambda x: not x[0].endswith("._delete_"))
    for key_path, value in options:
        problems += _helper_option(cfg, key_path) or config.assign(key_path, value, "--cfg-options")
    if inherited and isinstance(
        cfg[_OPT_OUTS], list
    ):  # adds to them, except to those of what is no longer there
        there = {key_path for key_path, _ in walk(dict(cfg.items()))}
        both = dict.fromkeys([*cfg[_OPT_OUTS], *inherited])
        cfg[_OPT_OUTS] = [x for x in both if x in there or x not in inherited]
    _leave_out_validation(config)
    _leave_out_workers(cfg)
    raise_problems(problems + check_config(cfg), heading=f"{file} cannot be used:")
    for key in helper_variables(cfg):
        cfg.pop(key)
    for key_path in _moved_data_roots(cfg):
        config.remarks[key_path] = ", moved to where the data are"
    if "work_dir" not in cfg:
        config.set("work_dir", str(Path("work_dirs", file.stem)), "the config's name")
    return config


def _read(file: Path) -> tuple[Config, list[str]]:
    """Return the config in a file, and what its bases leave unchecked."""
    chain = read_chain(file)
    try:
        cfg = Config.fromfile(file)
        inherited = _opt_outs_of_bases(chain)
    except Exception as error:  # a config file is a program: it may fail with anything
        reason = f"{type(error).__name__}: {error}"
        foreign = [
            (path, *base)
            for path, tree in chain.items()
            for base in base_files(tree)
            if "::" in base[0] and not base[0].startswith(SHIPPED)
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
    for key in cfg:
        if key in ROOT:
            cfg[key] = _plain(cfg[key])
    return cfg, inherited


def _opt_outs_of_bases(chain: dict[Path, ast.Module]) -> list[str]:
    bases = [
        path
        for path, tree in chain.items()
        if _OPT_OUTS in assigned_names(tree) and path != next(iter(chain))
    ]
    return [path for base in bases for path in Config.fromfile(base).get(_OPT_OUTS) or ()]


def _plain(value: Any) -> Any:
    """Write classes, functions and paths as the texts that the config in a work directory has for them."""
    if isinstance(value, dict):
        return ConfigDict({key: _plain(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, PurePath):
        return str(value)
    if (
        isinstance(value, (type, FunctionType))
        and value.__module__ in sys.modules
        and value.__module__ != "builtins"
    ):
        return f"{value.__module__}.{value.__qualname__}"
    return value


def _helper_option(cfg: Config, path: str) -> list[ConfigProblem]:
    """Report an option that names no setting but a variable of the file, with what is computed from it."""
    name = path.partition(".")[0]
    if name in ROOT or name not in cfg:
        return []
    settings = {key: cfg[key] for key in cfg if key in ROOT}
    computed = tuple(where for where, value in walk(settings) if value == cfg[name])
    text = "only helps to write the config file; set what is computed from it"
    return [ConfigProblem(path, text, None, computed)]


def _leave_out_validation(config: RunConfig) -> None:
    """Let ``val_interval=0`` mean no validation, for which mmengine wants its three sections away."""
    train = config.cfg.get("train_cfg")
    if isinstance(train, dict) and type(train.get("val_interval")) is int and train["val_interval"] == 0:
        del train["val_interval"]
        for name in ("val_dataloader", "val_cfg", "val_evaluator"):
            config.assign(name, None, "train_cfg.val_interval=0")


def _leave_out_workers(cfg: Config) -> None:
    """Leave out what only loading processes take, where there are none: torch refuses it then."""
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        loader = cfg.get(name)
        if isinstance(loader, dict) and loader.get("num_workers", 0) == 0:
            for key in ("persistent_workers", "prefetch_factor", "timeout", "multiprocessing_context"):
                loader.pop(key, None)


def _moved_data_roots(cfg: Config) -> Iterator[str]:
    """Let data below ``data/`` lie where the data are; yield the key paths that changed."""
    for path, place in list(walk(dict(cfg.items()))):
        for name in _DATA_PATHS if isinstance(place, dict) else ():
            given = place.get(name)
            if isinstance(given, str) and Path(given).parts[:1] == ("data",):
                place[name] = str(data_root_base().joinpath(*Path(given).parts[1:]))
                yield f"{path}.{name}"
