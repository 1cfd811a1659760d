"""ViTDet's ViT as a backbone to compare with: mmpretrain's ViTSAM that loads MAE's positions."""

import math
from typing import Any

import torch
from mmpretrain.models import ViTSAM
from mmpretrain.models.backbones.vit_sam import TransformerEncoderLayer
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmvisionllama.arguments import checked
from mmvisionllama.host_internals import replace_class
from mmvisionllama.registry import MODELS


class _RecomputedLayer(TransformerEncoderLayer):
    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        return checkpoint(super().forward, x, use_reentrant=False)


@MODELS.register_module()
class ViTDet(ViTSAM):
    """The ViT of ViTDet: windows, decomposed relative positions, and learned ones that MAE's weights give.

    mmpretrain's image encoder of SAM is this network; it cannot load positions that begin with the place of a
    class token, as those of MAE do.

    Args:
        with_cp: Recompute each layer's activations in the backward pass.
        kwargs: See mmpretrain's ViTSAM.
    """

    @checked
    def __init__(self, *, with_cp: bool = False, **kwargs: Any) -> None:
        super().__init__(**{"out_channels": 0, "out_type": "featmap", **kwargs})
        if with_cp:
            for layer in self.layers:
                replace_class(layer, _RecomputedLayer)

    def _prepare_pos_embed(
        self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        table = state_dict.get(f"{prefix}pos_embed")
        if table is not None and table.ndim == 3:
            side = math.isqrt(table.shape[1])
            extra = table.shape[1] - side**2
            state_dict[f"{prefix}pos_embed"] = table[:, extra:].unflatten(1, (side, side))
        super()._prepare_pos_embed(state_dict, prefix, *args, **kwargs)
