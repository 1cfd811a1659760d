"""Publish a trained model: a folder that ``load`` takes, with a card."""

import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from mmvisionllama import __version__
from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.checkpoint.kept_config import WEIGHTS, kept_settings
from mmvisionllama.config import data_root_base
from mmvisionllama.config.config_files import checkout, commit, configs_folder, find_config
from mmvisionllama.errors import CheckpointError, InputError
from mmvisionllama.files import as_json, read_json, sha256_of
from mmvisionllama.inference.model_card import Card
from mmvisionllama.inference.published_files import CARD, CONFIG, EXAMPLE, LIBRARY, LOG, described
from mmvisionllama.inference.sources import checkpoint_file
from mmvisionllama.inference.trained_model import TrainedModel, load
from mmvisionllama.inference.zoo import Row, enter, require_zoo
from mmvisionllama.reports.summary import SUMMARY
from mmvisionllama.suggestions import did_you_mean
from mmvisionllama.training.launch import test

_PICTURE, _LOGS = "predictions.png", "*/vis_data/scalars.json"  # of a work directory
DTYPES = ("float32", "float16", "bfloat16")


def publish(
    checkpoint: str | Path,
    out: str | Path,
    *,
    config: str | Path | None = None,
    license: str = "unknown",
    name: str | None = None,
    source: str | None = None,
    image: str | Path | None = None,
    dtype: str | None = None,
    measure: str | Path | None = None,
    command: str | None = None,
    zoo: str | Path | None = None,
) -> Path:
    """Publish a trained model as a folder: weights, ``config.json``, card, log, example picture.

    The folder appears when it is whole, and was loaded and compared with the model.

    Args:
        checkpoint: See ``load``, also for ``config``.
        out: A folder that does not exist or is empty.
        license: Of the weights, by the hub's name, e.g. ``apache-2.0``.
        name: Of the model; None: the config's, else the folder's.
        source: What the card tells to load, e.g. ``hf:owner/name``; None: the name of the folder.
        image: One to predict for the example; None: the pictures of the training's last validation, if there
            are any. A generator's are samples.
        dtype: That the parameters are rounded to and written in, one of ``DTYPES``; None: as they are. The
            model that ``load`` makes of them computes in float32.
        measure: A config whose test says what the card tells of these weights. Without it the card has the
            metrics of the training's validation, and of rounded weights none.
        command: That trained the model, for the card.
        zoo: A file that gets a row of this model, in the place of one of its name; see ``zoo.enter``.
    Returns: The folder.

    Raises:
        InputError: for a folder with files in it, a config with paths of this machine, or a ``dtype`` that
            is none or cannot hold the weights.
        CheckpointError: for a checkpoint that cannot be loaded.
        ConfigError: if ``measure`` is no config that can test the model.
    """
    if dtype not in (None, *DTYPES):
        raise InputError(f"--dtype {dtype}: expected {', '.join(DTYPES)}.{did_you_mean(str(dtype), DTYPES)}")
    if measure is not None:
        find_config(measure)  # says now if there is none
    if zoo is not None:
        require_zoo(Path(zoo))
    out = Path(out).expanduser()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already: give a folder that is new or empty")
    file = checkpoint_file(checkpoint)
    model = load(file, config=config, device="cpu")
    kept = read_checkpoint(file, lazy=True)
    rounded = dtype is not None and _round(model.module, getattr(torch, dtype), file)
    about = _about(kept, file)
    metrics, measured_by = ({} if rounded else about["metrics"]), "validation"
    facts = {
        "library_name": LIBRARY,
        "mmvisionllama": __version__,
        "task": model.task,
        **described(model.cfg, model.metainfo),
        "source": {"part": "ema" if "ema_state_dict" in kept else "model"},
    }
    try:
        with _folder_that_becomes(out) as temporary:
            _write(temporary, model, facts, image, file.parent, dtype)
            if measure is not None:
                metrics, measured_by = _measured(temporary, measure), f"test of {Path(measure).stem}"
            card = Card(
                name=name or about["name"] or out.name,
                source=source or out.name,
                task=model.task,
                license=license,
                sha256=facts["sha256"],
                data=about["data"],
                metrics=metrics,
                measured_by=measured_by,
                recipe=about["recipe"],
                command=command,
                precision=dtype,
                commit=commit(),
                has_example=(temporary / EXAMPLE).is_file(),
            )
            (temporary / CARD).write_text(card.text())
            _require_same(model, load(temporary, device="cpu"))
        if zoo is not None:
            enter(Path(zoo), _row(card, out))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{out} cannot be written: {getattr(error, 'strerror', None) or error}") from error
    return out


def _row(card: Card, out: Path) -> Row:
    root, folder = checkout(), out.absolute()
    name = card.recipe.get("config")
    shipped = [x for x in configs_folder().rglob(f"{name}.py") if name and "_base_" not in x.parts]
    return Row(
        name=card.name,
        task=card.task,
        data=card.data,
        config=f"configs/{shipped[0].relative_to(configs_folder())}" if len(shipped) == 1 else name,
        metrics=card.metrics,
        measured_by=card.measured_by,
        folder=str(folder.relative_to(root)) if root and folder.is_relative_to(root) else folder.name,
        log=(out / LOG).is_file(),
        sha256=card.sha256,
    )


