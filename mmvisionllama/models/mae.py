"""The masked encoder of MAE pre-training."""

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from mmvisionllama.arguments import Component, Within, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.grids import grid_positions
from mmvisionllama.models.layers import build_norm
from mmvisionllama.models.rotary_table import of_blocks
from mmvisionllama.models.visionllama import VisionLLaMA
from mmvisionllama.registry import MODELS


def count_kept(num_patches: int, mask_ratio: float) -> int:
    """Give the number of patches that masking leaves of an image, the nearest whole one.

    Raises:
        ValueError: if it hides none or keeps none.
    """
    # Not the floor, which the rounding of 1 - 0.9 takes to 9 of 100 and to 0 of 10.
    kept = round(num_patches * (1 - mask_ratio)) if 0 < mask_ratio < 1 else 0
    if not 0 < kept < num_patches:
        raise ArgumentError(
            f"mask_ratio must be in (0, 1), hide and keep a patch: {mask_ratio} of {num_patches} keeps {kept}"
        )
    return kept


@MODELS.register_module()
class MAEVisionLLaMA(VisionLLaMA):
    """A plain backbone whose blocks see a random share of the patches, each at its own rotary position.

    It takes the place of mmpretrain's ``MAEViT``: decoder, head and loss are the host's. The decoder expects
    a class token first; as in the release, a learned one that has attended to nothing joins after the blocks.
    The weights of patches and blocks have the names of :class:`VisionLLaMA`, which loads them to fine-tune;
    ``norm`` and ``cls_token`` serve pre-training alone.

    Args:
        mask_ratio: Share of the patches that is hidden, in (0, 1).
        kwargs: See :class:`VisionLLaMA`.

    Raises:
        ValueError: if no token is kept, or for an option that needs the whole map (windows, PEG).
    """

    default_init = (dict(type="Xavier", layer="Linear", distribution="uniform"),)

    @checked
    def __init__(
        self,
        arch: str | dict = "base",
        *,
        mask_ratio: Annotated[float, Within("(0, 1)")] = 0.75,
        norm_cfg: Component = dict(type="LN", eps=1e-6),  # noqa: B006  (read only)
        layer_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            arch,
            norm_cfg=norm_cfg,
            layer_scale=layer_scale,
            out_type="raw",
            out_norm="none",
            with_cls_token=False,
            **kwargs,
        )
        self.num_patches = self.train_hw[0] * self.train_hw[1]
        self.mask_ratio, self.num_kept = mask_ratio, count_kept(self.num_patches, mask_ratio)
        if self.window or (self.pos_embed is not None and self.pos_embed.after_first_block):
            raise ArgumentError("windows and PEG need every patch, a masked encoder sees only some")
        self.norm = build_norm(norm_cfg, self.embed_dims)
        self.cls_token = nn.Parameter(torch.empty(1, 1, self.embed_dims))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw class token and patch embedding as MAE does: the latter as the linear layer that it is."""
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        weight = self.patch_embed.projection.weight
        nn.init.xavier_uniform_(weight.detach().view(len(weight), -1))

    def forward(self, img: Tensor, mask: bool | None = True) -> tuple[Tensor, ...]:
        """Encode what a random mask leaves of each image; without ``mask``, act as :class:`VisionLLaMA`.

        Returns:
            Tokens (B, 1 + kept, D) with the class token first, the mask (B, N) with 1 where a patch is
            hidden, and for each patch its index in the shuffled order (B, N).

        Raises:
            ValueError: if the images have another grid than ``img_size``: the decoder knows only that.
        """
        if not mask:
            return super().forward(img)
        x, hw = self._embed(img)
        if hw != self.train_hw:
            raise ArgumentError(
                f"the masked encoder was built for {self.train_hw} patches (img_size {self.img_hw}), got {hw}"
            )
        hidden_BN, restore_BN, kept_BM = self.draw_mask(x)
        x = x.gather(1, kept_BM[..., None].expand(-1, -1, x.shape[-1]))
        tables = None
        if self.rope is not None:
            position_BM2 = grid_positions(hw, img.device)[kept_BM]
            tables = self.rope.tables(position_BM2, hw=hw, scale=self.rope.scale(hw, self.train_hw))
            tables = self._with_extra_rows(tables)
        if self.registers is not None:
            x = self.registers(x)
        if self.pre_norm is not None:
            x = self.pre_norm(x).to(x.dtype)
        for block, own in zip(self.blocks, of_blocks(tables, len(self.blocks)), strict=True):
            x = self._run(block, x, hw, own)
        x = x[:, self.extra_tokens :]
        x = torch.cat((self.cls_token.to(x.dtype).expand(x.shape[0], -1, -1), x), dim=1)
        return self.norm(x), hidden_BN, restore_BN

    def _unused(self) -> list[nn.Module]:
        return []  # masked, it runs all blocks

    def draw_mask(self, x_BND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shuffle the patches of each image and keep the first ones (MAE, Sec. 3).

        Args:
            x_BND: Patches, of which the number, and the device, are asked.
        Returns: The mask (B, N), 1 where a patch is hidden; each one's place in the order; the kept ones.
        """
        order_BN = torch.rand(x_BND.shape[:2], device=x_BND.device).argsort(dim=1)
        restore_BN = order_BN.argsort(dim=1)
        return (restore_BN >= self.num_kept).float(), restore_BN, order_BN[:, : self.num_kept]
