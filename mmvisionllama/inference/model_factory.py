"""create_model(): backbones by name behind timm's interface, without any host."""

import logging
from collections.abc import Mapping, Sequence
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any, Literal

from mmengine.logging import MMLogger
from torch import Tensor, nn

from mmvisionllama.arguments import Count, Positive, Share, check, checked
from mmvisionllama.checkpoint import kept_model, read_checkpoint, weights_of
from mmvisionllama.checkpoint.matching import compare, shapes_of
from mmvisionllama.config.component_types import untrusted
from mmvisionllama.errors import ArgumentError, CheckpointError
from mmvisionllama.inference.sources import checkpoint_file
from mmvisionllama.models import PyramidVisionLLaMA, VisionLLaMA
from mmvisionllama.models.backbone import RotaryBackbone
from mmvisionllama.models.layers import build_norm
from mmvisionllama.models.pyramid import STRIDES
from mmvisionllama.signatures import accepted_arguments
from mmvisionllama.suggestions import check_keys, did_you_mean

_BACKBONES = {"visionllama": VisionLLaMA, "pyramid_visionllama": PyramidVisionLLaMA}
_HEADS = ("head.fc.", "head.layers.head.")  # of mmpretrain's classifiers
_NORMS = ("backbone.norms.", "fc_norm.")
_POOLS = ("backbone.pool.", "backbone.pools.")  # of attention
_OWN = ("arch", "out_type", "out_indices", "init_cfg")  # of the backbone, that follow from other arguments


def list_models() -> list[str]:
    """Return the names that ``create_model`` takes."""
    return [f"{stem}_{arch}" for stem, cls in _BACKBONES.items() for arch in cls.arch_zoo]


@checked
def create_model(
    model_name: str,
    pretrained: bool | str | Path = False,
    *,
    num_classes: Count | None = None,
    in_chans: Positive = 3,
    global_pool: Literal["token", "avg", ""] | None = None,
    drop_rate: Share = 0.0,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    **kwargs: Any,
) -> "RotaryModel | FeatureMaps":
    """Make a backbone by its name, with a linear classifier or as feature maps, as ``timm.create_model``.

    Args:
        model_name: One of ``list_models()``, e.g. ``visionllama_base``.
        pretrained: What ``mmvisionllama.load`` takes: a path or a name. The model gets the settings of that
            one's backbone, and its classifier if it has as many classes. The last norm is new where that one
            has none for it (MAE, dense models).
        num_classes: 0: no classifier. None: as many as the pretrained one has, else 1000.
        global_pool: ``token``: the class token (plain); ``avg``: the mean of the others; "": none, all tokens
            go through the classifier. None: that of the pretrained one, else ``token``, of a pyramid ``avg``.
        drop_rate: Of the dropout before the classifier.
        features_only: Return maps (B, C, H, W), one for each of ``out_indices``, not normalised.
        out_indices: Blocks, of a pyramid stages; None: the ends of four equal parts.
        kwargs: Arguments of the backbone, such as ``img_size`` and ``drop_path_rate``.

    Raises:
        ArgumentError: for an unknown name or argument, or a value that it does not take.
        CheckpointError: for a pretrained model that cannot be read, or is of another backbone.
    """
    cls, arch = _backbone_of(model_name)
    check_keys("create_model", kwargs, sorted(accepted_arguments(cls).names - {*_OWN, "in_channels"}))
    if pretrained is True:
        raise ArgumentError(
            "pretrained=True does not say which weights: give the path or the name of a trained model, as to "
            'mmvisionllama.load, e.g. pretrained="visionllama-base-in1k-released"'
        )
    weights, kept = ({}, {}) if pretrained is False else _pretrained(pretrained, cls, arch)
    options = {"in_channels": in_chans} | kept | kwargs
    kept_pool = options.pop("out_type", None)
    pool = _pool(cls, global_pool, kept_pool)
    if features_only:
        made = _feature_maps(cls, arch, out_indices, options, pool)
    elif out_indices is not None:
        raise ArgumentError("out_indices chooses feature maps: give features_only=True with it")
    elif global_pool is None and isinstance(kept_pool, Mapping):
        raise ArgumentError(
            f"global_pool: the pretrained model pools by {kept_pool.get('type')}, which create_model "
            "has not: give 'avg' or '', or load it as it is by mmvisionllama.load"
        )
    else:
        head = next((weights[f"{x}weight"] for x in _HEADS if f"{x}weight" in weights), None)
        classes = num_classes if num_classes is not None else len(head) if head is not None else 1000
        made = RotaryModel(cls, arch, options, pool, classes, drop_rate)
    if pretrained is False:
        _initialise(made.backbone)
    else:
        _load(made, weights, str(pretrained))
    return made


