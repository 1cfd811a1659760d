"""Preparation of a training on own data: find them, choose a recipe, write its config."""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from mmvisionllama.config.config_files import typed_command
from mmvisionllama.errors import LaunchError
from mmvisionllama.files import from_here, read_record
from mmvisionllama.finetuning.annotation_files import Annotations, write_annotations
from mmvisionllama.finetuning.backbones import choose_backbone
from mmvisionllama.finetuning.found_data import FoundData, Task
from mmvisionllama.finetuning.label_maps import read_class_table, understand_masks
from mmvisionllama.finetuning.layouts import find_data
from mmvisionllama.finetuning.limits import fit_batch, fit_minutes
from mmvisionllama.finetuning.recipe import Recipe, choose_recipe, default_model
from mmvisionllama.finetuning.splits import with_validation
from mmvisionllama.finetuning.start import fit_to_start
from mmvisionllama.finetuning.written_config import config_text
from mmvisionllama.inference.sources import checkpoint_file
from mmvisionllama.training.dry_run import DryRun
from mmvisionllama.training.run_folder import set_aside

Measure = Callable[[Path], DryRun]
_FEW = 500  # images, on which a model from random values learns little
_PRETRAIN_VAL = 0.1


@dataclass(frozen=True)
class Prepared:
    """A config that is ready to be trained by.

    Attributes:
        config: The file.
        work_dir: Of its training.
        found: The data.
        told: What a user should know, in lines.
    """

    config: Path
    work_dir: Path
    found: FoundData
    recipe: Recipe
    told: tuple[str, ...]

    def best_checkpoint(self) -> Path:
        """Return the best checkpoint of the training that was made, else the newest."""
        record = read_record(self.work_dir / "summary.json") or {}
        given = record.get("best_checkpoint")
        return Path(given) if given else checkpoint_file(self.work_dir)

    def next_commands(self) -> dict[str, list[str]]:
        """Return what one does with the trained model: commands by what they do."""
        best = from_here(self.best_checkpoint())
        if self.recipe.task == "pretrain":
            again = ["mmvisionllama", "finetune", "DATA", "--task", "cls", "--init", best]
            return {
                "use": again,
                "look": ["mmvisionllama", "predict", best, "IMAGES", "--out", "predictions"],
            }
        return {
            "predict": ["mmvisionllama", "predict", best, "IMAGES", "--out", "predictions"],
            "export": ["mmvisionllama", "export", best, "--to", "onnx"],
            "train": shlex.split(train_command(self.config)),
        }


def prepare(
    data: str | Path,
    task: Task,
    *,
    out: str | Path | None = None,
    model: str | None = None,
    init: str | Path | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    batch: int | Literal["auto"] | None = None,
    size: int | None = None,
    flips: bool = True,
    seed: int = 0,
    classes: Path | None = None,
    ignore_label: int | None = None,
    overwrite: bool = False,
    measure: Measure | None = None,
) -> Prepared:
    """Find data, choose a recipe and write a config with the annotation files that it needs.

    Args:
        data: A folder, or a file of annotations.
        out: The folder to write; None: ``work_dirs/<model>_<task>_<data>``.
        model: A name of ``list_models()``; None: that of ``init``, else a tiny one without a GPU.
        init: A checkpoint, work directory or name to start from.
        epochs: Passes over the training images; None: by their number.
        minutes: The training takes about so long here; in the place of ``epochs``.
        batch: Images of a step; ``auto``: as many as pay off and find room, which is tried.
        size: Side of training images in px; None: by the images.
        flips: Whether a mirrored image means the same.
        seed: Of the split and of the training.
        classes: A file with names of classes, and values or colours of masks.
        ignore_label: The value of masks that counts for nothing.
        overwrite: Move what an earlier call has written to ``out`` into ``overwritten_<time>`` there.
        measure: Makes a few steps by a config; needed for ``minutes`` and ``auto``.

    Raises: UserError: for data, names or numbers that do not fit, before anything is written.
    """
    if epochs is not None and minutes is not None:
        raise LaunchError("--epochs and --minutes both say how long: leave one of them out")
    backbone = choose_backbone(model, init, default_model())
    found = find_data(Path(data), task)
    found = with_validation(found, seed, **({"share": _PRETRAIN_VAL} if task == "pretrain" else {}))
    table = read_class_table(classes, found.root) if task == "seg" else None
    maps = understand_masks(found, table, ignore_label) if task == "seg" else None
    options = dict(size=size, flips=flips)
    given = None if batch == "auto" else batch
    recipe = choose_recipe(task, found, backbone, batch=given, epochs=epochs, **options)
    source = Path(data).expanduser().absolute()
    name = source.stem if source.is_file() else source.name
    stem = f"{backbone.model}_{task}_{_as_name(name)}"
    folder = Path(out or Path("work_dirs", stem)).expanduser().absolute()
    _require_free(folder, overwrite, source)
    config, work_dir = folder / f"{stem}.py", folder / "training"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        draft = Path(temporary, "draft")
        draft.mkdir()
        annotations = write_annotations(task, found, draft / "data", folder / "data", maps)
        text = dict(name=name, command=train_command(config), work_dir=work_dir, seed=seed)
        written, loaded = draft / config.name, []
        if backbone.start is not None:
            written.write_text(config_text(annotations, recipe, **text), encoding="utf-8")
            text["anew"], loaded = fit_to_start(written, backbone.start, annotations.classes)
        if minutes is not None or batch == "auto":
            recipe = _measured(recipe, annotations, draft, folder, text, measure, minutes, batch)
        written.write_text(config_text(annotations, recipe, **text), encoding="utf-8")
        aside = _put(draft, folder)
    notes = () if maps is None else maps.notes
    told = (*found.describe(), *notes, *annotations.notes, *_told(recipe, annotations), *loaded, *aside)
    return Prepared(config, work_dir, found, recipe, told)


