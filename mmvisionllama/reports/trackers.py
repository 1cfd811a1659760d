"""Trackers: mmengine's backends of TensorBoard, wandb and MLflow, for one continuous run over all resumes."""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from mmengine.config import Config
from mmengine.visualization.vis_backend import (
    MLflowVisBackend,
    TensorboardVisBackend,
    WandbVisBackend,
)
from numpy.typing import NDArray

from mmvisionllama.arguments import checked
from mmvisionllama.config.config_files import shown
from mmvisionllama.config.origins import leaves
from mmvisionllama.errors import UserError
from mmvisionllama.registry import SCOPE, VISBACKENDS
from mmvisionllama.reports.wandb_files import history

_PROJECT = SCOPE  # of wandb, and MLflow's experiment
_SECONDS = 20  # that wandb may take to send the rest at the end; its files keep it for `wandb sync`
_FLUSH_SECONDS = 1.0  # of what wandb has in memory alone, which a kill loses; it takes 15 by itself
_MLFLOW_LENGTH, _MLFLOW_KEY, _MLFLOW_BATCH = (
    6000,
    250,
    100,
)  # letters of a value and of its name; values at once
PICTURE = "picture "  # before the name of one, in the kinds of records
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}


@dataclass(frozen=True)
class TrackedRun:
    """The training that is tracked.

    Attributes:
        run_id: Of the training.
        name: Of its config.
        step: Where this start of it begins.
        own_id: What ``begin`` has returned in an earlier start of the same training; None in the first one.
    """

    run_id: str
    name: str
    step: int
    own_id: str | None = None


