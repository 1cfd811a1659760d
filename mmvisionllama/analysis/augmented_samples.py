"""Training samples as the training's own pipeline makes them: views beside their image, labels drawn."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mmcv
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmvisionllama.analysis.networks import meta_model
from mmvisionllama.checks.data import require_sound_data
from mmvisionllama.checks.image_data import spaced
from mmvisionllama.config import load_config
from mmvisionllama.config.global_batch import share_batch
from mmvisionllama.errors import ConfigError, InputError
from mmvisionllama.fault_tolerance.exact_data_order import KeyedIndex, KeyedSampler
from mmvisionllama.fault_tolerance.random_state import randomness_by
from mmvisionllama.reports.det_pictures import draw_objects, objects_of
from mmvisionllama.reports.figures import shown_size
from mmvisionllama.reports.naming import class_name
from mmvisionllama.reports.seg_pictures import label_colours, label_legend
from mmvisionllama.training.runner import ResumableRunner

_MIXED = 8  # images of a batch whose mixtures are drawn
_PATIENCE = 3  # passes over the data for each view, of a sampler that draws at random
_HIDDEN = 128  # grey of what a masked autoencoder does not see


@dataclass(frozen=True, eq=False)
class View:
    """An image as the model gets it, before colours are normalised.

    Attributes:
        image: (H, W, 3), RGB, or (H, W), uint8; of a masked autoencoder with grey in the place of what is
            hidden.
        scores: Label -> share, of a classification or generation; empty without labels.
        labels: (H, W), of a segmentation.
        objects: Boxes, labels and masks, of a detection.
        hidden: Share of the patches that is hidden, of a masked autoencoder.
        key: Epoch and place in it at which the training draws this view; None of a mixed batch.
    """

    image: NDArray
    scores: Mapping[int, float] = field(default_factory=dict)
    labels: NDArray | None = None
    objects: Mapping[str, Any] | None = None
    hidden: float | None = None
    key: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Row:
    """The views of one image.

    Attributes:
        index: In the training set.
        original: As the file has it, RGB or grey; None if the data set keeps no single image.
    """

    index: int
    name: str
    original: NDArray | None
    views: Sequence[View]


@dataclass(frozen=True, eq=False)
class Sheet:
    """Augmented training samples.

    Attributes:
        mixed: The first images of the training as its batch augments mix them; empty without such.
        mixes: Names of these augments.
    """

    name: str
    rows: Sequence[Row]
    metainfo: Mapping[str, Any]
    mixed: Sequence[View] = ()
    mixes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return sizes and labels of every view, for JSON."""
        rows = [
            {"index": x.index, "image": x.name, "views": list(map(self._numbers, x.views))} for x in self.rows
        ]
        mixed = list(map(self._numbers, self.mixed))
        return {"config": self.name, "rows": rows, "mixes": list(self.mixes), "mixed": mixed}

    def _numbers(self, view: View) -> dict[str, Any]:
        classes = self.metainfo.get("classes")
        found = {"height": view.image.shape[0], "width": view.image.shape[1], "key": view.key}
        found["scores"] = {class_name(classes, x): share for x, share in view.scores.items()}
        if view.labels is not None:
            found["labels"] = np.unique(view.labels).tolist()
        if view.objects is not None:
            found["objects"] = [class_name(classes, int(x)) for x in view.objects["labels"]]
            found["boxes"] = np.asarray(view.objects["boxes"]).tolist()
        return found

    def plot(self) -> Figure:
        """Draw a row for each image, the original first, and rows of the mixed batch."""
        columns = 1 + max(len(x.views) for x in self.rows)
        lines: list[list[tuple[str, NDArray | View]]] = []
        for row in self.rows:
            first = [] if row.original is None else [(row.name, row.original)]
            lines.append([*first, *((self._title(x), x) for x in row.views)])
        mixed = [(self._title(x), x) for x in self.mixed]
        lines += [mixed[i : i + columns] for i in range(0, len(mixed), columns)]
        heights = [max(_height(x) for _, x in line) + 0.25 for line in lines]
        width = 1.9
        present = sorted(
            {
                int(y)
                for row in self.rows
                for x in row.views
                if x.labels is not None
                for y in np.unique(x.labels)
            }
        )
        below = 0.25 * -(-len(present) // 4) + 0.4
        figure = Figure(figsize=(width * columns, width * sum(heights) + below), dpi=75, layout="constrained")
        axes = figure.subplots(len(lines), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
        for ax in axes.ravel():
            ax.set_axis_off()
        for row, line in zip(axes, lines, strict=True):
            for ax, (title, shown) in zip(row, line, strict=False):
                ax.set_title(title, fontsize="small")
                self._draw(ax, shown)
        if self.mixed:
            axes[len(self.rows)][0].text(
                0,
                1.28,
                f"mixed by {', '.join(self.mixes)}",
                transform=axes[len(self.rows)][0].transAxes,
                fontsize="small",
            )
        if present:
            palette = np.asarray(self.metainfo["palette"], np.uint8)
            handles = label_legend(present, self.metainfo["classes"], palette)
            figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize="small")
        return figure

    def told(self, view: View) -> str:
        """Return the label of a view in words."""
        classes = self.metainfo.get("classes")
        if view.objects is not None:
            return ", ".join(class_name(classes, int(x)) for x in view.objects["labels"])
        if view.labels is not None:
            known = [int(x) for x in np.unique(view.labels) if x < len(classes)]
            return ", ".join(class_name(classes, x) for x in known)
        return self._title(view)

    def _title(self, view: View) -> str:
        classes = self.metainfo.get("classes")
        if view.hidden is not None:
            return f"{view.hidden:.0%} hidden"
        if len(view.scores) == 1:
            return class_name(classes, next(iter(view.scores)))
        if view.scores:
            return " + ".join(f"{share:.2f} {class_name(classes, x)}" for x, share in view.scores.items())
        height, width = view.image.shape[:2]
        return f"{height} x {width}"

    def _draw(self, ax: Axes, shown: NDArray | View) -> None:
        if not isinstance(shown, View):
            ax.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        elif shown.objects is not None:
            draw_objects(ax, _as_rgb(shown.image), dict(shown.objects), self.metainfo["classes"])
        elif shown.labels is not None:
            palette = np.asarray(self.metainfo["palette"], np.uint8)
            blend = 0.45 * _as_rgb(shown.image) + 0.55 * label_colours(shown.labels, palette)
            ax.imshow(blend.astype(np.uint8), interpolation="nearest")
        else:
            ax.imshow(shown.image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def augmented_samples(
    config: str,
    *,
    images: int = 4,
    views: int = 4,
    indices: Sequence[int] | None = None,
    seed: int | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> Sheet:
    """Load training samples as a training by this config does, with this seed and in one process.

    View v of an image is what its (v + 1)-th draw in the training gives: pipeline, random numbers and
    labels are those of the training. Masks of a masked autoencoder and mixtures of a batch, which a training
    draws beside the model, follow from the seed alone.

    Args:
        images: How many, evenly spaced over the training set.
        indices: These in their place.
        seed: None: that of the config, 0 without one.
    Raises:
        ConfigError: for a config without training data, or data that cannot be used.
        InputError: for an index that the data do not have, or data that are no images.
    """
    cfg = load_config(config, cfg_options)
    if cfg.get("train_dataloader") is None or cfg.get("model") is None:
        raise ConfigError(f"{cfg.filename} lacks train_dataloader or model")
    seed = (cfg.get("randomness") or {}).get("seed") if seed is None else seed
    seed = 0 if seed is None else seed
    model = meta_model(cfg)
    loader = _loader(cfg, seed)
    dataset, count = loader.dataset, len(loader.dataset)
    if wrong := [x for x in indices or () if not 0 <= x < count]:
        raise InputError(f"--index {wrong[0]}: the training set has the samples 0 to {count - 1}")
    chosen = list(dict.fromkeys(indices or spaced(count, images)))
    read = _Reading(model, cfg, seed)
    rows = []
    for index, draws in _draws(loader, chosen, views).items():
        known = dataset.get_data_info(index)
        name = str(known.get("img_path", f"sample {index}")).rpartition("/")[2]
        rows.append(Row(index, name, _original(known), [read.view(dataset[x], x.key) for x in draws]))
    mixed, mixes = read.mixed(loader)
    return Sheet(str(config), rows, dict(dataset.metainfo), mixed, mixes)


def _loader(cfg: Config, seed: int) -> DataLoader:
    """Build the training's data loader, whose samples are loaded in this process."""
    init_default_scope(cfg.get("default_scope", "mmengine"))
    shared = share_batch(cfg, 1)
    own = dict(num_workers=0, batch_size=shared.per_device if shared else cfg.train_dataloader.batch_size)
    left = ("persistent_workers", "prefetch_factor", "timeout", "multiprocessing_context", "pin_memory")
    told = {key: x for key, x in cfg.train_dataloader.items() if key not in left}
    try:
        return ResumableRunner.build_dataloader(ConfigDict({**told, **own}), seed)
    except Exception:
        require_sound_data(cfg, "train_dataloader")  # says what is wrong, if it knows
        raise


def _draws(loader: DataLoader, chosen: Sequence[int], views: int) -> dict[int, list[KeyedIndex]]:
    """Return the first draws of some samples in a training, epoch after epoch."""
    sampler = _sampler(loader)
    found: dict[int, list[KeyedIndex]] = {index: [] for index in chosen}
    most = _PATIENCE * (views + 1) * max(len(loader.dataset), 1)
    for draw in itertools.islice(_endless(sampler), most):
        if int(draw) in found and len(found[int(draw)]) < views:
            found[int(draw)].append(draw)
            if all(len(x) == views for x in found.values()):
                return found
    missing = next(index for index, x in found.items() if len(x) < views)
    raise InputError(f"--index {missing}: the training's sampler does not draw this sample {views} times")


def _endless(sampler: KeyedSampler) -> Iterator[KeyedIndex]:
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        yield from sampler


def _sampler(loader: DataLoader) -> KeyedSampler:
    own = getattr(loader.batch_sampler, "sampler", None)
    return loader.sampler if own is None else own


class _Reading:
    """What becomes of a sample of the pipeline on its way to the model.

    Args:
        model: On the meta device; its masks and batch augments need no weights.
    """

    def __init__(self, model: nn.Module, cfg: Config, seed: int) -> None:
        self._model, self._seed, self._count = model, seed, 0
        told = cfg.model.get("data_preprocessor") or cfg.get("data_preprocessor") or {}
        self._swaps = bool(told.get("to_rgb") or told.get("bgr_to_rgb"))

    def view(self, sample: Mapping[str, Any], key: tuple[int, int] | None) -> View:
        """Return a sample of the pipeline as it is drawn."""
        img, told = sample["inputs"], sample.get("data_samples")
        if not isinstance(img, Tensor) or img.ndim != 3 or img.shape[0] not in (1, 3):
            got = tuple(img.shape) if isinstance(img, Tensor) else f"{len(img)} views"
            raise InputError(
                f"the training's pipeline gives {got} for a sample, which is no image of 1 or 3 channels"
            )
        image = self._pixels(img)
        if hasattr(getattr(self._model, "backbone", None), "mask_ratio"):
            return self._masked(img, image, key)
        about: dict[str, Any] = {}
        if told is not None and "gt_label" in told:
            labels = told.gt_label.flatten().tolist()
            about["scores"] = {int(x): 1 / len(labels) for x in labels}
        if told is not None and "gt_sem_seg" in told:
            about["labels"] = told.gt_sem_seg.data.squeeze(0).numpy().astype(np.uint16)
        if told is not None and "gt_instances" in told:
            about["objects"] = objects_of(told.gt_instances, np.ones(2), image.shape[1::-1])
        return View(image, key=key, **about)

    def mixed(self, loader: DataLoader) -> tuple[list[View], list[str]]:
        """Return the first images of the training as batch augments mix them, and the names of these."""
        augments = getattr(getattr(self._model, "data_preprocessor", None), "batch_augments", None)
        if augments is None:
            return [], []
        sampler = _sampler(loader)
        sampler.set_epoch(0)
        draws = list(itertools.islice(sampler, min(_MIXED, loader.batch_size)))
        batch = pseudo_collate([loader.dataset[x] for x in draws])
        if len({x.shape for x in batch["inputs"]}) > 1:
            raise InputError("the training's pipeline gives images of several sizes, which cannot be mixed")
        count = self._model.data_preprocessor.num_classes or self._model.head.num_classes
        score_BC = torch.zeros(len(draws), count)
        for row, sample in zip(score_BC, batch["data_samples"], strict=True):
            row[sample.gt_label] = 1
        with randomness_by(self._seed):
            img_BCHW, score_BC = augments(torch.stack(batch["inputs"]).float(), score_BC)
        views = []
        for img, score in zip(img_BCHW, score_BC, strict=True):
            shares = {int(i): float(score[i]) for i in score.argsort(descending=True) if score[i] > 0}
            views.append(View(self._pixels(img), shares))
        return views, [type(x).__name__ for x in augments.augments]

    def _pixels(self, img: Tensor) -> NDArray:
        """Return an image (C, H, W) as RGB or grey; what is no longer 0 to 255 is stretched to that."""
        image = (img.flip(0) if self._swaps and len(img) == 3 else img).permute(1, 2, 0).float().numpy()
        if image.min() < 0 or image.max() > 255:
            image = 255 * (image - image.min()) / max(float(np.ptp(image)), 1e-6)
        return image.round().astype(np.uint8).squeeze()

    def _masked(self, img: Tensor, image: NDArray, key: tuple[int, int] | None) -> View:
        backbone = self._model.backbone
        self._count += 1
        with randomness_by(self._seed, self._count):
            if hasattr(backbone, "draw_mask"):
                hw, mask_1N = (
                    backbone.train_hw,
                    backbone.draw_mask(torch.empty(1, backbone.num_patches, 1))[0],
                )
            else:  # mmpretrain's
                hw = backbone.patch_resolution
                patches = torch.empty(1, hw[0] * hw[1], 1)
                mask_1N = backbone.random_masking(patches, backbone.mask_ratio)[1]
        sides = [n // m for n, m in zip(img.shape[1:], hw, strict=True)]
        hidden_HW = np.kron(mask_1N[0].reshape(*hw).numpy(), np.ones(sides)).astype(bool)
        masked = image.copy()
        masked[hidden_HW] = _HIDDEN
        return View(masked, hidden=float(mask_1N.mean()), key=key)


def _original(known: Mapping[str, Any]) -> NDArray | None:
    if "img_path" in known:
        image = mmcv.imread(known["img_path"], channel_order="rgb")
    elif isinstance(known.get("img"), np.ndarray):  # in memory, grey or RGB
        image = known["img"].squeeze()
    else:
        return None
    return mmcv.imresize(image, shown_size(*image.shape[:2]), interpolation="area")


def _height(shown: NDArray | View) -> float:
    height, width = (shown.image if isinstance(shown, View) else shown).shape[:2]
    return height / width


def _as_rgb(image: NDArray) -> NDArray:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
