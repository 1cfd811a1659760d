"""load(): a trained model by its checkpoint alone; predictions, features and samples."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray
from torch import Tensor, nn

from mmvisionllama.checkpoint import kept_model, make_mmengine_read_safely, read_checkpoint
from mmvisionllama.checkpoint.kept_config import facts_beside, kept_settings
from mmvisionllama.checkpoint.names import is_name, named_config
from mmvisionllama.checkpoint.reading import weights_of
from mmvisionllama.checks.checkpoint import require_exact
from mmvisionllama.checks.run import build_model
from mmvisionllama.config import load_config
from mmvisionllama.config.component_types import SCOPES, untrusted
from mmvisionllama.errors import CheckpointError, InputError, UserError
from mmvisionllama.generation.generator import ClassConditionalGenerator
from mmvisionllama.inference.class_names import metainfo_of, palette_of
from mmvisionllama.inference.input_images import ChannelOrder, InputImage, is_single, open_images
from mmvisionllama.inference.predictions import (
    Classification,
    Detection,
    Prediction,
    Reconstruction,
    Sample,
    Segmentation,
)
from mmvisionllama.inference.preparation import Preparation, first_loader, pipeline_of
from mmvisionllama.inference.published_files import metainfo_in, settings_of
from mmvisionllama.inference.sources import checkpoint_file
from mmvisionllama.suggestions import did_you_mean

Outcome = Prediction | InputError


class TrainedModel:
    """A trained model that predicts; see ``load``.

    Args:
        module: The model of a host or of this package, its weights loaded.
        cfg: Of its training.
        metainfo: What the training data said of themselves: ``classes``, ``palette``, ``category_ids``.
        source: Where the weights come from.

    Attributes:
        task: ``classification``, ``segmentation``, ``detection``, ``reconstruction`` or ``generation``.
        classes: Their names; empty if they are not known.
        palette: Their colours, RGB.
    """

    def __init__(self, module: nn.Module, cfg: Config, metainfo: Mapping[str, Any], source: str) -> None:
        self.module, self.cfg, self.metainfo, self.source = module.eval(), cfg, dict(metainfo), source
        names = {cls.__name__ for cls in type(module).__mro__}
        self.task = next((task for name, task in _TASKS.items() if name in names), None)
        if self.task is None:
            raise CheckpointError(
                f"{source}: a {type(module).__name__} is no classifier, segmentor, detector, MAE or generator"
            )
        self.classes: tuple[str, ...] = tuple(self.metainfo.get("classes") or ())
        self.palette = palette_of(self.metainfo, max(len(self.classes), _classes_of_head(module)))
        self._preparation: Preparation | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    def to(self, device: str | torch.device) -> "TrainedModel":
        """Move the model."""
        self.module.to(device)
        return self

    def predict(
        self, x: Any, *, batch_size: int | None = None, channel_order: ChannelOrder = "rgb"
    ) -> Prediction | list[Prediction]:
        """Predict one image, or a list of images in their order.

        Args:
            x: See ``input_images.open_images``.
            batch_size: None: that of the training's test, whose results these then are, to the bit.
            channel_order: Of arrays and tensors.
        Returns: One prediction for one image, else a list.
        Raises: InputError: for an image that cannot be read, or a generator.
        """
        images = open_images(x, channel_order)
        found = []
        for outcome in self.predict_each(images, batch_size=batch_size):
            if isinstance(outcome, InputError):
                raise outcome
            found.append(outcome)
        return found[0] if is_single(x) else found

    def predict_each(
        self, images: Sequence[InputImage], *, batch_size: int | None = None
    ) -> Iterator[Outcome]:
        """Predict images one batch after another; for one that cannot be read, yield why."""
        samples = self.samples_of(images, batch_size=batch_size)
        for image, sample in zip(images, samples, strict=True):
            yield sample if isinstance(sample, InputError) else self.result(sample, image)

    def samples_of(
        self, images: Sequence[InputImage], *, batch_size: int | None = None
    ) -> Iterator[BaseDataElement | InputError]:
        """Yield what the host's model predicts of each image, or why one cannot be read."""
        self._require("reconstruction", "classification", "segmentation", "detection")
        for batch in self._batches(images, batch_size):
            prepared = [self._prepared(image) for image in batch]
            sound = [i for i, x in enumerate(prepared) if not isinstance(x, InputError)]
            outcomes: dict[int, BaseDataElement | InputError] = {
                i: x for i, x in enumerate(prepared) if i not in sound
            }
            for group in self._of_one_size(sound, prepared):
                samples = self._test_step([prepared[i] for i in group])
                outcomes |= {i: x.cpu() for i, x in zip(group, samples, strict=True)}
            yield from (outcomes[i] for i in range(len(batch)))

    @torch.no_grad()
    def features(
        self, x: Any, *, batch_size: int | None = None, channel_order: ChannelOrder = "rgb"
    ) -> tuple[Tensor, ...]:
        """Return what the backbone makes of images: a tensor (B, ...) for each of its ``out_indices``.

        Args: See ``predict``. All images must have one size after the transforms of the test.
        Raises: InputError: for a generator, an image that cannot be read, or images of several sizes.
        """
        self._require("classification", "segmentation", "detection", "reconstruction")
        found: list[tuple[Tensor, ...]] = []
        for batch in self._batches(open_images(x, channel_order), batch_size):
            maps = self.encode(self.inputs_of(batch)["inputs"])
            found.append(maps)
        sizes = {tuple(part.shape[1:] for part in parts) for parts in found}
        if len(sizes) != 1:
            raise InputError(f"features of {len(sizes)} sizes cannot be stacked: give images of one size")
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    def inputs_of(self, images: Sequence[InputImage]) -> dict[str, Any]:
        """Return what the network gets of images: ``inputs`` (B, C, height, width) and ``data_samples``.

        Raises: InputError: for an image that cannot be read, or images that the transforms leave of several
            sizes, unless the model pads them, as a detector does.
        """
        prepared = []
        for image, outcome in zip(images, map(self._prepared, images), strict=True):
            if isinstance(outcome, InputError):
                raise outcome
            if (
                prepared
                and self.task != "detection"
                and outcome["inputs"].shape != prepared[0]["inputs"].shape
            ):
                sizes = [" x ".join(map(str, x["inputs"].shape[1:])) for x in (prepared[0], outcome)]
                raise InputError(
                    f"{images[0].name} has {sizes[0]} px after the transforms of the test, {image.name} has "
                    f"{sizes[1]}: give images of one size, or one at a time"
                )
            prepared.append(outcome)
        return self.module.data_preprocessor(self.preparation.batch(prepared), False)

    def encode(self, img_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return what the backbone makes of ``inputs``; that of an MAE sees all patches."""
        masked = {"mask": None} if self.task == "reconstruction" else {}
        maps = self.module.backbone(img_BCHW, **masked)
        return tuple(maps) if isinstance(maps, (tuple, list)) else (maps,)

    def sample(
        self,
        classes: int | str | Sequence[int | str] | None = None,
        num: int | None = None,
        *,
        seed: int | None = None,
        batch_size: int = 50,
    ) -> list[Sample]:
        """Generate images, the same ones as ``tools/sample.sh`` by the same seed.

        Args:
            classes: Names or labels, drawn in turns; None: all.
            num: How many images; None: one of each class.
            seed: None: that of the training's config.
        Raises: InputError: for an unknown class, or a model that is no generator.
        """
        self._require("generation")
        model: ClassConditionalGenerator = self.module
        given = range(model.network.num_classes) if classes is None else classes
        turns = [self._label(x) for x in ([given] if isinstance(given, (int, str)) else given)]
        num = len(turns) if num is None else num
        if num < 1 or not turns:
            raise InputError(f"num: expected at least 1 image of at least 1 class, got {num}")
        samples = []
        for start in range(0, num, _positive("batch_size", batch_size)):
            indices = range(start, min(start + batch_size, num))
            labels = [turns[i % len(turns)] for i in indices]
            img_BCHW = model.sample(torch.tensor(labels, device=self.device), indices, seed=seed)
            for i, label, img in zip(
                indices, labels, img_BCHW.permute(0, 2, 3, 1).cpu().numpy(), strict=True
            ):
                about = dict(image=InputImage(f"sample {i}"), classes=self.classes)
                samples.append(Sample(**about, label=label, generated=img))
        return samples

    @property
    def preparation(self) -> Preparation:
        """What the training's test does to an image."""
        if self._preparation is None:
            first = next((x for x in self.module.modules() if isinstance(x, nn.Conv2d)), None)
            grey = first is not None and first.in_channels == 1
            with DefaultScope.overwrite_default_scope(self.cfg.get("default_scope", "mmengine")):
                self._preparation = Preparation(self.cfg, grey=grey)
        return self._preparation

    def _prepared(self, image: InputImage) -> dict[str, Any] | InputError:
        try:
            return self.preparation(image)
        except InputError as error:
            return error

    def _batches(self, images: Sequence[InputImage], size: int | None) -> Iterator[Sequence[InputImage]]:
        size = self.preparation.batch_size if size is None else _positive("batch_size", size)
        return (images[start : start + size] for start in range(0, len(images), size))

    def _of_one_size(self, indices: Sequence[int], prepared: Sequence[Any]) -> list[list[int]]:
        """Divide a batch into what the model can compute at once: a detector pads, others need one size."""
        if self.task == "detection":
            return [list(indices)] if indices else []
        groups: dict[tuple[int, ...], list[int]] = {}
        for i in indices:
            groups.setdefault(tuple(prepared[i]["inputs"].shape), []).append(i)
        return list(groups.values())

    @torch.no_grad()
    def _test_step(self, prepared: Sequence[dict[str, Any]]) -> Sequence[BaseDataElement]:
        return self.module.test_step(self.preparation.batch(prepared))

    def result(self, sample: BaseDataElement, image: InputImage) -> Prediction:
        """Return the prediction that a sample of ``samples_of`` is for an image."""
        return _RESULTS[self.task](self, sample, dict(image=image, classes=self.classes))

    def pixels_of(self, image: InputImage) -> NDArray | InputError:
        """Return an image (H, W, 3), BGR, as the transforms of the test read it, or why it cannot be read."""
        try:
            return self.preparation.pixels_of(image)
        except InputError as error:
            return error

    def _label(self, given: int | str) -> int:
        count = self.module.network.num_classes
        if isinstance(given, str):
            names = [name.split(",")[0] for name in self.classes]
            if given not in names:
                raise InputError(f"there is no class {given!r}.{did_you_mean(given, names)}")
            return names.index(given)
        if not 0 <= given < count:
            raise InputError(f"the generator knows the classes 0 .. {count - 1}, got {given}")
        return int(given)

    def _require(self, *tasks: str) -> None:
        if self.task not in tasks:
            use = "sample()" if self.task == "generation" else "predict()"
            raise InputError(f"{self.source} is a model for {self.task}: use {use}")


def _classification(model: TrainedModel, sample: BaseDataElement, about: dict[str, Any]) -> Prediction:
    return Classification(**about, label=int(sample.pred_label), scores=sample.pred_score.float().numpy())


def _segmentation(model: TrainedModel, sample: BaseDataElement, about: dict[str, Any]) -> Prediction:
    labels = sample.pred_sem_seg.data.squeeze(0).numpy().astype(np.uint16)
    return Segmentation(**about, labels=labels, palette=model.palette)


def _detection(model: TrainedModel, sample: BaseDataElement, about: dict[str, Any]) -> Prediction:
    found = sample.pred_instances
    return Detection(
        **about,
        boxes=found.bboxes.numpy(),
        labels=found.labels.numpy(),
        scores=found.scores.numpy(),
        masks=found.masks.numpy() if "masks" in found else None,
        category_ids=model.metainfo.get("category_ids"),
    )


def _reconstruction(model: TrainedModel, sample: BaseDataElement, about: dict[str, Any]) -> Prediction:
    names = ("original", "masked", "reconstruction")
    pictures = {name: getattr(sample, name).permute(1, 2, 0).numpy() for name in names}
    return Reconstruction(**about, **pictures, loss=float(sample.loss))


_TASKS = {  # by the name of a base class, so that no host is imported that the model does not need
    "ClassConditionalGenerator": "generation",
    "MAE": "reconstruction",
    "BaseClassifier": "classification",
    "BaseSegmentor": "segmentation",
    "BaseDetector": "detection",
}
_RESULTS: dict[str, Callable[[TrainedModel, BaseDataElement, dict[str, Any]], Prediction]] = {
    "classification": _classification,
    "segmentation": _segmentation,
    "detection": _detection,
    "reconstruction": _reconstruction,
}


def load(
    source: str | Path, *, config: str | Path | None = None, device: str | torch.device | None = None
) -> TrainedModel:
    """Load a trained model: network, transforms, names of classes and task come from its checkpoint.

    Args:
        source: A checkpoint of a training (``.pth``, or a ``.sharded`` folder), weights that
            ``tools/convert_checkpoint.py`` wrote, an ``http(s)`` address of these, the work directory of a
            training, whose newest good checkpoint is taken, a published folder, ``hf:owner/name`` of one on
            the hub, with ``@revision`` if not the newest, or the name of a model, see ``checkpoint.names``.
        config: The config, where the checkpoint keeps none, as converted weights.
        device: None: a GPU where there is one.

    Raises:
        CheckpointError: if there is no such checkpoint, or nobody knows its model.
        ConfigError: if the model cannot be built.
    """
    place = _device(device)
    make_mmengine_read_safely()
    path = checkpoint_file(source)
    checkpoint = read_checkpoint(path)
    if config is None and is_name(source):
        config = named_config(str(source))
    if config is None:
        cfg, module = _built_as_kept(checkpoint, path)
    else:
        cfg = load_config(config)
        module = build_model(cfg)
    weights = weights_of(checkpoint, path)
    require_exact(module, weights, checkpoint, str(path), cfg)
    module.load_state_dict(weights, strict=False)  # may lack a counter of BatchNorm; else it was compared
    return TrainedModel(module, cfg, _metainfo(checkpoint, cfg, path), str(source)).to(place)


def _device(given: str | torch.device | None) -> torch.device:
    if given is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(given)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {str(given)!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device


def _built_as_kept(checkpoint: Mapping[str, Any], path: Path) -> tuple[Config, nn.Module]:
    try:
        cfg = _kept_config(checkpoint, path)
        return cfg, build_model(cfg)
    except UserError:
        raise
    except Exception as error:  # a config that is data may let the hosts' constructors raise anything
        raise CheckpointError(
            f"{path}: no model can be built from the config that it keeps, {type(error).__name__}: {error}. "
            'Give the config that it was trained with: load(..., config="...")'
        ) from error


def _kept_config(checkpoint: Mapping[str, Any], path: Path) -> Config:
    settings = kept_settings(checkpoint) or settings_of(facts_beside(path))
    settings["model"] = kept_model(checkpoint, path)
    if settings["model"] is None:
        raise CheckpointError(
            f"{path} does not say what model it is of; give the config that it was trained with, e.g. "
            f'load("{path}", config="configs/...")'
        )
    host = settings.get("default_scope", "mmengine")
    if host not in SCOPES:
        raise CheckpointError(f"{path}: its config has default_scope={host!r}; known are {', '.join(SCOPES)}")
    used = {key: settings[key] for key in ("model", "data_preprocessor") if settings.get(key)}
    loader = first_loader(settings)
    if loader is not None:
        told = {key: loader[key] for key in ("batch_size", "collate_fn") if key in loader}
        used["test_dataloader"] = {**told, "dataset": {"pipeline": pipeline_of(loader["dataset"])}}
    # A checkpoint is data, but mmengine and the hosts import and evaluate what its config names.
    if foreign := sorted(set(untrusted(used, (host,)))):
        raise CheckpointError(
            f"{path}: its config has {', '.join(foreign)}, which no registry knows, so it is not "
            "built. Import the package that registers it, or give a config that you trust: "
            'load(..., config="...")'
        )
    return Config({**used, "default_scope": host})


def _metainfo(checkpoint: Mapping[str, Any], cfg: Config, path: Path) -> dict[str, Any]:
    if (published := metainfo_in(facts_beside(path))) is not None:
        return published
    meta = checkpoint.get("meta") or {}
    if isinstance(meta.get("dataset_meta"), str):  # of an export to safetensors, whose remarks are texts
        try:
            return dict(json.loads(meta["dataset_meta"]))
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(f"{path} is a damaged checkpoint: its dataset_meta is no JSON") from error
    if isinstance(meta.get("dataset_meta"), Mapping):
        kept = {str(key).lower(): value for key, value in meta["dataset_meta"].items()}
        return {**kept, "category_ids": meta.get("category_ids")}
    loader = first_loader(cfg)
    if loader is None or "type" not in loader["dataset"]:
        return {}
    return metainfo_of(loader["dataset"], cfg.get("default_scope", "mmengine"))


def _classes_of_head(module: nn.Module) -> int:
    return max((getattr(x, "num_classes", None) or 0 for x in module.modules() if _is_count(x)), default=0)


def _is_count(module: nn.Module) -> bool:
    return isinstance(getattr(module, "num_classes", None), int)


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise InputError(f"{name}: expected a whole number of at least 1, got {value!r}")
    return value
