"""The transforms of a config's test for any image: files, arrays, batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmcv.transforms import Compose
from mmengine.registry import FUNCTIONS
from numpy.typing import NDArray

from mmvisionllama.datasets.image_loading import CorruptImageError, LoadImageFromFile
from mmvisionllama.errors import ConfigError, InputError
from mmvisionllama.inference.input_images import InputImage

_LOADER = "LoadImageFromFile"
_CROP_LOADER = "LoadRandomResizedCrop"  # it crops what is loaded already
_ANNOTATIONS = ("LoadAnnotations", "LoadPanopticAnnotations", "LoadSemSegAnnotations", "MarkMissingMasks")
_LOADERS = ("test_dataloader", "val_dataloader", "train_dataloader")
_LOADS = ("color_type", "imdecode_backend", "to_float32")


class Preparation:
    """The transforms of a config's test, without those that read annotations.

    Args:
        cfg: Has a data loader for tests, validations or training; the first of these is followed.
        grey: Whether the model takes images of one channel.

    Attributes:
        batch_size: Of that data loader.
    Raises: ConfigError: if there is no data loader.
    """

    def __init__(self, cfg: Mapping[str, Any], *, grey: bool) -> None:
        loader = first_loader(cfg)
        if loader is None:
            raise ConfigError(
                f"the config has none of {', '.join(_LOADERS)}: nobody knows how to read images"
            )
        self.batch_size: int = loader.get("batch_size", 1)
        collate = dict(loader.get("collate_fn", dict(type="pseudo_collate")))
        self._collate, self._options = FUNCTIONS.get(collate.pop("type")), collate
        self._pipeline = Compose(_steps(pipeline_of(loader["dataset"]), grey))

    def __call__(self, image: InputImage) -> dict[str, Any]:
        """Return what the data loader would have of an image.

        Raises: InputError: if it cannot be read, or is too small for a transform.
        """
        try:
            return self._pipeline(image.results)
        except CorruptImageError as error:
            reason = str(error.__cause__ or error)
            raise InputError(f"{image.name} cannot be read: {reason}") from error

    def pixels_of(self, image: InputImage) -> NDArray:
        """Return an image (H, W, C) as the first transform reads it, BGR if it has colours.

        Raises: InputError: if it cannot be read.
        """
        try:
            return self._pipeline.transforms[0](image.results)["img"]
        except CorruptImageError as error:
            raise InputError(f"{image.name} cannot be read: {error.__cause__ or error}") from error

    def batch(self, prepared: Sequence[dict[str, Any]]) -> Any:
        """Return a batch for ``test_step``."""
        return self._collate(list(prepared), **self._options)


def first_loader(cfg: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the config of the data loader for tests, else validations, else training."""
    return next((cfg[name] for name in _LOADERS if cfg.get(name)), None)


def pipeline_of(dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the transforms in the config of a data set, also of one in another."""
    while "pipeline" not in dataset:
        dataset = dataset["dataset"] if "dataset" in dataset else dataset["datasets"][0]
    return list(dataset["pipeline"])


def _steps(pipeline: list[dict[str, Any]], grey: bool) -> list[dict[str, Any] | Callable]:
    kinds = [str(step["type"]).rpartition(".")[2] for step in pipeline]
    rest = [step for step, kind in zip(pipeline, kinds, strict=True) if kind not in (_LOADER, *_ANNOTATIONS)]
    if _LOADER in kinds:
        given = pipeline[kinds.index(_LOADER)]
        return [LoadImageFromFile(**{key: given[key] for key in _LOADS if key in given}), *rest]
    if _CROP_LOADER in kinds:
        return [LoadImageFromFile(), *rest]
    # The data set has its images in memory: grey ones, or RGB as mmpretrain's.
    if grey:
        return [LoadImageFromFile(color_type="grayscale"), *rest]
    return [LoadImageFromFile(), _swap_red_and_blue, *rest]


def _swap_red_and_blue(results: dict[str, Any]) -> dict[str, Any]:
    return {**results, "img": results["img"][..., ::-1]}
