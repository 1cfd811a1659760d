"""mmdet's RPN head and RoI extractor in float32 and contiguous memory, as mmcv's operators need.

RoIAlign and NMS have no bfloat16 kernels, and autocast does not know them. RoIAlign takes any memory for
contiguous: from a permuted map it would silently read the wrong places.
"""

from collections.abc import Sequence
from typing import Any

from mmdet.models import RPNHead as HostRPNHead
from mmdet.models import SingleRoIExtractor as HostSingleRoIExtractor
from torch import Tensor

from mmvisionllama.registry import MODELS


@MODELS.register_module()
class RPNHead(HostRPNHead):
    """mmdet's region proposals, with scores and offsets in float32."""

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        score, offset = super().forward_single(x)
        return score.float(), offset.float()


@MODELS.register_module()
class SingleRoIExtractor(HostSingleRoIExtractor):
    """mmdet's features of regions, cut out of contiguous maps in float32."""

    def forward(self, feats: Sequence[Tensor], rois: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(tuple(x.float().contiguous() for x in feats), rois, *args, **kwargs)