class FeatureInfo:
    """What the feature maps of a model are, as timm tells it.

    Args:
        info: For each map ``num_chs``, ``reduction`` (pixels to a token) and ``module``.
    """

    def __init__(self, info: Sequence[Mapping[str, Any]]) -> None:
        self.info = [dict(x) for x in info]

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.info[index]

    def channels(self) -> list[int]:
        """Return the channels of each map."""
        return [x["num_chs"] for x in self.info]

    def reduction(self) -> list[int]:
        """Return the side of a token of each map, in pixels."""
        return [x["reduction"] for x in self.info]

    def module_name(self) -> list[str]:
        """Return which module of the backbone each map comes from."""
        return [x["module"] for x in self.info]


class _Model(nn.Module):
    backbone: RotaryBackbone

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block's activations in the backward pass, or do not."""
        self.backbone.with_cp = check("enable", enable, bool)


class FeatureMaps(_Model):
    """A backbone that returns feature maps.

    Attributes:
        feature_info: See :class:`FeatureInfo`; one entry for each map.
    """

    def __init__(self, backbone: RotaryBackbone) -> None:
        super().__init__()
        self.backbone = backbone
        every = _feature_info(backbone)
        self.feature_info = FeatureInfo([every[i] for i in backbone.out_indices])

    def forward(self, img: Tensor) -> list[Tensor]:
        """Map (B, in_chans, img_h, img_w) to maps (B, C, H, W)."""
        return list(self.backbone(img))


