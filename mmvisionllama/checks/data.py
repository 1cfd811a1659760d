"""Check the data sets of a run before it starts: existence, labels, sizes, agreement."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmengine.registry import DATASETS, init_default_scope

from mmvisionllama.checks.data_loading import check_loading
from mmvisionllama.checks.data_problems import DataProblem, Role, check_listing
from mmvisionllama.checks.evaluators import check_evaluator, metrics_of
from mmvisionllama.checks.head_classes import classes_of
from mmvisionllama.checks.needed_labels import labels_needed
from mmvisionllama.checks.sample_loading import SizeCheck, load_samples
from mmvisionllama.config.global_batch import share_batch
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

# Wrappers whose length is that of what they hold, or a multiple of it.
_WRAPPERS = ("RepeatDataset", "ConcatDataset", "MultiImageMixDataset")


@dataclass
class DataReport:
    """What a check found, and in words what it looked at.

    Attributes:
        classes: Name of a data set and its classes, of every one that names them.
        folders: A folder that decides labels, and the names in it.
        reading: Name of a data set and how it reads label maps.
        length: Samples of the data set, with what wrappers make of them; None: not known.
        sizes: Heights and widths of some images as they come out of the pipelines.
    """

    problems: list[DataProblem] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)
    classes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    folders: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    reading: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    length: int | None = None
    sizes: list[tuple[int, int]] = field(default_factory=list)


def require_sound_data(
    cfg: Config,
    *loaders: str,
    size_check: SizeCheck | None = None,
    processes: int = 1,
    trained: tuple[str, tuple[str, ...]] | None = None,
) -> list[str]:
    """Check the data sets of the named data loaders, see :func:`check_data`.

    Returns: What was looked at and what is wrong but not fatal, for the log.
    Raises: ConfigError: lists everything that is fatal.
    """
    checked = check_data(cfg, *loaders, size_check=size_check, processes=processes, trained=trained)
    fatal = [problem for problem in checked.problems if problem.fatal]
    if fatal:
        raise ConfigError("the data cannot be used:\n" + "\n".join(f"  {problem}" for problem in fatal))
    return [*checked.looked_at, *map(str, checked.problems)]


def check_data(
    cfg: Config,
    *loaders: str,
    size_check: SizeCheck | None = None,
    processes: int = 1,
    trained: tuple[str, tuple[str, ...]] | None = None,
) -> DataReport:
    """Check the data sets of the named data loaders, e.g. ``"train_dataloader"``, and whether they agree.

    Args:
        size_check: Asked about images of every data set, as the model will get them.
        processes: Of the run, which share the data.
        trained: The name of a checkpoint to go on with or to test, and its classes.
    """
    init_default_scope(cfg.get("default_scope", "mmengine"))
    checked, num_classes = DataReport(), classes_of(cfg.model)
    seen: list[tuple[tuple, DataReport]] = []
    for name in (name for name in loaders if cfg.get(name) is not None):
        dataset, evaluated = cfg[name].dataset, not name.startswith("train")
        metrics = metrics_of(cfg, f"{name.partition('_')[0]}_evaluator") if evaluated else []
        key = (dataset, evaluated, metrics)
        this = next((report for known, report in seen if known == key), None)
        if this is None:
            needed = labels_needed(cfg.model, evaluated, metrics)
            this = check_dataset(dataset, num_classes, evaluated, size_check, metrics, needed)
            seen.append((key, this))
            checked.problems += this.problems
            checked.looked_at += this.looked_at
            checked.classes += this.classes
            checked.folders += this.folders
            checked.reading += this.reading
            checked.problems += check_evaluator(cfg, name, metrics)
        shared = share_batch(cfg, processes) if name == "train_dataloader" else None
        batch_size = shared.per_device if shared else cfg[name].get("batch_size")
        checked.problems += check_loading(name, cfg, this.length, this.sizes, batch_size, processes)
    if num_classes is not None:  # else labels are not looked at
        different = list(_disagreements("class folders", checked.folders))
        checked.problems += different or _disagreements("classes", checked.classes)
        checked.problems += _disagreements("label maps", checked.reading)
        if trained is not None:
            checked.problems += _moved_classes(*trained, checked.classes)
    return checked


def _moved_classes(
    source: str, trained: tuple[str, ...], classes: list[tuple[str, tuple[str, ...]]]
) -> Iterator[DataProblem]:
    """Yield data sets in which names have other places than in a checkpoint; other names are remarked."""
    places = {name: place for place, name in enumerate(trained)}
    for name, these in classes:
        moved = [x for place, x in enumerate(these) if places.get(x, place) != place]
        if these == trained:
            continue
        told = f"{shortened(these)}; the checkpoint has {shortened(trained)}"
        if moved:
            text = (
                f"its classes are in another order than those of {source}, so labels would be wrong: {told}"
            )
            yield DataProblem(name, text)
        else:
            yield DataProblem(name, f"its classes have other names than in {source}: {told}", fatal=False)


def _disagreements(what: str, names: list[tuple[str, tuple[str, ...]]]) -> Iterator[DataProblem]:
    (first, known), *others = names or [("", ())]
    for name, these in others:
        if these != known:
            lacking = [f"{first} alone has {shortened(x)}" for x in [sorted(set(known) - set(these))] if x]
            lacking += [f"{name} alone has {shortened(x)}" for x in [sorted(set(these) - set(known))] if x]
            order = f"the same names in another order, {shortened(these)} for {shortened(known)}"
            yield DataProblem(name, f"its {what} are not those of {first}: {'; '.join(lacking) or order}")


def classes_of_data(dataset: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the names of the classes that the config of a data set, or its type, gives; None if neither."""
    leaf = next(leaves_of(dataset))
    names = _build(leaf).metainfo.get("classes")
    return None if names is None else tuple(names)


