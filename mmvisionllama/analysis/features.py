"""Features of a data set by a frozen backbone: k-NN accuracy, t-SNE and PCA."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mmvisionllama.analysis.labelled_images import LabelledImages
from mmvisionllama.errors import InputError
from mmvisionllama.evaluation.neighbours import nearest, voted
from mmvisionllama.files import atomic_path
from mmvisionllama.inference.pooled_features import pooled_features
from mmvisionllama.inference.trained_model import TrainedModel
from mmvisionllama.reports.figures import class_bars
from mmvisionllama.reports.naming import class_name

COUNTS = (1, 5, 10, 20, 50, 100, 200)  # of neighbours, that the picture compares
_MOST_IN_LEGEND = 40
Points = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of images.

    Attributes:
        features: (N, D), float32.
        labels: (N,), int64; None if the data have no classes of images.
        names: Of the images.
    """

    features: Tensor
    labels: Tensor | None
    classes: Sequence[str]
    names: Sequence[str]

    def save(self, path: Path) -> None:
        """Write ``features``, ``labels``, ``classes`` and ``names`` as npz."""
        labels = np.zeros(0, np.int64) if self.labels is None else self.labels.numpy()
        texts = {"classes": np.array(list(self.classes), str), "names": np.array(list(self.names), str)}
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, features=self.features.numpy(), labels=labels, **texts)


