"""Training transforms of timm and torchvision that do what a config's pipeline does."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from mmvisionllama.benchmark.sample_images import Record

_PACKING = ("PackInputs", "RandomFlip", "RandomErasing")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PeerTransform:
    """Open an image with Pillow, as timm's and torchvision's data sets do, and transform it.

    Args:
        transform: From an image of Pillow to a tensor.
    """

    name: str
    transform: Callable[[Image.Image], Any]

    def __call__(self, record: Record) -> tuple[Any, int]:
        with open(record["img_path"], "rb") as file:
            return self.transform(Image.open(file).convert("RGB")), record.get("gt_label", 0)


def peer_of(pipeline: Sequence[Mapping[str, Any]]) -> PeerTransform | None:
    """Return the peer of a pipeline's transforms; None if there is none, or timm is not installed.

    RandAugment and 3-Augment have timm's of the same policy as peer, up to a tensor of bytes, as its loader
    has them; it erases and normalises on the device. Crops and flips alone have torchvision's, normalised, as
    MAE's code has them.
    """
    steps = {str(step["type"]).rpartition(".")[2]: step for step in pipeline}
    crop = steps.pop("LoadRandomResizedCrop", None) or steps.pop("RandomResizedCrop", None)
    if crop is None:
        return None
    augments = [x for kind, x in steps.items() if kind not in (*_PACKING, "LoadImageFromFile")]
    chance = float(steps.get("RandomFlip", {}).get("prob", 0.0))
    if not augments:
        return _torchvision(crop, chance)
    policy = _policy(augments[0]) if len(augments) == 1 else None
    if policy is None or importlib.util.find_spec("timm") is None:
        return None
    return _timm(crop, chance, policy)


def _policy(step: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return timm's name of a policy, and its colour jitter."""
    kind = str(step["type"]).rpartition(".")[2]
    if kind == "ThreeAugment":
        return dict(auto_augment="3a", color_jitter=step.get("color_jitter", 0.3))
    if kind == "RandAugment" and step.get("policies") == "timm_increasing":
        level, count, deviation = (step[x] for x in ("magnitude_level", "num_policies", "magnitude_std"))
        return dict(auto_augment=f"rand-m{level}-n{count}-mstd{deviation}-inc1", color_jitter=None)
    return None


def _timm(crop: Mapping[str, Any], flip: float, policy: dict[str, Any]) -> PeerTransform:
    from timm.data import create_transform

    area = tuple(crop.get("crop_ratio_range", (0.08, 1.0)))
    given = dict(is_training=True, scale=area, hflip=flip, use_prefetcher=True)
    transform = create_transform(crop["scale"], interpolation=_interpolation(crop), **given, **policy)
    return PeerTransform(f"timm, {policy['auto_augment']}", transform)


def _torchvision(crop: Mapping[str, Any], flip: float) -> PeerTransform:
    from torchvision import transforms

    method = transforms.InterpolationMode(_interpolation(crop))
    area = tuple(crop.get("crop_ratio_range", (0.08, 1.0)))
    steps = [
        transforms.RandomResizedCrop(crop["scale"], scale=area, interpolation=method),
        transforms.RandomHorizontalFlip(flip),
        transforms.ToTensor(),
        transforms.Normalize(_MEAN, _STD),
    ]
    return PeerTransform("torchvision, crop and flip", transforms.Compose(steps))


def _interpolation(crop: Mapping[str, Any]) -> str:
    return crop.get("interpolation", "bicubic" if "max_corrupt" in crop else "bilinear")
