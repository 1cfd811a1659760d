"""Tiny models of timm's rotary vision transformers, all of whose weights matter."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import timm
import torch
from torch import nn

SIZES = dict(embed_dim=64, depth=2, num_heads=2, img_size=64, dynamic_img_size=True, num_classes=5)


class Tiny(NamedTuple):
    name: str
    family: str
    sizes: Mapping[str, Any] = MappingProxyType({})


NO_CLASSES = dict(num_classes=0)
OF_FOURTEEN = dict(img_size=56)  # patches of 14
TIMM = {
    "rope": Tiny("vit_small_patch16_rope_224", "rope_vit"),
    "rope ape": Tiny("vit_small_patch16_rope_ape_224", "rope_vit_ape"),
    "mixed": Tiny("vit_small_patch16_rope_mixed_224", "rope_vit_mixed"),
    "mixed ape": Tiny("vit_small_patch16_rope_mixed_ape_224", "rope_vit_mixed"),
    "dinov3": Tiny("vit_small_patch16_dinov3", "dinov3", NO_CLASSES),
    "dinov3 plus": Tiny("vit_small_plus_patch16_dinov3_qkvb", "dinov3", NO_CLASSES),
    "gap": Tiny("vit_medium_patch16_rope_reg1_gap_256", "rope_gap"),
    "gap without biases": Tiny("vit_mediumd_patch16_rope_reg1_gap_256", "rope_gap"),
    "eva02 packed": Tiny("eva02_tiny_patch14_224", "eva02", OF_FOURTEEN),
    "eva02": Tiny("eva02_base_patch14_448", "eva02", OF_FOURTEEN),
    "eva02 clip": Tiny("eva02_large_patch14_clip_224", "eva02_clip", OF_FOURTEEN),
    "pe core": Tiny("vit_pe_core_small_patch16_384", "pe_core", dict(ref_feat_shape=(4, 4))),
    "pe spatial": Tiny(
        "vit_pe_spatial_gigantic_patch14_448",
        "pe_spatial",
        dict(ref_feat_shape=(4, 4), mlp_ratio=3.0) | OF_FOURTEEN | NO_CLASSES,
    ),
}


def tiny(name: str, **more: Any) -> nn.Module:
    """Build one of ``TIMM`` in evaluation mode, every weight of it drawn so that it matters."""
    torch.manual_seed(0)
    model = timm.create_model(TIMM[name].name, **{**SIZES, **TIMM[name].sizes, **more}).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            spread = torch.randn_like(weight)
            if weight.ndim > 1 and key != "rope.freqs":
                weight.copy_(spread * (weight.shape[-1] ** -0.5 if "token" not in key else 1.0))
            else:  # norms, LayerScale, biases, frequencies
                weight.add_(0.3 * spread)
    return model