@VISBACKENDS.register_module()
class TensorboardTracker(TensorboardVisBackend):
    """TensorBoard's event files in one folder; what was logged after the step of a resume is withdrawn."""

    @checked
    def __init__(self, save_dir: str) -> None:
        self._folder = Path(save_dir, "tensorboard")
        super().__init__(str(self._folder))

    def load(self) -> None:
        """Import the library.

        Raises: ImportError: if it is not installed.
        """
        import torch.utils.tensorboard  # noqa: F401

    def begin(self, run: TrackedRun) -> tuple[str, str | None]:
        """Open the files; return where they are, and the id of the run there."""
        from torch.utils.tensorboard import SummaryWriter

        self._begin = run.step
        self._writer = SummaryWriter(str(self._folder), purge_step=run.step + 1 if run.step else None)
        folder = shown(self._folder.absolute())
        return f"{folder} (tensorboard --logdir {folder})", None

    def known_steps(self, noted: dict[str, int]) -> dict[str, int]:
        """Return the last step of each kind of record, of those ``noted``, that is still there."""
        return {kind: min(step, self._begin) for kind, step in noted.items()}

    @property
    def experiment(self) -> Any:
        """The writer of event files."""
        return self._writer

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Record the config as text, its lines as they are."""
        text = "\n".join(f"    {line}" for line in _text_of(config, kwargs).splitlines())
        self._writer.add_text("config", text, self._begin)

    def add_image(self, name: str, image: NDArray, step: int = 0, **kwargs: Any) -> None:
        """Record an image, (height, width, 3) of 0 to 255."""
        self._writer.add_image(name, image, step, dataformats="HWC")
        self._writer.flush()

    def add_scalars(self, scalar_dict: Mapping[str, float], step: int = 0, **kwargs: Any) -> None:
        """Record numbers, on disk at once: a kill loses none."""
        for name, value in scalar_dict.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, status: str = "finished") -> None:
        """Close the files."""
        if hasattr(self, "_writer"):
            self._writer.close()


@VISBACKENDS.register_module()
class WandbTracker(WandbVisBackend):
    """A run of wandb that has the id of the training and its steps, in every start of it.

    wandb's variables are followed: WANDB_MODE, WANDB_PROJECT, WANDB_DIR and the others.

    Args:
        init_kwargs: For ``wandb.init``, before our own: ``project``, ``entity``, ``mode``, ``id``, ...
    """

    @checked
    def __init__(self, save_dir: str, init_kwargs: dict[str, Any] | None = None) -> None:
        super().__init__(save_dir, init_kwargs=init_kwargs)
        self._folder, self._given = save_dir, init_kwargs or {}

    def load(self) -> None:
        """Import the library, which reports its own errors to nobody unless its variable says so.

        Raises: ImportError: if it is not installed.
        """
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb  # noqa: F401

    def begin(self, run: TrackedRun) -> tuple[str, str | None]:
        """Open or continue the run; return where it is, and its id."""
        import wandb
        from wandb.sdk.lib import wbauth

        own = {
            "project": _PROJECT,
            "name": run.name,
            "dir": self._folder,
            "resume": "allow",
        }
        options = {key: x for key, x in own.items() if f"WANDB_{key.upper()}" not in os.environ}
        if "WANDB_RUN_ID" not in os.environ:
            options["id"] = run.own_id or run.run_id
        options |= self._given
        options.setdefault("mode", os.environ.get("WANDB_MODE") or wandb.setup().settings.mode)
        if options["mode"] == "online":
            host = wandb.setup().settings.base_url
            # Without a key it would ask on the terminal, below a bar and with nobody there.
            if wbauth.authenticate_session(host=host, source="train", prompt=False) is None:
                raise UserError(
                    "no API key: log in by `wandb login`, or set WANDB_API_KEY; WANDB_MODE=offline keeps all "
                    "in the work directory"
                )
        Path(options.get("dir", ".")).mkdir(parents=True, exist_ok=True)
        settings = dict(silent=True, console="off", save_code=False, finish_timeout=_SECONDS)
        settings["x_transaction_log_flush_interval"] = _FLUSH_SECONDS
        given = options.pop("settings", None) or {}
        self._run = wandb.init(**options, settings=wandb.Settings(**(settings | dict(given))))
        return self._where(options["mode"]), self._run.id

    def known_steps(self, noted: dict[str, int]) -> dict[str, int]:
        """Return the last step of each kind of record that is there: a kill loses what was just ``noted``."""
        if self._run.resumed:  # the server says so, and takes nothing before that
            return {**noted, "train": self._run.step - 1}
        files = Path(self._run.settings.wandb_dir).glob(f"offline-run-*/run-{self._run.id}.wandb")
        earlier = [x for x in files if x.parent != Path(self._run.settings.sync_dir)]
        rows = [row for file in earlier for row in history(file)]
        if not earlier:
            return noted
        return {kind: max((x for x, row in rows if _is_of(kind, row)), default=-1) for kind in noted}

    def _where(self, mode: str) -> str:
        if mode == "disabled":
            return "nowhere: WANDB_MODE is disabled"
        if self._run.offline:
            folder = shown(Path(self._run.settings.sync_dir).absolute())
            return f"{folder} (wandb sync {folder})"
        return str(self._run.url)

    @property
    def experiment(self) -> Any:
        """The run."""
        return self._run

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Record the config, as a tree and as text; no code is uploaded."""
        values = {**config.to_dict(), "config_text": _text_of(config, kwargs)}
        self._run.config.update(_plain(values), allow_val_change=True)

    def add_image(self, name: str, image: NDArray, step: int = 0, **kwargs: Any) -> None:
        """Record an image, (height, width, 3) of 0 to 255."""
        import wandb

        self._log({name: wandb.Image(image)}, step)

    def add_scalars(self, scalar_dict: Mapping[str, float], step: int = 0, **kwargs: Any) -> None:
        """Record numbers at a step."""
        self._log(dict(scalar_dict), step)

    def _log(self, row: dict[str, Any], step: int) -> None:
        self._run.log(row, step=max(step, self._run.step))  # a row below the last step would be lost

    def close(self, status: str = "finished") -> None:
        """Send the rest, for some seconds at most, and end the run as the training has ended."""
        if hasattr(self, "_run"):
            self._run.finish(exit_code=0 if status == "finished" else 1)