class RotaryModel(_Model):
    """A backbone with a linear classifier; see ``create_model``.

    Attributes:
        num_features: Width D of the features.
        feature_info: Of all blocks or stages, whether ``features_only`` would return them or not.
    """

    def __init__(
        self,
        cls: type[RotaryBackbone],
        arch: str,
        options: dict[str, Any],
        pool: str,
        num_classes: int,
        drop_rate: float,
    ) -> None:
        super().__init__()
        self.is_plain = cls is VisionLLaMA
        norm, fc_norm = options.get("out_norm"), False
        if self.is_plain:
            options = {"with_cls_token": pool == "token", **options}
            # A plain model's norm comes after its mean, unless it is one of tokens.
            fc_norm = pool == "avg" and norm not in ("none", "tokens")
            options["out_norm"] = ("last" if norm == "both" else "none") if fc_norm else norm
        self.backbone = cls(arch, out_type="raw", **options)
        # Where the norm of outputs is in a backbone that pools by itself: ours by the names of that one.
        last = str(self.backbone.num_layers - 1) if norm == "each" else "all" if self.is_plain else ""
        self.renamed = {f"backbone.norms.{last}.": "fc_norm."} if fc_norm else {}
        if fc_norm and norm == "both":
            self.renamed["backbone.norms.last."] = "backbone.norms.all."
        self.global_pool = pool
        self.num_features = _width(self.backbone)
        norm_cfg = options.get("norm_cfg", dict(type="LN", eps=1e-6))
        self.fc_norm = build_norm(norm_cfg, self.num_features) if fc_norm else nn.Identity()
        self.head_drop = nn.Dropout(drop_rate)
        self.feature_info = FeatureInfo(_feature_info(self.backbone))
        self.reset_classifier(num_classes)

    def get_classifier(self) -> nn.Module:
        """Return the classifier: a linear layer, or an identity for no classes."""
        return self.head

    @checked
    def reset_classifier(self, num_classes: Count, global_pool: str | None = None) -> None:
        """Put a new classifier in the place of the old one; the pooling is part of the backbone.

        Raises: ArgumentError: for another ``global_pool`` than the model's.
        """
        if global_pool not in (None, self.global_pool):
            raise ArgumentError(
                f"global_pool: this model was made with {self.global_pool!r}, got {global_pool!r}; make "
                f"another one by create_model(..., global_pool={global_pool!r})"
            )
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        if num_classes:
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)
            self.head.to(next(self.backbone.parameters()))

    def forward_features(self, img: Tensor) -> Tensor:
        """Map (B, in_chans, img_h, img_w) to tokens (B, N, D), of a plain model the class token first."""
        return self.backbone(img)[-1]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map tokens (B, N, D) to logits (B, num_classes); ``pre_logits``: to the features before them."""
        if self.global_pool == "token":
            x = x[:, 0]
        elif self.global_pool == "avg":
            x = x[:, int(self.is_plain and self.backbone.with_cls_token) :].mean(dim=1)
            x = self.backbone.norms["last"](x) if self.backbone.out_norm == "twice" else x
        x = self.head_drop(self.fc_norm(x))
        return x if pre_logits else self.head(x)

    def forward(self, img: Tensor) -> Tensor:
        """Map (B, in_chans, img_h, img_w) to (B, num_classes), or (B, D) without a classifier."""
        return self.forward_head(self.forward_features(img))


def _backbone_of(name: str) -> tuple[type[RotaryBackbone], str]:
    known = list_models()
    if name not in known:
        hint = did_you_mean(name, known)
        raise ArgumentError(f"unknown model {name!r}.{hint} Known are {', '.join(known)}")
    stem, _, arch = name.rpartition("_")
    return _BACKBONES[stem], arch


def _pool(cls: type[RotaryBackbone], given: str | None, out_type: str | Mapping[str, Any] | None) -> str:
    plain = cls is VisionLLaMA
    kept = "token" if plain and out_type in (None, "cls_token") else "avg"
    pool = kept if given is None else given
    if pool == "token" and not plain:
        raise ArgumentError("global_pool: a pyramid has no class token; it takes 'avg' or ''")
    return pool


def _feature_maps(
    cls: type[RotaryBackbone],
    arch: str,
    out_indices: Sequence[int] | None,
    options: dict[str, Any],
    pool: str,
) -> FeatureMaps:
    depth = len(STRIDES)
    if cls is VisionLLaMA:
        depth = cls.arch_zoo[arch]["num_layers"]
        options = {"with_cls_token": pool == "token", **options}
    if out_indices is None:
        out_indices = range(depth // 4 - 1, depth, depth // 4)
    norm = options.get("out_norm")
    options = {**options, "out_norm": norm if norm in ("each", "each_fed_on") else "none"}
    return FeatureMaps(cls(arch, out_type="featmap", out_indices=list(out_indices), **options))


def _initialise(backbone: RotaryBackbone) -> None:
    """Draw weights, unless there is no memory for them yet; mmengine would tell of each on the screen."""
    if next(backbone.parameters()).is_meta:
        return
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        backbone.init_weights()
    finally:
        logger.setLevel(level)


def _feature_info(backbone: RotaryBackbone) -> list[dict[str, Any]]:
    if isinstance(backbone, VisionLLaMA):
        patch = backbone.patch_embed.projection.kernel_size[0]
        told = dict(num_chs=backbone.embed_dims, reduction=patch)
        return [dict(**told, module=f"blocks.{i}") for i in range(backbone.num_layers)]
    sides = list(accumulate(STRIDES, mul))  # not a tensor, which the meta device leaves empty
    widths = zip(backbone.embed_dims, sides, strict=True)
    return [dict(num_chs=c, reduction=side, module=f"stages.{i}") for i, (c, side) in enumerate(widths)]


def _width(backbone: RotaryBackbone) -> int:
    return backbone.embed_dims if isinstance(backbone, VisionLLaMA) else backbone.embed_dims[-1]


def _pretrained(
    source: str | Path, cls: type[RotaryBackbone], arch: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read weights, and the settings of their backbone that fit any use of it."""
    path = checkpoint_file(source)
    checkpoint = read_checkpoint(path)
    model = kept_model(checkpoint, path) or {}
    weights, backbone = weights_of(checkpoint, path), dict(model.get("backbone") or model)
    if foreign := sorted(set(untrusted(backbone, ("mmengine",)))):
        raise CheckpointError(f"{source}: its backbone has {', '.join(foreign)}, which no registry knows")
    found = str(backbone.pop("type", None)).rpartition(".")[2], backbone.pop("arch", "base")
    if found[0] == "MAEVisionLLaMA":  # its norm and class token serve pre-training alone
        found = "VisionLLaMA", found[1]
        backbone = {"layer_scale": None, "out_type": "avg_featmap", **backbone}
        backbone.pop("mask_ratio", None)
        weights = {
            x: weights[x] for x in weights if not x.startswith(("backbone.norm.", "backbone.cls_token"))
        }
    if backbone and (found[0] != cls.__name__ or cls.arch_zoo.get(arch) != _sizes(cls, found[1])):
        raise CheckpointError(
            f"{source} is a {found[0]} {found[1]!r}, not the {cls.__name__} {arch!r} of the name; "
            f"names are {', '.join(list_models())}"
        )
    for name in ("out_indices", "init_cfg", "frozen_stages", "drop_path_rate"):
        backbone.pop(name, None)
    return weights, backbone


