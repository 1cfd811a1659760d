"""Read the file of a study: its runs, seeds and metrics."""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvisionllama.config import load_config
from mmvisionllama.config.config_files import find_config
from mmvisionllama.config.variables import read_chain
from mmvisionllama.errors import ConfigError
from mmvisionllama.suggestions import did_you_mean, refusal

_KEYS = ("metric", "seeds", "reach", "preparations", "runs")
_RUN_KEYS = ("config", "label", "load_from", "options")
_EXAMPLE = '{"model.backbone.arch": "small"}'


@dataclass(frozen=True)
class Run:
    """One training of a study, for all of its seeds.

    Attributes:
        config: As the study's file names it.
        sha256: Of what it resolves to, see :func:`config_hash`.
        load_from: Name of the preparation whose last checkpoint of the same seed it starts from.
        compared: Whether its metrics are reported; preparations are trained alone.
        options: Values by key path in place of the config's, as those of ``--cfg-options``.
    """

    name: str
    label: str
    config: str
    sha256: str
    load_from: str | None
    compared: bool
    options: dict[str, Any] = field(default_factory=dict)

    def read_config(self) -> Config:
        """Read the config of this run."""
        return load_config(self.config, self.options)


@dataclass(frozen=True)
class Study:
    """Several trainings and the metrics that compare them.

    Attributes:
        title: First line of the file's docstring.
        metrics: In the host's names, e.g. ``accuracy/top1``; the one that matters most is the first.
        reach: Share of a run's own final value of the first metric, in (0, 1): the report says how many steps
            it takes to get there. None: it does not.
        runs: Preparations first.
    """

    name: str
    title: str
    metrics: tuple[str, ...]
    seeds: tuple[int, ...]
    reach: float | None
    runs: tuple[Run, ...]


def config_hash(cfg: Config) -> str:
    """Give the hash of all settings of a config: equal where nothing that decides a training differs."""
    return hashlib.sha256(cfg.pretty_text.encode()).hexdigest()


def load_study(path: str | Path, seeds: Sequence[int] | None = None) -> Study:
    """Read a study's file and every config that it trains.

    Args:
        path: See ``find_config``.
        seeds: In place of the file's.

    Raises:
        ConfigError: for a file, key, config or preparation that does not exist, or a value out of range.
    """
    file = find_config(path)
    tree = read_chain(file)[file]
    content = {key: x for key, x in Config.fromfile(file).to_dict().items() if not key.startswith("_")}
    _require_keys(str(file), content, _KEYS, ("metric", "seeds", "runs"))
    reach, seeds = content.get("reach"), tuple(seeds or content["seeds"])
    if reach is not None and not 0 < reach < 1:
        raise ConfigError(f"{file}: reach is a share in (0, 1), got {reach}")
    if not seeds or len(set(seeds)) < len(seeds) or not all(isinstance(seed, int) for seed in seeds):
        raise ConfigError(f"{file}: seeds are distinct whole numbers, got {list(seeds)}")
    preparations, compared = content.get("preparations", {}), content["runs"]
    if not compared:
        raise ConfigError(f"{file}: runs is empty")
    if twice := sorted(set(preparations) & set(compared)):
        raise ConfigError(f"{file}: {', '.join(twice)} is both a preparation and a run")
    runs = (*_read(file, preparations, (), False), *_read(file, compared, tuple(preparations), True))
    title = (ast.get_docstring(tree) or file.stem).splitlines()[0].rstrip(".")
    metrics = content["metric"]
    metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    if not metrics:
        raise ConfigError(f"{file}: metric is a name or several, got {content['metric']!r}")
    return Study(file.stem, title, metrics, seeds, reach, runs)


def _read(file: Path, entries: dict[str, dict], prepared: Sequence[str], compared: bool) -> Iterator[Run]:
    for name, entry in entries.items():
        place = f"{file}: {name}"
        _require_keys(place, entry, _RUN_KEYS, ("config",))
        source = entry.get("load_from")
        if source is not None and source not in prepared:
            hint, known = did_you_mean(source, prepared), ", ".join(prepared) or "none"
            raise ConfigError(f"{place}: load_from {source!r} is no preparation.{hint} There are: {known}")
        options = entry.get("options", {})
        if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
            raise ConfigError(f"{place}: options are values by key path, as in {_EXAMPLE}, got {options!r}")
        try:
            sha256 = config_hash(load_config(entry["config"], options))
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error
        yield Run(name, entry.get("label", name), entry["config"], sha256, source, compared, options)


def _require_keys(place: str, given: dict, allowed: Sequence[str], required: Sequence[str]) -> None:
    if message := refusal(place, given, allowed):
        raise ConfigError(message)
    if missing := [key for key in required if key not in given]:
        raise ConfigError(f"{place} lacks {', '.join(missing)}")