def features_of(
    model: TrainedModel,
    data: LabelledImages,
    *,
    batch_size: int | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> FeatureSet:
    """Compute the features of images, see ``pooled_features``.

    Args:
        advance: Called with the number of images that were done.
    """
    parts = []
    for part in pooled_features(model, data.images, batch_size=batch_size):
        parts.append(part)
        advance(len(part))
    labels = None if data.labels is None else torch.tensor(data.labels, dtype=torch.long)
    return FeatureSet(torch.cat(parts), labels, data.classes, [x.name for x in data.images])


@dataclass(frozen=True, eq=False)
class NeighbourResult:
    """The classes of images by their nearest neighbours.

    Attributes:
        accuracy: Percent.
        by_count: The same for other numbers of neighbours.
        by_class: Percent of each class's images, (classes,); NaN where it has none.
        among: How many images the neighbours are of, and how many were classified.
    """

    accuracy: float
    count: int
    temperature: float
    by_count: Mapping[int, float]
    by_class: NDArray
    classes: Sequence[str]
    among: tuple[int, int]
    leave_one_out: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, for JSON."""
        told = {"accuracy": self.accuracy, "k": self.count, "temperature": self.temperature}
        by_class = dict(zip(self.classes, self.by_class.tolist(), strict=True))
        images = {"bank": self.among[0], "classified": self.among[1], "leave_one_out": self.leave_one_out}
        return {**told, **images, "by_k": {str(k): x for k, x in self.by_count.items()}, "by_class": by_class}

    def plot(self, title: str) -> Figure:
        """Draw the accuracy by number of neighbours, and that of each class."""
        shown = min(len(self.classes), 60)
        figure = Figure(figsize=(9, max(3.6, 0.2 * shown + 1.2)), dpi=100, layout="constrained")
        figure.suptitle(title, fontsize="small")
        left, right = figure.subplots(1, 2)
        left.plot(list(self.by_count), list(self.by_count.values()), marker="o", color="#4b86c2")
        left.plot([self.count], [self.accuracy], marker="o", markersize=9, color="#c2542d")
        left.annotate(
            f"{self.accuracy:.1f} %", (self.count, self.accuracy), (6, 6), textcoords="offset points"
        )
        left.set(xscale="log", xlabel="neighbours", ylabel="percent right")
        left.set_xticks(list(self.by_count), [str(x) for x in self.by_count])
        left.minorticks_off()
        left.margins(x=0.12, y=0.15)
        left.grid(alpha=0.3)
        worst = np.argsort(np.nan_to_num(self.by_class, nan=np.inf), kind="stable")[:shown]
        chosen = sorted(worst.tolist())
        some = "" if shown == len(self.classes) else f" ({shown} worst of {len(self.classes)} classes)"
        class_bars(right, np.nan_to_num(self.by_class[chosen]), f"percent right{some}")
        right.set_yticks(range(shown), [class_name(self.classes, x) for x in chosen], fontsize="small")
        return figure


def classify(
    bank: FeatureSet, held: FeatureSet | None, *, count: int = 20, temperature: float = 0.07
) -> NeighbourResult:
    """Classify images by their nearest neighbours in cosine, as DINO does (Caron et al., 2021, Sec. 4.1).

    Each of the ``count`` neighbours votes for its class with exp(cosine / temperature).

    Args:
        held: What is classified; None: each image of the bank, by all the others.
    Raises: InputError: without labels, with classes that differ, or with fewer than two images.
    """
    leave_one_out, held = held is None, bank if held is None else held
    if bank.labels is None or held.labels is None:
        raise InputError("--data: these data have no classes of images, which neighbours could tell")
    if list(bank.classes) != list(held.classes):
        raise InputError("--data: the training and the validation part have other classes")
    if len(bank.labels) < 2:
        raise InputError("--data: neighbours need two images at least")
    most = max(count, *COUNTS)
    cosine_MK, which_MK = nearest(bank.features, held.features, most, same=leave_one_out)
    label_MK, there = bank.labels[which_MK], cosine_MK.shape[1]

    def right(k: int) -> Tensor:
        options = dict(temperature=temperature)
        return voted(cosine_MK[:, :k].double(), label_MK[:, :k], len(bank.classes), **options) == held.labels

    counts = sorted({x for x in (*COUNTS, count) if x <= there} | {min(count, there)})
    hit_M = right(min(count, there))
    by_class = [_percent(hit_M[held.labels == i]) for i in range(len(bank.classes))]
    return NeighbourResult(
        accuracy=_percent(hit_M),
        count=min(count, there),
        temperature=temperature,
        by_count={k: _percent(right(k)) for k in counts},
        by_class=np.array(by_class),
        classes=bank.classes,
        among=(len(bank.labels), len(held.labels)),
        leave_one_out=leave_one_out,
    )


def _percent(hit: Tensor) -> float:
    return 100 * hit.double().mean().item()


def projected(
    found: FeatureSet, method: str, *, perplexity: float = 30.0, seed: int = 0
) -> tuple[NDArray, str]:
    """Return a place in the plane for each image, (N, 2), and what the axes are.

    Args:
        method: ``pca`` of the features, or ``tsne`` of them, both by scikit-learn.
        perplexity: Of t-SNE; lowered to what the number of images allows.
    Raises: InputError: for fewer than three images.
    """
    features = found.features.double().numpy()
    if len(features) < 3:
        raise InputError(f"--data: a picture of features needs three images at least, got {len(features)}")
    if method == "pca":
        from sklearn.decomposition import PCA

        pca = PCA(2, svd_solver="full")
        places = pca.fit_transform(features)
        first, second = pca.explained_variance_ratio_
        return places, f"PCA: {first:.0%} and {second:.0%} of the variance"
    from sklearn.manifold import TSNE

    perplexity = min(perplexity, (len(features) - 1) / 3)
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)
    return places, f"t-SNE: perplexity {perplexity:g}, seed {seed}"


def plot_places(found: FeatureSet, places: NDArray, title: str) -> Figure:
    """Draw a point for each image in the colour of its class, with a legend of up to 40 classes."""
    figure = Figure(figsize=(8, 6), dpi=100, layout="constrained")
    ax = figure.subplots()
    ax.set(title=title, xticks=[], yticks=[])
    ax.title.set_fontsize("small")
    if found.labels is None:
        ax.scatter(*places.T, s=9, color="#4b86c2")
        return figure
    present = sorted(set(found.labels.tolist()))
    colours = _colours(len(found.classes))
    for label in present:
        mine = (found.labels == label).numpy()
        ax.scatter(*places[mine].T, s=9, color=colours[label], label=class_name(found.classes, label))
    if len(present) <= _MOST_IN_LEGEND:
        _legend_beside(ax, len(present))
    return figure


def _colours(count: int) -> NDArray:
    if count <= 10:
        return matplotlib.colormaps["tab10"](np.arange(count))
    if count <= 20:
        return matplotlib.colormaps["tab20"](np.arange(count))
    return matplotlib.colormaps["hsv"](np.linspace(0, 1, count, endpoint=False))


def _legend_beside(ax: Axes, count: int) -> None:
    columns = 1 + (count > 20)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small", ncols=columns, markerscale=2)
