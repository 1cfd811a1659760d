"""Write the config of a training on own data: a file like the shipped ones, which its owner edits."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmvisionllama.finetuning.annotation_files import Annotations
from mmvisionllama.finetuning.cls_settings import cls_settings
from mmvisionllama.finetuning.config_text import assignment
from mmvisionllama.finetuning.det_settings import det_settings
from mmvisionllama.finetuning.pretrain_settings import pretrain_settings
from mmvisionllama.finetuning.recipe import Recipe
from mmvisionllama.finetuning.seg_settings import seg_settings
from mmvisionllama.finetuning.settings import Settings, schedule

_SETTINGS = {
    "cls": cls_settings,
    "seg": seg_settings,
    "det": det_settings,
    "pretrain": pretrain_settings,
}
_DOES = {"cls": "classifies", "seg": "segments", "det": "detects objects in", "pretrain": "MAE on"}


def config_text(
    data: Annotations,
    recipe: Recipe,
    *,
    name: str,
    command: str,
    work_dir: Path,
    seed: int,
    anew: Sequence[str] = (),
) -> str:
    """Return the text of a config.

    Args:
        name: Of the data.
        command: That trains by the config.
        work_dir: Of the training.
        seed: Of the training.
        anew: Parts of the model that the start has in other shapes.
    """
    settings = _SETTINGS[recipe.task](data, recipe)
    blocks = [
        _header(data, recipe, name, command),
        assignment("_base_", [f"mmvisionllama::_base_/{x}.py" for x in settings.bases]),
        "\n".join(_lines(settings, schedule(data, recipe), recipe, work_dir, seed, anew)),
    ]
    return "\n\n".join(blocks) + "\n"


def _header(data: Annotations, recipe: Recipe, name: str, command: str) -> str:
    classes = f", {len(data.classes)} classes" if data.classes and recipe.task != "pretrain" else ""
    counts = ", ".join(f"{count:,} {part}" for part, count in data.counts.items())
    start = "random values" if recipe.backbone.start is None else recipe.backbone.start.name
    first = f"{recipe.backbone.title} {_DOES[recipe.task]} {name}{classes}."
    lines = [first, "", command, "", f"One process, {recipe.batch} images, from {start}. Images: {counts}."]
    return '"""' + "\n".join(x.replace("\\", "/").replace('"""', "'''") for x in lines) + '\n"""'


def _lines(
    settings: Settings,
    length: dict[str, Any],
    recipe: Recipe,
    work_dir: Path,
    seed: int,
    anew: Sequence[str],
) -> Iterator[str]:
    for name, value in settings.variables.items():
        yield assignment(name, value)
    for name, value in {**settings.sections, **length}.items():
        yield assignment(name, value)
    yield assignment("randomness", dict(seed=seed))
    if recipe.backbone.start is not None:
        yield assignment("load_from", str(recipe.backbone.start))
    if anew:
        yield assignment("accepted_differences", list(anew))
    yield assignment("work_dir", str(work_dir))
