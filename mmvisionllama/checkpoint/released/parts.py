"""Configs of the heads, necks and decoders around a released backbone."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmvisionllama.checkpoint.matching import shapes_of
from mmvisionllama.checkpoint.released.families import FAMILIES, merge, with_quirk
from mmvisionllama.checkpoint.released.quirks import quirks_of
from mmvisionllama.checkpoint.released.shapes import Shapes
from mmvisionllama.errors import CheckpointError

# Parts of a host's model, and the model that has them beside a backbone.
PARTS = {
    "head": "mmpretrain.ImageClassifier",
    "neck": "mmpretrain.ImageClassifier",
    "decode_head": "mmseg.EncoderDecoder",
    "auxiliary_head": "mmseg.EncoderDecoder",
    "rpn_head": "mmdet.MaskRCNN",
    "roi_head": "mmdet.MaskRCNN",
}
# Parts without weights around the network of a generator, as released.
_AROUND = dict(
    guidance=dict(scale=1.0),
    autoencoder=dict(type="mmvisionllama.KLAutoencoder", path="stabilityai/sd-vae-ft-ema", scale=0.18215),
    data_preprocessor=dict(
        type="mmpretrain.ClsDataPreprocessor", mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True
    ),
)
GENERATORS = {
    "dit": dict(
        objective=dict(type="mmvisionllama.GaussianDiffusion"),
        sampler=dict(type="mmvisionllama.DDPMSampler"),
        **_AROUND,
    ),
    "sit": dict(
        objective=dict(type="mmvisionllama.Interpolant"),
        sampler=dict(type="mmvisionllama.SDESampler"),
        **_AROUND,
    ),
}
GENERATOR_PARTS = tuple(GENERATORS["dit"])


def part_config(
    part: str, weights: dict[str, Tensor], known: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a part's weights by the host's names, and its config: read, or given whole.

    Raises: CheckpointError: if it can neither be read nor was given.
    """
    shapes = Shapes(shapes_of(weights))
    if "type" in known:
        return weights, dict(known)
    if part == "head":
        # DeiT keeps the layer itself, mmpretrain's heads keep it as `fc` or `layers.head`.
        weights = {
            re.sub(r"^(layers\.head\.)?(weight|bias)$", r"fc.\2", key): x for key, x in weights.items()
        }
        if "fc.weight" in weights and weights["fc.weight"].ndim == 2:
            classes, width = weights["fc.weight"].shape
            head = dict(type="mmpretrain.LinearClsHead", num_classes=classes, in_channels=width)
            return weights, merge(head | dict(loss=dict(type="mmpretrain.CrossEntropyLoss")), known)
    if part == "neck" and "decoder_embed.weight" in shapes:
        return weights, merge(_mae_decoder(shapes, known), known)
    if part == "neck" and "bn.running_mean" in shapes:
        features = shapes.of("bn.running_mean", 1)[0]
        return weights, merge(dict(type="mmpretrain.ClsBatchNormNeck", input_features=features), known)
    names = ", ".join(f"{part}.{key}" for key in list(weights)[:3])
    raise CheckpointError(
        f"the checkpoint has a {part} ({names}, ...) whose config its weights do not tell: give it as "
        f"{part}=dict(type=..., ...), or {part}=None to leave it out"
    )


def assemble(
    family: str,
    backbone: dict[str, Any],
    parts: Mapping[str, dict[str, Any]],
    shapes: Shapes,
    known: Mapping[str, Any],
) -> tuple[dict[str, Any], str]:
    """Put the backbone into the model around it, if there is one.

    Returns: The config of the whole model, and what the names of the backbone's weights begin with in it.
    """
    pixels = dict(FAMILIES[family].pixels, to_rgb=True)
    if family in GENERATORS:
        model = merge(GENERATORS[family], {key: known[key] for key in GENERATOR_PARTS if key in known})
        for option in quirks_of(family, shapes):
            model = with_quirk(model, option)
        return dict(type="mmvisionllama.ClassConditionalGenerator", network=backbone, **model), "network."
    if family == "mae" and "neck" in parts:
        head = dict(
            type="mmpretrain.MAEPretrainHead",
            norm_pix=True,
            patch_size=backbone["patch_size"],
            loss=dict(type="mmpretrain.PixelReconstructionLoss", criterion="L2"),
        )
        model = dict(
            type="mmvisionllama.MAE",
            backbone=backbone,
            neck=parts["neck"],
            head=merge(head, known.get("head") or {}),
            data_preprocessor=dict(type="mmpretrain.SelfSupDataPreprocessor", **pixels),
        )
        return model, "backbone."
    if not parts:
        return backbone, ""
    # The last part in the table decides, because segmentors and detectors may also have a neck.
    host = [PARTS[part] for part in PARTS if part in parts][-1]
    model = dict(type=host, backbone=backbone, **parts)
    if host == PARTS["head"]:
        classes = parts["head"]["num_classes"] if "head" in parts else None
        model["data_preprocessor"] = dict(
            type="mmpretrain.ClsDataPreprocessor", num_classes=classes, **pixels
        )
    return model, "backbone."


def _mae_decoder(shapes: Shapes, known: Mapping[str, Any]) -> dict[str, Any]:
    width, encoder = shapes.of("decoder_embed.weight", 2)
    if width != 512 and "decoder_num_heads" not in known:
        raise CheckpointError(
            f"no published decoder has width {width}: give neck=dict(decoder_num_heads=...), which weights "
            "do not tell"
        )
    hidden = shapes.of("decoder_blocks.0.ffn.layers.0.0.weight", 2)[0]
    side = shapes.side("decoder_pos_embed", extra=1) or 14
    # Patches are square and of three channels, as the images that were reconstructed.
    patch = round((shapes.of("decoder_pred.weight", 2)[0] / 3) ** 0.5)
    return dict(
        type="mmpretrain.MAEPretrainDecoder",
        num_patches=side**2,
        patch_size=patch,
        embed_dim=encoder,
        decoder_embed_dim=width,
        decoder_depth=shapes.count("decoder_blocks"),
        decoder_num_heads=16,
        mlp_ratio=hidden / width,
    )