@VISBACKENDS.register_module()
class MLflowTracker(MLflowVisBackend):
    """A run of MLflow, found again by its id in every start of the training.

    MLflow's variables are followed: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, MLFLOW_RUN_ID and those of
    its client.

    Args:
        tracking_uri: A server or a store, e.g. ``sqlite:///mlflow.db``; None: as the variable says, else
            files in the work directory.
        exp_name: The experiment; None: as the variable says, else that of this package.
        tags: Of the run.
    """

    _FILES: ClassVar = ("", "file")

    @checked
    def __init__(
        self,
        save_dir: str,
        tracking_uri: str | None = None,
        exp_name: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        super().__init__(save_dir, tracking_uri=tracking_uri, exp_name=exp_name, tags=tags)
        self._folder, self._uri, self._experiment, self._own_tags = save_dir, tracking_uri, exp_name, tags

    def load(self) -> None:
        """Import the library, which sends no statistics of its use unless its variable says so.

        Raises: ImportError: if it is not installed.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow  # noqa: F401

    def begin(self, run: TrackedRun) -> tuple[str, str | None]:
        """Open or continue the run; return where it is, and its id."""
        default = Path(self._folder, "mlruns").absolute().as_uri()
        uri = self._uri or os.environ.get("MLFLOW_TRACKING_URI") or default
        scheme, note = urlsplit(uri).scheme, ""
        if scheme in self._FILES:
            # MLflow keeps this store as it is and asks whoever uses it to say so.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            note = f" (MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {uri})"
        elif not scheme.startswith(("http", "databricks")) and find_spec("sqlalchemy") is None:
            raise UserError(f"{uri} needs all of MLflow: pip install mlflow")
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        known = self._continued(os.environ.get("MLFLOW_RUN_ID") or run.own_id)
        self._run_id, self._is_new = known or self._create(run), known is None
        told = re.sub("//[^/@]*@", "//", uri)  # without a password
        return f"{told}, run {self._run_id}{note}", self._run_id

    def _continued(self, known: str | None) -> str | None:
        """Open an earlier run again; return None if this store has none of that id."""
        from mlflow.exceptions import MlflowException

        try:
            if known is not None:
                self._client.update_run(known, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return known

    def _create(self, run: TrackedRun) -> str:
        name = self._experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or _PROJECT
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        tags = {f"{SCOPE}.run_id": run.run_id, **(self._own_tags or {})}
        return self._client.create_run(experiment, run_name=run.name, tags=tags).info.run_id

    @property
    def experiment(self) -> Any:
        """The client."""
        return self._client

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Record the config as a file, and the values of the first start, which MLflow never changes."""
        self._client.log_text(self._run_id, _text_of(config, kwargs), "config.py")
        if not self._is_new:
            return
        from mlflow.entities import Param

        values = [(_mlflow_name(".".join(keys)), str(x)) for keys, x in leaves(config)]
        params = [Param(key[:_MLFLOW_KEY], x[:_MLFLOW_LENGTH]) for key, x in values]
        for start in range(0, len(params), _MLFLOW_BATCH):
            self._client.log_batch(self._run_id, params=params[start : start + _MLFLOW_BATCH])

    def add_image(self, name: str, image: NDArray, step: int = 0, **kwargs: Any) -> None:
        """Record an image, (height, width, 3) of 0 to 255."""
        self._client.log_image(self._run_id, image, key=name, step=step)

    def add_scalars(self, scalar_dict: Mapping[str, float], step: int = 0, **kwargs: Any) -> None:
        """Record numbers at a step."""
        from mlflow.entities import Metric

        now = round(1000 * time.time())
        metrics = [Metric(_mlflow_name(key), float(x), now, step) for key, x in scalar_dict.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def close(self, status: str = "finished") -> None:
        """End the run as the training has ended."""
        if hasattr(self, "_client"):
            self._client.set_terminated(self._run_id, _STATUS.get(status, "FAILED"))


def _is_of(kind: str, row: Mapping[str, Any]) -> bool:
    """Whether a row has a kind of record, see ``TrackingHook``: numbers by their prefix, pictures by name."""
    name = kind.removeprefix(PICTURE)
    return any(key.startswith(f"{kind}/" if name == kind else f"{name}.") for key in row)


# What a config and ``--track`` call them.
TRACKERS = {
    "tensorboard": TensorboardTracker,
    "wandb": WandbTracker,
    "mlflow": MLflowTracker,
}


def _text_of(config: Config, given: Mapping[str, Any]) -> str:
    """Return the text of a config, which a caller that has it gives as ``text``: to format it takes long."""
    return given.get("text") or config.pretty_text


def _mlflow_name(text: str) -> str:
    """Return a name with the letters that MLflow takes alone."""
    return re.sub(r"[^\w\-. /:]", "_", text)


def _plain(value: Any) -> Any:
    """Return a value as dicts with texts for keys, lists and what JSON has; the rest as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(x) for x in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
