"""Tiny models of timm's rotary vision transformers, all of whose weights matter."""

from typing import Any

import timm
import torch
from torch import nn

SIZES = dict(embed_dim=64, depth=2, num_heads=2, img_size=64, dynamic_img_size=True)
WIDTH = 32  # of a head

# (name in timm, further sizes, what weights do not tell, family)
MODELS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "rope": ("vit_small_patch16_rope_224", {}, {}, "rope_vit"),
    "rope ape": ("vit_small_patch16_rope_ape_224", {}, {}, "rope_vit_ape"),
    "mixed": ("vit_small_patch16_rope_mixed_224", {}, {}, "rope_vit_mixed"),
    "mixed ape": ("vit_small_patch16_rope_mixed_ape_224", {}, {}, "rope_vit_mixed"),
    "dinov3": ("vit_small_patch16_dinov3", dict(num_classes=0), {}, "dinov3"),
    "dinov3 plus": ("vit_small_plus_patch16_dinov3_qkvb", dict(num_classes=0), {}, "dinov3"),
    "gap": ("vit_medium_patch16_rope_reg1_gap_256", {}, {}, "rope_gap"),
    "gap without biases": ("vit_mediumd_patch16_rope_reg1_gap_256", {}, {}, "rope_gap"),
    "eva02 packed": ("eva02_tiny_patch14_224", dict(img_size=56), {}, "eva02"),
    "eva02": ("eva02_base_patch14_448", dict(img_size=56), {}, "eva02"),
    "eva02 clip": ("eva02_large_patch14_clip_224", dict(img_size=56), {}, "eva02_clip"),
    "pe core": (
        "vit_pe_core_small_patch16_384",
        dict(ref_feat_shape=(4, 4), attn_pool_num_heads=8),
        {},
        "pe_core",
    ),
    "pe spatial": (
        "vit_pe_spatial_gigantic_patch14_448",
        dict(img_size=56, ref_feat_shape=(4, 4), mlp_ratio=3.0, num_classes=0),
        {},
        "pe_spatial",
    ),
}


def tiny(name: str, **more: Any) -> nn.Module:
    """Build one of ``MODELS`` in evaluation mode, with weights that no wrong place of them would go unseen."""
    torch.manual_seed(0)
    timms, sizes, _, _ = MODELS[name]
    classes = dict(num_classes=5)
    model = timm.create_model(timms, **{**SIZES, **classes, **sizes, **more}).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            spread = torch.randn_like(weight)
            if weight.ndim > 1 and key != "rope.freqs":
                weight.copy_(spread * (weight.shape[-1] ** -0.5 if "token" not in key else 1.0))
            else:  # norms, LayerScale, biases, frequencies
                weight.add_(0.3 * spread)
    return model
