"""Check the data sets of a run before it starts: existence, labels, sizes, agreement."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmengine.registry import DATASETS, init_default_scope

from mmvisionllama.checks.data_problems import DataProblem, Role, check_listing
from mmvisionllama.datasets.image_loading import CorruptImageError
from mmvisionllama.errors import ConfigError
from mmvisionllama.suggestions import shortened

# A folder in the path of a data root -> how to get that data set.
_PREPARE = {
    "digitscenes": "make it: python tools/prepare_digitscenes.py",
    "ade": "docs/data.md says how to get ADE20K",
    "imagenet_latents_256": "make it: tools/cache_latents.sh CONFIG",
    "imagenet": "docs/data.md says how to get ImageNet-1K",
    "mnist": "docs/data.md says where the files of MNIST go",
    "coco": "docs/data.md says how to get COCO",
}

# Returns why images of a height and width do not suit a model, or None.
SizeCheck = Callable[[tuple[int, int]], str | None]


@dataclass
class DataReport:
    """What a check found, and in words what it looked at."""

    problems: list[DataProblem]
    looked_at: list[str]
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of every data set that names them
    folders: dict[str, tuple[str, ...]] = field(default_factory=dict)  # in every folder that decides labels


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


def check_data(cfg: Config, *loaders: str, size_check: SizeCheck | None = None) -> DataReport:
    """Check the data sets of the named data loaders, e.g. ``"train_dataloader"``, and whether they agree.

    Args:
        size_check: Asked about the first image of every data set, as the model will get it.
    """
    init_default_scope(cfg.get("default_scope", "mmengine"))
    checked, seen, num_classes = DataReport([], []), [], classes_of(cfg.model)
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


def _disagreements(what: str, names: dict[str, tuple[str, ...]]) -> Iterator[DataProblem]:
    (first, known), *others = names.items() or [("", ())]
    for name, these in others:
        if these != known:
            lacking = [f"{first} alone has {shortened(x)}" for x in [sorted(set(known) - set(these))] if x]
            lacking += [f"{name} alone has {shortened(x)}" for x in [sorted(set(these) - set(known))] if x]
            why = "; ".join(lacking) or "the same names in another order"
            yield DataProblem(name, f"its {what} are not those of {first}: {why}")


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
) -> DataReport:
    """Check a data set or its config, and all that a wrapper such as RepeatDataset or ConcatDataset holds.

    Args:
        dataset: A config is built without its pipeline and without reading annotations.
        num_classes: Classes of the model, or None if its labels are not to be compared with them.
        evaluated: Whether every image counts, or a training may skip some.
        size_check: See ``check_data``.
    """
    checked = DataReport([], [])
    for leaf in _leaves(dataset):
        built = leaf if isinstance(leaf, BaseDataset) else _build(leaf)
        name = f"{type(built).__name__} ({'evaluation' if evaluated else 'training'})"
        root = built.data_root or "."
        if not Path(root).is_dir():
            hints = [hint for folder, hint in _PREPARE.items() if folder in Path(root).parts]
            message = f"the data root {Path(root).absolute()} does not exist"
            checked.problems.append(DataProblem(name, "; ".join([message, *hints])))
            continue
        found = list(_findings(built, Role(name, evaluated, num_classes)))
        problems = [x for x in found if isinstance(x, DataProblem)]
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


def _findings(dataset: BaseDataset, role: Role) -> Iterator[DataProblem | str]:
    """Yield the problems of a data set, and as text what was looked at; imports the host in use alone."""
    bases = {(x.__module__.partition(".")[0], x.__name__) for x in type(dataset).__mro__}
    if ("mmpretrain", "BaseDataset") in bases:
        from mmvisionllama.checks.cls_data import check_classification as check
    elif ("mmseg", "BaseSegDataset") in bases:
        from mmvisionllama.checks.seg_data import check_segmentation as check
    elif ("mmdet", "CocoDataset") in bases:
        from mmvisionllama.checks.det_data import check_detection as check
    else:
        check = check_listing
    yield from check(dataset, role)


def _size_problems(
    name: str, pipeline: Compose, dataset: BaseDataset, size_check: SizeCheck
) -> Iterator[DataProblem]:
    try:
        img = (pipeline(dataset.get_data_info(0)) or {}).get("inputs")
    except CorruptImageError as error:
        yield DataProblem(name, str(error))
        return
    problem = size_check(tuple(img.shape[-2:])) if getattr(img, "ndim", 0) == 3 else None
    if problem is not None:
        yield DataProblem(
            name, f"its pipeline gives images of {img.shape[-2]} x {img.shape[-1]} px, {problem}"
        )


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
