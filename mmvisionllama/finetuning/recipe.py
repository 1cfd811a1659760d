"""Sizes, batch, length and learning rate of a training, from the number and size of the images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from mmvisionllama.errors import ArgumentError, DataError
from mmvisionllama.finetuning.backbones import Backbone
from mmvisionllama.finetuning.found_data import Annotated, FoundData, Sample, Task, image_size
from mmvisionllama.suggestions import shortened

_LEAST_DET_PATCH = 4  # px; the finest map of a detector has four rows for each row of patches
_LARGE_DET_SIDE = 96  # px; from here on tiny detectors have the patches of others, or take their time
_MEASURED = 2_000  # headers of images that are read for their sizes
# Longest sides of training images in px: of tiny models, of all others.
_MOST = {"cls": (64, 224), "pretrain": (64, 224), "seg": (256, 512), "det": (320, 800)}
_BATCH = {"cls": (64, 32), "pretrain": (64, 64), "seg": (8, 8), "det": (8, 4)}
# Images that a training sees in all where nobody says how long it is: from random values, from a checkpoint.
_SEEN = {
    "cls": (80_000, 40_000),
    "pretrain": (80_000, 80_000),
    "seg": (24_000, 12_000),
    "det": (24_000, 12_000),
}
_EPOCHS = {"cls": (10, 300), "pretrain": (30, 800), "seg": (10, 300), "det": (6, 100)}
_LR = {"cls": (1e-3, 5e-4), "pretrain": (2e-3, 6e-4), "seg": (2e-3, 2e-4), "det": (1e-3, 1e-4)}


@dataclass(frozen=True)
class Recipe:
    """How a training goes.

    Attributes:
        side: Of the (square) training images in px; of a detection the shorter side.
        image: Median width and height of the images, after they are brought to the size of the training.
        shrinks: Whether images are made smaller for it.
        alike: Whether all images that were measured have one size.
        object_side: Median side of objects in px of the training; 0 without objects.
    """

    task: Task
    backbone: Backbone
    side: int
    image: tuple[int, int]
    shrinks: bool
    alike: bool
    batch: int
    epochs: int
    lr: float
    flips: bool = True
    object_side: float = 0.0

    def steps_of_epoch(self, images: int) -> int:
        """Return the steps of an epoch of so many images."""
        return math.ceil(images / self.batch)

    @property
    def patch_size(self) -> int:
        """Side of a patch: that of the start, else 16; of tiny models 8, and an eighth of a small image."""
        if "patch_size" in self.backbone.kept:
            return self.backbone.kept["patch_size"]
        if not self.backbone.is_tiny or (self.task == "det" and self.side >= _LARGE_DET_SIDE):
            return 16
        least = _LEAST_DET_PATCH if self.task == "det" else 2
        return 8 if self.side >= 64 else max(least, 1 << (self.side // 8).bit_length() - 1)

    @property
    def layer_decay(self) -> float | None:
        """Rate of layer-wise decay, where the weights of a checkpoint are to be kept in mind."""
        if self.backbone.start is None or self.task == "pretrain":
            return None
        return (
            0.9 if self.backbone.is_tiny else 0.75
        )  # tiny ones were trained on little: there is less to keep


def choose_recipe(
    task: Task,
    found: FoundData,
    backbone: Backbone,
    *,
    size: int | None = None,
    batch: int | None = None,
    epochs: int | None = None,
    flips: bool = True,
) -> Recipe:
    """Choose what the arguments leave open.

    Args:
        size: Side of training images in px.
        batch: Images of a step.
        flips: Whether a mirrored image means the same.

    Raises:
        ArgumentError: for a size below a patch, a batch larger than the data, or MAE of a pyramid.
        DataError: for an image that cannot be read.
    """
    if task == "pretrain" and backbone.is_pyramid:
        raise ArgumentError(
            f"--model {backbone.model}: MAE needs a plain backbone, e.g. --model visionllama_tiny"
        )
    train = found.parts["train"]
    sizes = _sizes(train)
    width, height = (round(median(x[i] for x in sizes)) for i in (0, 1))
    column = 0 if backbone.is_tiny else 1
    most, unit = _MOST[task][column], _unit(backbone)
    if task == "det":
        shrink = min(1.0, most / max(width, height))
        side = size or max(unit, round(min(width, height) * shrink))
        shrink = side / min(width, height)
    else:
        side = size or min(most, max(unit, math.ceil(min(width, height) / unit) * unit))
        shrink = min(1.0, side / min(width, height)) if min(width, height) > 2 * most or size else 1.0
    if side < unit:
        raise ArgumentError(f"--size {side}: {backbone.model} needs images of {unit} px at least")
    seen, (fewest, longest) = _SEEN[task][backbone.start is not None], _EPOCHS[task]
    if batch is not None and batch > len(train):
        raise ArgumentError(
            f"--batch {batch}: there are {len(train):,} images for training; give at most so many"
        )
    most_of_epoch = max(2, 1 << max(len(train) // 8, 1).bit_length() - 1)  # eight steps at least
    patch = backbone.kept.get("patch_size", 16)
    if task == "det" and not backbone.is_pyramid and patch < _LEAST_DET_PATCH:
        raise ArgumentError(
            f"--init {backbone.start}: its patches of {patch} px are too small for a detector, whose map "
            "of finest places has four rows for each; pre-train at --size 64 or more, or leave --init out"
        )
    return Recipe(
        task,
        backbone,
        side=side,
        image=(max(round(width * shrink), 1), max(round(height * shrink), 1)),
        shrinks=shrink < 1,
        alike=len(set(sizes)) == 1 and len(sizes) == len(train),
        batch=batch or min(_BATCH[task][column], most_of_epoch, len(train)),
        epochs=epochs or min(max(round(seen / len(train)), fewest), longest),
        lr=_LR[task][column],
        flips=flips,
        object_side=_object_side(train) * shrink if task == "det" else 0.0,
    )


def default_model() -> str:
    """Return the model of a machine where nobody names one: tiny without a GPU."""
    return "visionllama_small" if torch.cuda.is_available() else "visionllama_tiny"


def _unit(backbone: Backbone) -> int:
    """Return what divides the sides of training images."""
    if backbone.is_pyramid:
        return 32
    return backbone.kept.get("patch_size", 8 if backbone.is_tiny else 16)


def _sizes(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """Return width and height of images as they are loaded, of at most ``_MEASURED`` of them."""
    step = max(len(samples) // _MEASURED, 1)
    found, unreadable = [], []
    for sample in samples[::step]:
        if isinstance(sample.label, Annotated):
            found.append((sample.label.width, sample.label.height))
            continue
        size = image_size(sample.image)
        (unreadable if size is None else found).append(size or sample.image.name)
    if not found:
        raise DataError(f"none of the images can be read: {shortened(unreadable)}")
    return found


def _object_side(samples: Sequence[Sample]) -> float:
    areas = [x.box[2] * x.box[3] for sample in samples for x in sample.label.objects if not x.crowd]
    return math.sqrt(max(median(areas), 0.0)) if areas else 0.0