def check_dataset(
    dataset: dict[str, Any] | BaseDataset,
    num_classes: int | None = None,
    evaluated: bool = False,
    size_check: SizeCheck | None = None,
    metrics: Sequence[Mapping[str, Any]] = (),
    needed: tuple[str, ...] = (),
) -> DataReport:
    """Check a data set or its config, and all that a wrapper such as RepeatDataset or ConcatDataset holds.

    Args:
        dataset: A config is built without its pipeline and without reading annotations.
        num_classes: Classes of the model, or None if its labels are not to be compared with them.
        evaluated: Whether every image counts, or a training may skip some.
        size_check: See ``check_data``.
        metrics: What evaluates the data set, as the config says.
        needed: See ``Role``.
    """
    checked, lengths = DataReport(), []
    leaves = list(leaves_of(dataset))
    with _garbage_kept():
        for number, leaf in enumerate(leaves, 1):
            part = f", {number} of {len(leaves)}" if len(leaves) > 1 else ""
            role = Role(part, evaluated, num_classes, metrics=tuple(metrics), needed=needed)
            lengths.append(_check_leaf(checked, leaf, role, size_check))
    checked.length = _length(dataset, iter(lengths))
    return checked


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Let the collector rest: annotations are millions of objects without cycles, a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _check_leaf(
    checked: DataReport,
    leaf: dict[str, Any] | BaseDataset,
    role: Role,
    size_check: SizeCheck | None,
) -> int | None:
    """Add what is found in a data set that holds no other; return its length, if it can be loaded.

    Args:
        role: Without its pipeline; its name is what follows the use of the data set.
    """
    use = f"({'evaluation' if role.evaluated else 'training'}{role.name})"
    try:
        built = leaf if isinstance(leaf, BaseDataset) else _build(leaf)
        pipeline = Compose(leaf.get("pipeline", [])) if isinstance(leaf, dict) else built.pipeline
    except Exception as error:  # the hosts' constructors refuse arguments by almost any error
        name = f"{str(leaf.get('type')).rpartition('.')[2]} {use}"
        text = f"it cannot be built: {type(error).__name__}: {error}"
        checked.problems.append(DataProblem(name, text))
        return None
    name = f"{type(built).__name__} {use}"
    root = built.data_root or "."
    if not Path(root).is_dir():
        hints = [hint for folder, hint in _PREPARE.items() if folder in Path(root).parts]
        message = f"the data root {Path(root).absolute()} does not exist"
        checked.problems.append(DataProblem(name, "; ".join([message, *hints])))
        return None
    if isinstance(given := built.metainfo.get("classes"), str):
        text = f"metainfo.classes is the text {given!r}, so each letter would be a class; write ({given!r},)"
        checked.problems.append(DataProblem(name, text))
        return None
    role = replace(role, name=name, pipeline=tuple(pipeline.transforms))
    found = list(_findings(built, role))
    problems = [x for x in found if isinstance(x, DataProblem)]
    if pipeline.transforms and not any(x.fatal for x in problems):
        tried = list(load_samples(role, pipeline, built, size_check))
        problems += [x for x in tried if isinstance(x, DataProblem)]
        checked.sizes += [x for x in tried if not isinstance(x, DataProblem)]
    checked.problems += problems
    checked.looked_at += [x for x in found if isinstance(x, str)]
    if getattr(built, "folder_to_idx", None):
        checked.folders.append((built.img_prefix, tuple(built.folder_to_idx)))
    if hasattr(built, "reduce_zero_label"):
        setting = f"reduce_zero_label={built.reduce_zero_label}"
        checked.reading.append((name, (setting, f"ignore_index={built.ignore_index}")))
    if built.metainfo.get("classes"):
        checked.classes.append((name, tuple(built.metainfo["classes"])))
    return None if any(x.fatal for x in problems) else len(built)


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


def _children(dataset: dict[str, Any] | BaseDataset) -> list[dict[str, Any] | BaseDataset]:
    is_cfg = isinstance(dataset, dict)
    inner = [(dataset.get(key) if is_cfg else getattr(dataset, key, None)) for key in ("dataset", "datasets")]
    return [*([] if inner[0] is None else [inner[0]]), *(inner[1] or [])]


def leaves_of(dataset: dict[str, Any] | BaseDataset) -> Iterator[dict[str, Any] | BaseDataset]:
    """Yield the data sets, or their configs, that hold no others."""
    children = _children(dataset)
    if not children:
        yield dataset
    for child in children:
        yield from leaves_of(child)


def _length(dataset: dict[str, Any] | BaseDataset, of_leaves: Iterator[int | None]) -> int | None:
    """Return the samples of a data set, given those of its leaves; None where that is not known."""
    children = _children(dataset)
    if not children:
        return next(of_leaves)
    lengths = [_length(child, of_leaves) for child in children]
    kind = str(dataset.get("type", "")) if isinstance(dataset, dict) else type(dataset).__name__
    if None in lengths or not kind.endswith(_WRAPPERS):
        return None
    times = dataset.get("times", 1) if isinstance(dataset, dict) else getattr(dataset, "times", 1)
    return sum(lengths) * times


def _build(cfg: dict[str, Any]) -> BaseDataset:
    return DATASETS.build({**cfg, "pipeline": [], "lazy_init": True, "serialize_data": False})