def train_command(config: Path) -> str:
    """Return what to type to train by a config."""
    return shlex.join([*typed_command("train"), from_here(config)])


def _told(recipe: Recipe, data: Annotations) -> list[str]:
    backbone = recipe.backbone
    start = "random values" if backbone.start is None else str(backbone.start)
    size = (
        f"{recipe.image[0]} x {recipe.image[1]}" if recipe.task == "det" else f"{recipe.side} x {recipe.side}"
    )
    lines = [
        f"{backbone.title} from {start}: {size} px, {recipe.batch} images a step, {recipe.epochs} epochs"
    ]
    if backbone.start is None and data.counts["train"] < _FEW and recipe.task != "pretrain":
        lines.append(
            f"{data.counts['train']:,} images are few to learn from random values: --init CHECKPOINT starts "
            "from a trained model, or from one that --task pretrain has made of images without labels"
        )
    return lines


def _measured(
    recipe: Recipe,
    data: Annotations,
    draft: Path,
    folder: Path,
    text: dict[str, Any],
    measure: Measure | None,
    minutes: float | None,
    batch: int | str | None,
) -> Recipe:
    """Choose batch and length by what a few steps of the draft take."""
    if measure is None:
        raise LaunchError("--minutes and --batch auto need a way to measure")
    trial = draft / "trial.py"

    def dry_run(tried: Recipe) -> DryRun:
        # The folder is not in its place yet.
        told = config_text(data, tried, **text).replace(str(folder / "data"), str(draft / "data"))
        trial.write_text(told, encoding="utf-8")
        return measure(trial)

    if batch == "auto":
        recipe = fit_batch(recipe, data.counts["train"], dry_run)
    if minutes is not None:
        recipe = fit_minutes(recipe, data.counts["train"], minutes, dry_run(recipe))
    trial.unlink()
    return recipe


def _require_free(folder: Path, overwrite: bool, source: Path) -> None:
    if folder.is_relative_to(source) or source.is_relative_to(folder):
        raise LaunchError(f"--out {folder} and the data {source} lie one in the other: give another --out")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())) or overwrite:
        return
    configs = sorted(folder.glob("*.py"))
    hint = f"; train by its config: {train_command(configs[0])}" if configs else ""
    raise LaunchError(f"--out {folder} is there and not empty{hint}; or give another --out, or --overwrite")


def _put(draft: Path, folder: Path) -> list[str]:
    """Move what was written to its place, and what is there aside; return what went where. Trainings stay."""
    folder.mkdir(exist_ok=True)
    parts = sorted(draft.iterdir())
    there = [folder / part.name for part in parts if os.path.lexists(folder / part.name)]
    told = [set_aside(folder, there)] if there else []
    for part in parts:
        os.replace(part, folder / part.name)
    return told


def _as_name(text: str) -> str:
    return "".join(x if x.isalnum() else "_" for x in text).strip("_").lower() or "data"
