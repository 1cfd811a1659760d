"""What can be wrong with data on disk, found before a run starts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import singledispatch
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmengine.registry import DATASETS, init_default_scope

from mmvisionllama.config.errors import ConfigError
from mmvisionllama.datasets.loading import CorruptImageError
from mmvisionllama.names import shortened

# The folder that a data root ends in or lies in -> how it comes to be.
_PREPARE = {
    "digitscenes": "make it: python tools/prepare_digitscenes.py",
    "ade": "docs/data.md says how to get ADE20K",
    "imagenet_latents_256": "make it: tools/cache_latents.sh CONFIG",
    "imagenet": "docs/data.md says how to get ImageNet-1K",
    "mnist": "docs/data.md says where the files of MNIST go",
    "coco": "docs/data.md says how to get COCO",
}

# Whose data sets have more to check than a list of samples: a module that registers with ``findings``.
_TASKS = {"mmseg": "seg", "mmpretrain": "cls", "mmdet": "det"}

# Says why images of a height and width do not suit a model, or None.
SizeCheck = Callable[[tuple[int, int]], str | None]


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set; ``fatal`` if a run cannot be what it claims to be."""

    dataset: str
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.dataset}: {self.message}"


@dataclass
class Checked:
    """What a check found, and in words what it looked at."""

    problems: list[Problem]
    looked_at: list[str]
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of every data set that names them
    folders: dict[str, tuple[str, ...]] = field(default_factory=dict)  # in every folder that decides labels


@dataclass(frozen=True)
class Role:
    """What a data set is to a run: what reports call it, whether it is evaluated, and the model's classes."""

    name: str
    evaluated: bool
    num_classes: int | None


def require_sound_data(cfg: Config, *loaders: str, size_check: SizeCheck | None = None) -> list[str]:
    """Check the data sets of the named data loaders, see :func:`check_data`.

    Returns: What was looked at and what is wrong but not fatal, for the log.
    Raises: ConfigError: lists everything that is fatal.
    """
    checked = check_data(cfg, *loaders, size_check=size_check)
    fatal = [problem for problem in checked.problems if problem.fatal]
    if fatal:
        raise ConfigError("the data cannot be used:\n" + "\n".join(f"  {problem}" for problem in fatal))
    return [*checked.looked_at, *map(str, checked.problems)]


def check_data(cfg: Config, *loaders: str, size_check: SizeCheck | None = None) -> Checked:
    """Check the data sets of the named data loaders, e.g. ``"train_dataloader"``, and whether they agree.

    Args:
        size_check: Asked about the first image of every data set, as the model will get it.
    """
    scope = cfg.get("default_scope", "mmengine")
    init_default_scope(scope)
    if scope in _TASKS:
        import_module(f"{__package__}.{_TASKS[scope]}_checks")
    checked, seen, num_classes = Checked([], []), [], classes_of(cfg.model)
    for name in (name for name in loaders if cfg.get(name) is not None):
        dataset, evaluated = cfg[name].dataset, not name.startswith("train")
        if (dataset, evaluated) not in seen:
            seen.append((dataset, evaluated))
            this = check_dataset(dataset, num_classes, evaluated, size_check)
            checked.problems += this.problems
            checked.looked_at += this.looked_at
            checked.classes |= this.classes
            checked.folders |= this.folders
    if num_classes is not None:  # else labels are not looked at
        different = list(_disagreements("class folders", checked.folders))
        checked.problems += different or _disagreements("classes", checked.classes)
    return checked


def _disagreements(what: str, names: dict[str, tuple[str, ...]]) -> Iterator[Problem]:
    (first, known), *others = names.items() or [("", ())]
    for name, these in others:
        if these != known:
            lacking = [f"{first} alone has {shortened(x)}" for x in [sorted(set(known) - set(these))] if x]
            lacking += [f"{name} alone has {shortened(x)}" for x in [sorted(set(these) - set(known))] if x]
            why = "; ".join(lacking) or "the same names in another order"
            yield Problem(name, f"its {what} are not those of {first}: {why}")


