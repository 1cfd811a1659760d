"""A training as its work directory has it: summary, config, logged curves, log files, pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mmvisionllama.checkpoint.kept_config import settings_in
from mmvisionllama.checkpoint.run_identity import RunRecord, read_record
from mmvisionllama.config.global_batch import share_batch
from mmvisionllama.config.origins import leaves
from mmvisionllama.errors import ConfigError, UserError
from mmvisionllama.files import from_here, read_json_lines, why_no_file
from mmvisionllama.reports.summary import SUMMARY, read_summary
from mmvisionllama.run_reports.logged_curves import Curve, logged_curves
from mmvisionllama.run_reports.run_log import Session, read_session
from mmvisionllama.training.run_folder import LOGS

_SCALARS, _CONFIG = Path("vis_data", "scalars.json"), Path("vis_data", "config.py")
_SHOWN = 6
# By the host, and where it has several by the end of the model's name.
_TASKS = {"mmseg": "segmentation", "mmdet": "detection"}
_BY_MODEL = {"MAE": "reconstruction", "Generator": "generation", "Classifier": "classification"}


@dataclass(frozen=True)
class Run:
    """A training.

    Attributes:
        name: Told apart from other runs of a comparison.
        folder: Its work directory.
        summary: What ``summary.json`` says; empty where there is none.
        record: Of ``run.json``.
        curves: By name, what was logged in training steps.
        validated: By name, metrics of validations.
        sessions: Starts of the training, in their order.
        config: The resolved config, as data; what is none is its source text.
    """

    name: str
    folder: Path
    summary: Mapping[str, Any]
    record: RunRecord | None
    curves: Mapping[str, Curve]
    validated: Mapping[str, Curve]
    sessions: Sequence[Session]
    config: Mapping[str, Any] = field(repr=False)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every plain value of the config by its dotted key."""
        return {".".join(keys): value for keys, value in leaves(dict(self.config))}

    @property
    def status(self) -> str:
        """``finished``, ``running``, ``interrupted``, ``killed``, or that no summary says it."""
        return self.summary.get("status", "not known, as there is no summary.json")

    @property
    def steps(self) -> int | None:
        """Training steps made so far, as far as anything tells them."""
        logged = [int(curve.steps[-1]) for curve in self.curves.values() if len(curve.steps)]
        return max([self.summary.get("steps") or 0, *logged]) or None

    @property
    def task(self) -> str | None:
        """The task, by the model and its host; None where the config tells neither."""
        model, scope = str((self.config.get("model") or {}).get("type")), self.config.get("default_scope")
        return _TASKS.get(scope) or next(
            (task for end, task in _BY_MODEL.items() if model.endswith(end)), None
        )

    @property
    def images_per_step(self) -> int | None:
        """Images of a training step over all processes; None where nothing tells them."""
        batch = (self.config.get("train_dataloader") or {}).get("batch_size")
        processes = self.summary.get("world_size")
        if not isinstance(batch, int) or processes is None:
            return None
        try:
            stated = share_batch(self.config, processes)
        except ConfigError:  # of a config that was changed by hand
            return None
        return batch * processes if stated is None else stated.size

    @property
    def seconds_per_step(self) -> float | None:
        """Median of the logged times of a step."""
        times = self.curves.get("time")
        return None if times is None else times.median()

    def picture(self, name: str) -> Path | None:
        """Return a picture of the work directory, if there is one."""
        file = self.folder / name
        return None if why_no_file(file) else file


def read_run(folder: Path, name: str | None = None) -> Run:
    """Read a work directory, of a training that is finished, still going or killed.

    Raises: UserError: if it is none, or a file there is damaged, naming it.
    """
    folder = Path(folder).expanduser()
    if problem := _no_run(folder):
        raise UserError(problem)
    logs = _log_folders(folder)
    summary = read_summary(folder)
    scalars = [read_json_lines(x / _SCALARS) for x in logs if (x / _SCALARS).is_file()]
    trained, validated = logged_curves(scalars, summary.get("validations"))
    sessions = [x for x in map(read_session, logs) if x.is_training]
    return Run(
        name or folder.absolute().name,
        folder,
        summary,
        read_record(folder),
        trained,
        validated,
        sessions,
        dict(settings_in(_text_of(config_file(folder, summary, sessions)), also_code=True)),
    )


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read several work directories, and give them names that tell them apart.

    Raises: UserError: see ``read_run``; or if one is given twice.
    """
    places = [x.expanduser().resolve() for x in folders]
    if twice := next((x for x in places if places.count(x) > 1), None):
        raise UserError(f"{from_here(twice)} is given twice; a comparison needs different runs")
    return [read_run(x, name) for x, name in zip(folders, _names(places), strict=True)]


def config_file(folder: Path, summary: Mapping[str, Any], sessions: Sequence[Session]) -> Path | None:
    """Return the resolved config of a training, of its last start.

    That is beside the scalar log; one in the work directory may have been written over by a later test.
    """
    logged = [file for x in reversed(sessions) if (file := x.folder / _CONFIG).is_file()]
    return next(iter(logged), None) or typed_config(folder, summary)


def typed_config(folder: Path, summary: Mapping[str, Any]) -> Path | None:
    """Return the config in a work directory, for commands."""
    dump = str((summary.get("config") or {}).get("resolved") or "")
    kept = [folder / Path(dump).name] if dump else []  # by its name: the folder may have been moved
    kept += sorted(folder.glob("*.py"))
    return next((x for x in kept if x.is_file()), None)


def _text_of(file: Path | None) -> str:
    return "" if file is None else file.read_text(errors="replace")


def _no_run(folder: Path) -> str | None:
    """Say why a folder is no work directory of a training; None if it is one."""
    if not folder.is_dir():
        return f"{folder} is no work directory of a training: it is {why_no_file(folder) or 'a file'}"
    if (folder / SUMMARY).is_file() or any((x / _SCALARS).is_file() for x in _log_folders(folder)):
        return None
    below = [from_here(x) for x in sorted(folder.iterdir()) if x.is_dir() and not _no_run_below(x)]
    shown = ", ".join(below[:_SHOWN]) + (", ..." if len(below) > _SHOWN else "")
    return (
        f"{folder} is no work directory of a training: it has neither {SUMMARY} nor a folder of logs with "
        f"{_SCALARS}" + (f"; below it are {shown}" if below else "")
    )


def _no_run_below(folder: Path) -> bool:
    return not (folder / SUMMARY).is_file()


def _log_folders(folder: Path) -> list[Path]:
    """Return the folders of logs, the first start first."""
    found = [x for x in folder.iterdir() if x.is_dir() and LOGS.fullmatch(x.name)]
    return sorted(found, key=lambda x: [int(part) for part in x.name.split("_")])


def _names(places: Sequence[Path]) -> Iterator[str]:
    """Yield the last part of each path, and as many before it as tell them apart."""
    for place in places:
        count = 1
        while sum(x.parts[-count:] == place.parts[-count:] for x in places) > 1:
            count += 1
        yield "/".join(place.parts[-count:])
