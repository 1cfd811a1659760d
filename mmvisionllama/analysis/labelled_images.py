"""Images with their classes: a config's training and validation set, or a folder of class folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict

from mmvisionllama.checks.image_data import spaced
from mmvisionllama.config import load_config
from mmvisionllama.errors import InputError
from mmvisionllama.finetuning.class_folders import has_class_folders, read_class_folders
from mmvisionllama.inference.input_images import InputImage, open_images
from mmvisionllama.training.trial import built_dataset


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images of a part of some data.

    Attributes:
        labels: Indices into ``classes``; None if the data have no classes of images.
    """

    images: Sequence[InputImage]
    labels: Sequence[int] | None
    classes: Sequence[str]

    def __len__(self) -> int:
        return len(self.images)

    def at_most(self, count: int | None) -> "LabelledImages":
        """Return evenly spaced ones, if there are more."""
        if count is None or len(self) <= count:
            return self
        chosen = spaced(len(self), count)
        labels = None if self.labels is None else [self.labels[i] for i in chosen]
        return replace(self, images=[self.images[i] for i in chosen], labels=labels)


def labelled_images(given: str, cfg_options: dict[str, Any] | None = None) -> dict[str, LabelledImages]:
    """Return the parts of some data: ``train``, and ``val`` where there is one.

    Args:
        given: A folder of class folders, with folders ``train`` and ``val`` around them or without; or a
            config, whose training and validation sets are taken, without their transforms.
        cfg_options: Override keys of the config.
    Raises: InputError, DataError, ConfigError: if there are no such data.
    """
    folder = Path(given).expanduser()
    if folder.is_dir():
        if cfg_options:
            raise InputError(f"--cfg-options change a config, and --data {given} is a folder")
        return _of_folder(folder)
    cfg = load_config(given, cfg_options)
    parts = {}
    for part in ("train", "val"):
        if (loader := cfg.get(f"{part}_dataloader")) is not None:
            lone = ConfigDict(
                {**cfg, f"{part}_dataloader": {**loader, "dataset": _innermost(loader["dataset"])}}
            )
            parts[part] = _of_dataset(built_dataset(lone, f"{part}_dataloader"), part)
    if not parts:
        raise InputError(f"--data {given}: the config has neither train_dataloader nor val_dataloader")
    return parts


def _of_folder(folder: Path) -> dict[str, LabelledImages]:
    if not has_class_folders(folder):
        raise InputError(
            f"--data {folder}: expected a folder for each class with images in it, or train/ and val/ with "
            "such folders"
        )
    found = read_class_folders(folder)
    place = {name: i for i, name in enumerate(found.classes)}
    parts = {}
    for part in ("train", "val"):
        if samples := found.parts.get(part):
            images = [InputImage(str(x.image)) for x in samples]
            parts[part] = LabelledImages(images, [place[x.label] for x in samples], found.classes)
    return parts


def _innermost(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config of a data set inside of those that repeat or balance it."""
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    return dataset


def _of_dataset(dataset: Any, part: str) -> LabelledImages:
    images, labels = [], []
    for i in range(len(dataset)):
        known = dataset.get_data_info(i)
        if "img_path" in known:
            images.append(InputImage(known["img_path"]))
        elif "img" in known:  # in memory, grey or RGB
            images += [InputImage(f"image {i} of {part}", x.content) for x in open_images(known["img"])]
        else:
            raise InputError(f"--data: sample {i} of the {part} set has neither img_path nor img")
        labels.append(known.get("gt_label"))
    classes = tuple(dataset.metainfo.get("classes") or ())
    if not all(isinstance(x, int) or getattr(x, "ndim", 1) == 0 for x in labels):  # objects, pixels, several
        return LabelledImages(images, None, classes)
    labels = [int(x) for x in labels]
    return LabelledImages(images, labels, classes or tuple(map(str, range(max(labels, default=0) + 1))))