@contextmanager
def _folder_that_becomes(out: Path) -> Iterator[Path]:
    """Yield a folder beside ``out`` that takes its place if the block succeeds, and else is removed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield temporary
        for path in (temporary, *temporary.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)  # temporary folders and safetensors are private
        if out.exists():
            out.rmdir()
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(
    folder: Path,
    model: TrainedModel,
    facts: dict[str, Any],
    image: str | Path | None,
    work_dir: Path,
    dtype: str | None,
) -> None:
    """Write weights, config, log and example, and add the SHA-256 of the weights to ``facts``."""
    remarks = {"format": "pt", "mmvisionllama": __version__}
    save_file(_weights(model.module, dtype), folder / WEIGHTS, remarks)
    facts["sha256"] = sha256_of(folder / WEIGHTS)
    (folder / CONFIG).write_text(as_json(facts))
    if image is not None:
        model.predict(image).save(folder / EXAMPLE)
    elif model.task == "generation":
        model.sample(num=1)[0].save(folder / EXAMPLE)
    elif (picture := work_dir / _PICTURE).is_file():
        shutil.copyfile(picture, folder / EXAMPLE)
    if logs := sorted(work_dir.glob(_LOGS)):  # numbers alone, of the training and where it was resumed
        (folder / LOG).write_text("".join(x.read_text() for x in logs))


def _round(module: nn.Module, dtype: torch.dtype, file: Path) -> bool:
    """Round the parameters, in place, to what ``dtype`` can say; return whether that changed any.

    Raises: InputError: if one is too large for it.
    """
    changed = False
    with torch.no_grad():
        for name, x in module.named_parameters():
            rounded = x.to(dtype).to(x.dtype)
            if not torch.isfinite(rounded).all() and torch.isfinite(x).all():
                raise InputError(
                    f"--dtype {str(dtype).removeprefix('torch.')}: {file} has {name} of up to "
                    f"{x.abs().max():.3g}, more than {torch.finfo(dtype).max:.3g}; use bfloat16 or float32"
                )
            changed = changed or not torch.equal(rounded, x)
            x.copy_(rounded)
    return changed


def _weights(module: nn.Module, dtype: str | None) -> dict[str, torch.Tensor]:
    """Return parameters in ``dtype``, and buffers, e.g. counts and running means, as they are."""
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return {
        name: (x.detach().to(getattr(torch, dtype)) if dtype and name in parameters else x.detach())
        .cpu()
        .clone(memory_format=torch.contiguous_format)
        for name, x in module.state_dict().items()
    }


def _measured(folder: Path, config: str | Path) -> dict[str, float]:
    """Return the metrics of what was written, by the test of a config."""
    with tempfile.TemporaryDirectory(prefix="measured_") as work_dir:
        metrics = test(config, folder / WEIGHTS, work_dir=work_dir)
    return _numbers(metrics)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Round to six digits, as float32 has; leave out what is no number, and COCO's -1 of no objects."""
    numbers = {key: float(f"{x:.6g}") for key, x in metrics.items() if isinstance(x, Real)}
    return {key: x for key, x in numbers.items() if x != -1 or not key.startswith("coco/")}


def _require_same(model: TrainedModel, loaded: TrainedModel) -> None:
    """Require that what was written computes the same, to the bit."""
    ours, theirs = model.module.state_dict(), loaded.module.state_dict()
    same = ours.keys() == theirs.keys() and all(torch.equal(x, theirs[name]) for name, x in ours.items())
    if same and model.task != "generation":
        size = getattr(model.module.backbone, "img_hw", (224, 224))
        noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        same = model.predict(noise).to_dict() == loaded.predict(noise).to_dict()
    if not same or model.classes != loaded.classes:
        raise CheckpointError(
            f"{model.source}: what was written of it is another model; nothing is published"
        )


def _about(checkpoint: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return name, data, metrics and recipe of a training, as far as checkpoint and summary tell."""
    settings, meta = Config(kept_settings(checkpoint)), checkpoint.get("meta") or {}
    summary = _summary_beside(file)
    is_best = Path(str(summary.get("best_checkpoint"))).name == file.name
    steps = (x["metrics"] for x in summary.get("validations") or [] if x.get("step") == meta.get("iter"))
    metrics = summary.get("best") if is_best else next(steps, None)
    loader = settings.get("train_dataloader") or {}
    dataset = loader.get("dataset") or {}
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    wrapper = settings.get("optim_wrapper") or {}
    optimizer = wrapper.get("optimizer") or {}
    batch = (loader.get("batch_size"), summary.get("world_size"), wrapper.get("accumulative_counts", 1))
    name = (summary.get("config") or {}).get("name")
    recipe = {
        "config": name,
        "optimizer": f"{optimizer['type']}, learning rate {optimizer.get('lr')}" if optimizer else None,
        "global batch": math.prod(batch) if all(isinstance(x, int) for x in batch) else None,
        "step": meta.get("iter"),
        "planned steps": summary.get("planned_steps"),
        "seed": meta.get("seed"),
        "run": meta.get("run_id"),
    }
    return {
        "name": name,
        "data": _data(dataset),
        "metrics": _numbers(metrics or {}),
        "recipe": {key: x for key, x in recipe.items() if x is not None},
    }


def _data(dataset: Mapping[str, Any]) -> str | None:
    """Return class and, below the folder of all data, place of a data set; the folder itself is private."""
    if "type" not in dataset:
        return None
    name, root = str(dataset["type"]).rpartition(".")[2], Path(str(dataset.get("data_root") or ""))
    place = root.relative_to(base) if root.is_relative_to(base := data_root_base()) else root
    return f"{name}, {place}" if place.parts and not place.is_absolute() else name


def _summary_beside(file: Path) -> dict[str, Any]:
    try:
        summary = read_json(file.parent / SUMMARY)
    except ValueError:  # not there, or no JSON: the card then says less
        return {}
    return summary if isinstance(summary, dict) else {}
