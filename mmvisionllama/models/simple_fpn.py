"""Feature pyramid of ViTDet from the last map of a plain backbone."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvisionllama.arguments import Component, Positive, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.backbone import CompleteInit
from mmvisionllama.registry import MODELS


@MODELS.register_module()
class LN2d(nn.LayerNorm):
    """LayerNorm over the channels of a map (B, C, H, W), at every place for itself."""

    def forward(self, map_BCHW: Tensor) -> Tensor:
        # Contiguous, because mmcv's compiled operators assume it.
        return super().forward(map_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


@MODELS.register_module()
class SimpleFPN(CompleteInit, BaseModule):
    """Five maps, of strides 4 to 64 where the given one has 16, all from the last map (ViTDet, Sec. 3).

    The map is enlarged by transposed convolutions or shrunk by a maximum; each scale then gets the width of
    the pyramid. The coarsest map is every second place of the one before.

    Args:
        in_channels: Width of the backbone's map; a quarter of it must be whole.
        out_channels: Width of every map of the pyramid.
        norm_cfg: Of all convolutions.

    Raises:
        ValueError: if ``in_channels`` is not divisible by 4.
    """

    @checked
    def __init__(
        self,
        in_channels: Positive,
        *,
        out_channels: Positive = 256,
        norm_cfg: Component = dict(type="mmvisionllama.LN2d", eps=1e-6),  # noqa: B006  (read only)
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if in_channels % 4:
            raise ArgumentError(f"in_channels must be divisible by 4, got {in_channels}")
        half, quarter = in_channels // 2, in_channels // 4
        self.scales = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(in_channels, half, 2, 2),
                    build_norm_layer(norm_cfg, half)[1],
                    nn.GELU(),
                    nn.ConvTranspose2d(half, quarter, 2, 2),
                ),
                nn.ConvTranspose2d(in_channels, half, 2, 2),
                nn.Identity(),
                nn.MaxPool2d(2, 2),
            ]
        )
        style = dict(norm_cfg=norm_cfg, act_cfg=None)
        self.convs = nn.ModuleList(
            nn.Sequential(
                ConvModule(width, out_channels, 1, **style),
                ConvModule(out_channels, out_channels, 3, padding=1, **style),
            )
            for width in (quarter, half, in_channels, in_channels)
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map a backbone's outputs, of which the last counts, to five maps, the finest first."""
        pyramid = [conv(scale(maps[-1])) for scale, conv in zip(self.scales, self.convs, strict=True)]
        return (*pyramid, F.max_pool2d(pyramid[-1], kernel_size=1, stride=2))
