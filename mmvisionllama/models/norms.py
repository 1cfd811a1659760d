"""Norms over the last axis, by the names that configs have for them."""

from mmcv.cnn import build_norm_layer  # noqa: F401  (registers 'LN' and its kin in mmengine's root)
from torch import nn

from mmvisionllama.registry import MODELS, build_component

MODELS.register_module("RMSNorm", module=nn.RMSNorm)


def build_norm(norm_cfg: dict, embed_dims: int) -> nn.Module:
    """Build ``dict(type='LN' or 'RMSNorm', ...)`` over the last axis."""
    return build_component(norm_cfg, normalized_shape=embed_dims)
