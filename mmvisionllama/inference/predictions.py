"""Predictions of one image as small classes, one for each task, with picture and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from mmvisionllama.errors import InputError
from mmvisionllama.files import atomic_path, write_json
from mmvisionllama.inference.input_images import InputImage
from mmvisionllama.reports.cls_pictures import ClsPicturesHook
from mmvisionllama.reports.det_pictures import DetPicturesHook
from mmvisionllama.reports.figures import shown_size, write_figure
from mmvisionllama.reports.mae_pictures import MAEPicturesHook
from mmvisionllama.reports.naming import class_name
from mmvisionllama.reports.sample_pictures import draw_grid
from mmvisionllama.reports.seg_pictures import SegPicturesHook


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """What was found in one image.

    Attributes:
        image: Which one.
        classes: Names; a label is an index.
    """

    image: InputImage
    classes: Sequence[str]

    @property
    def pixels(self) -> NDArray:
        """The image, (H, W, 3), RGB, as the model's own loader reads it."""
        if self.image.content is None:
            return mmcv.imread(self.image.name, channel_order="rgb")
        return mmcv.imfrombytes(self.image.content, channel_order="rgb")

    def plot(self) -> Figure:
        """Draw image and prediction."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and names, for JSON."""
        raise NotImplementedError

    def save(self, path: str | Path) -> Path:
        """Write the picture of ``plot`` (``.png``), or ``to_dict`` (``.json``).

        Raises: InputError: for another suffix.
        """
        path = Path(path).expanduser()
        if path.suffix not in (".png", ".json"):
            raise InputError(f"{path}: a prediction is saved as .png (a picture) or .json (numbers)")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            write_figure(self.plot(), path)
        else:
            write_json(path, self.to_dict())
        return path

    def name_of(self, label: int) -> str:
        """Return the first name of a class, or its number where no name is known."""
        return class_name(self.classes, label)

    def _shown(self) -> tuple[NDArray, tuple[int, int]]:
        """Return the image at the size of a picture, and this size (width, height)."""
        pixels = self.pixels
        size = shown_size(*pixels.shape[:2])
        return mmcv.imresize(pixels, size, interpolation="area"), size


@dataclass(frozen=True, eq=False, kw_only=True)
class Classification(Prediction):
    """The class of an image.

    Attributes:
        label: The likeliest class.
        scores: Probability of every class, (classes,), float32.
    """

    label: int
    scores: NDArray

    @property
    def name(self) -> str:
        """The class by its name."""
        return self.name_of(self.label)

    @property
    def score(self) -> float:
        """Its probability."""
        return float(self.scores[self.label])

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Return the likeliest classes with their probabilities, the best first."""
        order = np.argsort(-self.scores, kind="stable")[:count]
        return [(self.name_of(int(label)), float(self.scores[label])) for label in order]

    def to_dict(self) -> dict[str, Any]:
        """Return the class, and the five likeliest ones."""
        top = [{"name": name, "score": score} for name, score in self.top()]
        known = {"label": self.label, "name": self.name, "score": self.score}
        return {"image": self.image.name, **known, "top": top}

    def plot(self) -> Figure:
        """Draw the image below its class."""
        image, _ = self._shown()
        kept = {"image": image, "predicted": self.name, "score": self.score, "truth": None}
        return ClsPicturesHook().draw([kept], {})


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmentation(Prediction):
    """The class of every pixel.

    Attributes:
        labels: (H, W) of the image as read, uint16.
        palette: Colour of every class, RGB.
    """

    labels: NDArray
    palette: Sequence[Sequence[int]]

    @property
    def shares(self) -> dict[str, float]:
        """Share of the pixels of each class that occurs, the largest first."""
        found, counts = np.unique(self.labels, return_counts=True)
        pairs = sorted(zip(counts.tolist(), found.tolist(), strict=True), key=lambda x: (-x[0], x[1]))
        return {self.name_of(label): count / self.labels.size for count, label in pairs}

    def to_dict(self) -> dict[str, Any]:
        """Return the size and the share of each class; the labels themselves are ``save_labels``'."""
        height, width = self.labels.shape
        return {"image": self.image.name, "height": height, "width": width, "shares": self.shares}

    def save_labels(self, path: str | Path) -> Path:
        """Write the labels as a PNG file, with the palette's colours where they are at most 256."""
        path = Path(path).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(self.labels)
        if self.labels.max() < 256:
            picture = Image.fromarray(self.labels.astype(np.uint8), "P")
            picture.putpalette(np.asarray(self.palette, np.uint8)[:256].tobytes())
        with atomic_path(path) as temporary:
            picture.save(temporary, "png")
        return path

    def plot(self) -> Figure:
        """Draw the image beside its classes, with a legend."""
        image, size = self._shown()
        predicted = mmcv.imresize(self.labels, size, interpolation="nearest")
        kept = {"name": Path(self.image.name).name, "image": image, "truth": None, "predicted": predicted}
        return SegPicturesHook().draw([kept], {"classes": self.classes, "palette": self.palette})


