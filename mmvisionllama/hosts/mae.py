"""mmpretrain's MAE with a predict mode, for validation on held-out images."""

from typing import Any

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models import MAE as HostMAE
from torch import Tensor

from mmvisionllama.arguments import Component, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.backbone import CompleteInit
from mmvisionllama.models.grids import Grid
from mmvisionllama.models.mae import count_kept
from mmvisionllama.registry import MODELS


@MODELS.register_module()
class MAE(CompleteInit, HostMAE):
    """Reconstruct held-out images too, so that a pre-training can be watched.

    Everything else is the host's. Evaluations hide the same patches each time, whatever was drawn before.

    Args:
        init_cfg: None: every linear layer of encoder and decoder by Xavier's rule, as MAE does.
        kwargs: See mmpretrain's MAE.
    Raises:
        ValueError: if masking keeps no patch, or encoder, decoder and head are of different sizes.
    """

    @checked
    def __init__(
        self, backbone: Component, *, init_cfg: dict | list[dict] | None = None, **kwargs: Any
    ) -> None:
        xavier = dict(type="Xavier", layer="Linear", distribution="uniform")
        super().__init__(backbone, init_cfg=init_cfg or xavier, **kwargs)
        encoder, decoder = self.backbone, self.neck
        count_kept(encoder.num_patches, encoder.mask_ratio)
        patch = encoder.patch_embed.projection
        values = patch.weight[0].numel()
        for name, given, needed in (
            ("neck.num_patches", decoder.num_patches, encoder.num_patches),
            ("neck.embed_dim", decoder.decoder_embed.in_features, encoder.embed_dims),
            ("neck.patch_size ** 2 x neck.in_chans", decoder.decoder_pred.out_features, values),
            ("head.patch_size", self.head.patch_size, patch.kernel_size[0]),
        ):
            if given != needed:
                raise ArgumentError(f"{name} is {given}, the encoder has {needed}")

    @property
    def only_hw(self) -> Grid:
        """The one grid of patches that the decoder knows."""
        grid = getattr(self.backbone, "train_hw", None)  # mmpretrain's MAEViT has patch_resolution
        return grid or tuple(self.backbone.patch_resolution)

    def forward(
        self, inputs: Tensor, data_samples: list[BaseDataElement] | None = None, mode: str = "tensor"
    ) -> Tensor | tuple | dict | list:
        """As the host's, and ``predict`` for ``mode="predict"``."""
        if mode == "predict":
            return self.predict(inputs, data_samples)
        return super().forward(inputs, data_samples, mode)

    @torch.no_grad()
    def predict(
        self, inputs: Tensor, data_samples: list[BaseDataElement] | None = None
    ) -> list[BaseDataElement]:
        """Add to each sample what was hidden of its image, what the model puts there, and the loss.

        Returns:
            Samples with ``loss`` (a float), and as uint8 (3, img_h, img_w) in the order of the model's input:
            ``original``, ``masked`` (hidden patches grey) and ``reconstruction`` (hidden patches predicted).
        """
        devices = [inputs.device] if inputs.is_cuda else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)
            latent, hidden_BN, restore_BN = self.backbone(inputs)
        pred_BNE = self.neck(latent, restore_BN).float()
        error_BN = (pred_BNE - self.head.construct_target(inputs)).square().mean(dim=-1)
        loss_B = (error_BN * hidden_BN).sum(dim=1) / hidden_BN.sum(dim=1)

        patch_BNE = self.head.patchify(inputs)
        if self.head.norm_pix:
            mean, var = patch_BNE.mean(-1, keepdim=True), patch_BNE.var(-1, keepdim=True)
            pred_BNE = pred_BNE * (var + 1e-6).sqrt() + mean
        visible = 1 - hidden_BN[..., None]
        pictures = {
            "original": patch_BNE,
            "masked": patch_BNE * visible,  # 0 is the mean colour
            "reconstruction": patch_BNE * visible + pred_BNE * (1 - visible),
        }
        samples = data_samples or [BaseDataElement() for _ in inputs]
        for name, patches in pictures.items():
            for sample, picture in zip(samples, self._pixels(patches), strict=True):
                sample.set_field(picture, name)
        for sample, loss in zip(samples, loss_B.tolist(), strict=True):
            sample.set_field(loss, "loss")
        return samples

    def _pixels(self, patch_BNE: Tensor) -> Tensor:
        mean, std = self.data_preprocessor.mean, self.data_preprocessor.std
        img = self.head.unpatchify(patch_BNE) * std + mean
        return img.round().clamp(0, 255).byte()