def classes_of(model: dict[str, Any]) -> int | None:
    """Return the number of classes of the (last) head, or of a generator's network, in a model's config."""
    head = model.get("decode_head") or model.get("head") or model.get("network")
    head = head or model.get("roi_head", {}).get("bbox_head")
    head = head[-1] if isinstance(head, (list, tuple)) else head
    return None if head is None else head.get("num_classes")


def check_dataset(
    dataset: dict[str, Any] | BaseDataset,
    num_classes: int | None = None,
    evaluated: bool = False,
    size_check: SizeCheck | None = None,
) -> Checked:
    """Check a data set or its config, and all that a wrapper such as RepeatDataset or ConcatDataset holds.

    Args:
        dataset: A config is built without its pipeline and without reading annotations.
        num_classes: Classes of the model, or None if its labels are not to be compared with them.
        evaluated: Whether every image counts, or a training may skip some.
        size_check: See ``check_data``.
    """
    checked = Checked([], [])
    for leaf in _leaves(dataset):
        built = leaf if isinstance(leaf, BaseDataset) else _build(leaf)
        name = f"{type(built).__name__} ({'evaluation' if evaluated else 'training'})"
        root = built.data_root or "."
        if not Path(root).is_dir():
            hints = [hint for folder, hint in _PREPARE.items() if folder in Path(root).parts]
            message = f"the data root {Path(root).absolute()} does not exist"
            checked.problems.append(Problem(name, "; ".join([message, *hints])))
            continue
        found = list(findings(built, Role(name, evaluated, num_classes)))
        problems = [x for x in found if isinstance(x, Problem)]
        if size_check is not None and not problems:
            pipeline = Compose(leaf.get("pipeline", [])) if isinstance(leaf, dict) else leaf.pipeline
            problems = list(_size_problems(name, pipeline, built, size_check))
        checked.problems += problems
        checked.looked_at += [x for x in found if isinstance(x, str)]
        if getattr(built, "folder_to_idx", None):
            checked.folders[built.img_prefix] = tuple(built.folder_to_idx)
        if built.metainfo.get("classes"):
            checked.classes[name] = tuple(built.metainfo["classes"])
    return checked


@singledispatch
def findings(dataset: BaseDataset, role: Role) -> Iterator[Problem | str]:
    """Yield the problems of one kind of data set, and as text what was looked at.

    A kind of data set that needs more than its annotation file registers its own function.
    """
    yield from listing(dataset, role.name)


def listing(dataset: BaseDataset, name: str) -> Iterator[Problem]:
    """Read the list of samples, and yield an annotation file that is missing or a list that is empty."""
    if dataset.ann_file and not Path(dataset.ann_file).exists():
        yield Problem(name, f"the annotation file {dataset.ann_file} does not exist")
        return
    dataset.full_init()
    if len(dataset) == 0:
        places = [x for x in (dataset.ann_file, *dataset.data_prefix.values()) if x]
        suffix = getattr(dataset, "img_suffix", None)
        searched = f" with names in {suffix}" if suffix else ""
        yield Problem(name, f"the data set is empty: nothing{searched} in {', '.join(places)}")


def _size_problems(
    name: str, pipeline: Compose, dataset: BaseDataset, size_check: SizeCheck
) -> Iterator[Problem]:
    try:
        img = (pipeline(dataset.get_data_info(0)) or {}).get("inputs")
    except CorruptImageError as error:
        yield Problem(name, str(error))
        return
    problem = size_check(tuple(img.shape[-2:])) if getattr(img, "ndim", 0) == 3 else None
    if problem is not None:
        yield Problem(name, f"its pipeline gives images of {img.shape[-2]} x {img.shape[-1]} px, {problem}")


def _leaves(dataset: dict[str, Any] | BaseDataset) -> Iterator[dict[str, Any] | BaseDataset]:
    is_cfg = isinstance(dataset, dict)
    inner = [(dataset.get(key) if is_cfg else getattr(dataset, key, None)) for key in ("dataset", "datasets")]
    children = [*([] if inner[0] is None else [inner[0]]), *(inner[1] or [])]
    if not children:
        yield dataset
    for child in children:
        yield from _leaves(child)


def _build(cfg: dict[str, Any]) -> BaseDataset:
    return DATASETS.build({**cfg, "pipeline": [], "lazy_init": True, "serialize_data": False})