def _sizes(cls: type[RotaryBackbone], arch: Any) -> dict[str, Any] | None:
    if isinstance(arch, str):
        return cls.arch_zoo.get(arch)
    return {key: tuple(x) if isinstance(x, (list, tuple)) else x for key, x in arch.items()}


def _load(model: RotaryModel | FeatureMaps, weights: Mapping[str, Tensor], source: str) -> None:
    """Load the backbone exactly, but for norms of outputs, and the classifier if it fits."""
    inside = any(x.startswith("backbone.") for x in weights)
    found = {
        name if inside else f"backbone.{name}": x
        for name, x in weights.items()
        if name.startswith("backbone.") or not inside
    }
    found = {name: x for name, x in found.items() if not name.startswith(_POOLS)}
    if isinstance(model, FeatureMaps):
        own = model.state_dict()
        found = {x: found[x] for x in found if x in own or not x.startswith("backbone.norms.")}
    else:
        for old, new in model.renamed.items():
            found = {x.replace(old, new): found[x] for x in found}
        head = {f"head.{x.removeprefix(p)}": weights[x] for p in _HEADS for x in weights if x.startswith(p)}
        own = {name: x for name, x in model.state_dict().items() if name.startswith("head.")}
        found |= head if shapes_of(head) == shapes_of(own) else own  # of other classes: the new one stays
        norms = {x: y for x, y in model.state_dict().items() if x.startswith(_NORMS)}
        if not found.keys() >= norms.keys():  # those of maps, or none: before a classifier they are new
            found = {x: found[x] for x in found if not x.startswith(_NORMS)} | norms
    match = compare(shapes_of(model.state_dict()), shapes_of(found))
    if not match.exact:
        raise CheckpointError(f"{source} is a checkpoint of another model:\n{match.describe()}")
    model.load_state_dict(found)
