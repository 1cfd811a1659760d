"""Feature extractors: base class, features of images, extraction from a whole set."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.images import ImageSet

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Features:
    """Features of N images, float32.

    Attributes:
        spatial_NS: Features that still tell where something is, for sFID.
    """

    pooled_ND: Tensor
    logit_NK: Tensor
    spatial_NS: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pooled_ND)

    @classmethod
    def concatenated(cls, parts: Iterable["Features"]) -> "Features":
        """Put the images of all parts into one, on the CPU."""
        columns = zip(*(x._columns() for x in parts), strict=True)
        return cls(*(None if x[0] is None else torch.cat([y.cpu() for y in x]) for x in columns))

    def rows(self) -> list[tuple[np.ndarray | None, ...]]:
        """Give the features of each image by itself, as arrays that are small to pickle."""
        columns = [[None] * len(self) if x is None else list(x.cpu().numpy()) for x in self._columns()]
        return [tuple(x) for x in zip(*columns, strict=True)]

    @classmethod
    def from_rows(cls, rows: Sequence[tuple[np.ndarray | None, ...]]) -> "Features":
        """Undo :meth:`rows`."""
        columns = zip(*rows, strict=True)
        return cls(*(None if x[0] is None else torch.from_numpy(np.stack(x)) for x in columns))

    def _columns(self) -> tuple[Tensor | None, ...]:
        return self.pooled_ND, self.logit_NK, self.spatial_NS


class FeatureExtractor(nn.Module):
    """A network that turns images into :class:`Features`: a component, see its subclasses.

    Attributes:
        title: What reports call it.
        metrics: Names of the metrics that its features are good for.
        num_classes: Of the labels that its logits stand for, or None if they are not those of any data set.
        adm_widths: Numbers of features, by metric, whose moments the reference files of ADM's evaluator hold.
    """

    title: str
    metrics: tuple[str, ...]
    num_classes: int | None = None
    adm_widths: Mapping[str, int] = MappingProxyType({})

    def forward(self, img_BCHW: Tensor) -> Features:
        """Compute the features of uint8 images of one (grey) or three (RGB) channels, of any size."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.parameters()).device


def extract(
    extractor: FeatureExtractor,
    images: ImageSet,
    batch_size: int = 50,
    progress: Progress = lambda done, total: None,
) -> Features:
    """Compute the features of a whole set of images.

    Args:
        progress: Called with the images done and in all.
    """
    parts: list[Features] = []
    done = 0
    for img_BHWC in images.batches(batch_size):
        img_BCHW = rearrange(torch.tensor(img_BHWC, device=extractor.device), "B H W C -> B C H W")
        parts.append(Features.concatenated([extractor(img_BCHW)]))
        done += len(img_BHWC)
        progress(done, len(images))
    return Features.concatenated(parts)


def as_uint8(img: Tensor, name: str) -> Tensor:
    """Return images of uint8, or of floats in [0, 1], as uint8.

    Raises:
        EvaluationError: if they are neither, or have other than one or three channels.
    """
    if img.ndim != 4 or img.shape[1] not in (1, 3):
        raise EvaluationError(
            f"{name} must be (channels, height, width) with 1 or 3 channels, not {tuple(img.shape[1:])}"
        )
    if img.dtype == torch.uint8:
        return img
    least, most = img.min().item(), img.max().item()
    if not (img.is_floating_point() and least >= 0 and most <= 1):
        raise EvaluationError(
            f"{name} must be uint8, or floats in [0, 1]; got {img.dtype} in [{least:g}, {most:g}]"
        )
    return (img.float() * 255).round().byte()