@dataclass(frozen=True, eq=False, kw_only=True)
class Detection(Prediction):
    """The objects in an image, the surest first.

    Attributes:
        boxes: (N, 4), x1 y1 x2 y2 in pixels of the image as read, float32.
        labels: (N,), int64.
        scores: (N,), float32.
        masks: (N, H, W), bool; None if the model finds boxes alone.
        category_ids: Of the annotations, for each class, where the checkpoint has them.
    """

    boxes: NDArray
    labels: NDArray
    scores: NDArray
    masks: NDArray | None
    category_ids: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def above(self, score_thr: float) -> "Detection":
        """Return the objects of at least this score."""
        return self.chosen(self.scores >= score_thr)

    def chosen(self, kept: NDArray[np.bool_]) -> "Detection":
        """Return the objects for which ``kept`` (N,) is true."""
        masks = None if self.masks is None else self.masks[kept]
        return replace(
            self, boxes=self.boxes[kept], labels=self.labels[kept], scores=self.scores[kept], masks=masks
        )

    def to_dict(self) -> dict[str, Any]:
        """Return box, class and score of every object."""
        objects = [
            {"name": self.name_of(label), "label": label, "score": score, "box": box}
            for box, label, score in zip(
                self.boxes.tolist(), self.labels.tolist(), self.scores.tolist(), strict=True
            )
        ]
        return {"image": self.image.name, "objects": objects}

    def to_coco(self, image_id: int | str | None = None) -> list[dict[str, Any]]:
        """Return the objects as COCO's result files have them: x y width height, masks as RLE.

        Args:
            image_id: As in the annotations; None: the name of the image.
        Returns: ``category_id`` is that of the training's annotations, or label + 1 where it is not known.
        """
        image_id = self.image.name if image_id is None else image_id
        results = []
        for i, (x1, y1, x2, y2) in enumerate(self.boxes.tolist()):
            label = int(self.labels[i])
            known = self.category_ids is not None
            result = {
                "image_id": image_id,
                "category_id": self.category_ids[label] if known else label + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(self.scores[i]),
            }
            if self.masks is not None:
                result["segmentation"] = _rle(self.masks[i])
            results.append(result)
        return results

    def plot(self, score_thr: float = 0.3) -> Figure:
        """Draw the objects of at least this score."""
        image, size = self._shown()
        found = self.above(score_thr)
        scale = np.divide(size, self.pixels.shape[1::-1])
        masks = found.masks
        if masks is not None:
            masks = [cv2.resize(x.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for x in masks]
        objects = dict(
            boxes=found.boxes * np.tile(scale, 2), labels=found.labels, scores=found.scores, masks=masks
        )
        kept = {"name": Path(self.image.name).name, "image": image, "truth": None, "predicted": objects}
        names = [
            self.name_of(label)
            for label in range(max(len(self.classes), int(self.labels.max(initial=0)) + 1))
        ]
        return DetPicturesHook(score_thr=score_thr).draw([kept], {"classes": names})


@dataclass(frozen=True, eq=False, kw_only=True)
class Reconstruction(Prediction):
    """What a masked autoencoder makes of an image.

    Attributes:
        original, masked, reconstruction: (H, W, 3), RGB, uint8, at the model's size.
        loss: Mean squared error of the hidden patches, as in the training.
    """

    original: NDArray
    masked: NDArray
    reconstruction: NDArray
    loss: float

    def to_dict(self) -> dict[str, Any]:
        """Return the loss."""
        return {"image": self.image.name, "loss": self.loss}

    def plot(self) -> Figure:
        """Draw the three pictures below one another."""
        return MAEPicturesHook().draw([vars(self)], {})


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample(Prediction):
    """A generated image.

    Attributes:
        label: Its class.
        generated: (H, W, channels), uint8, of one (grey) or three (RGB) channels.
    """

    label: int
    generated: NDArray

    @property
    def pixels(self) -> NDArray:
        """The generated image."""
        return self.generated

    def to_dict(self) -> dict[str, Any]:
        """Return the class."""
        return {"image": self.image.name, "label": self.label, "name": self.name_of(self.label)}

    def plot(self) -> Figure:
        """Draw the image below its class."""
        return draw_grid([{"image": self.generated, "title": self.name_of(self.label)}])


def _rle(mask: NDArray) -> dict[str, Any]:
    from pycocotools import mask as coco_masks

    rle = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(x) for x in rle["size"]], "counts": rle["counts"].decode()}
