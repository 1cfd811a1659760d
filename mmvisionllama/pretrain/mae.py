"""mmpretrain's MAE, which can also be evaluated."""

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models import MAE as HostMAE
from torch import Tensor

from mmvisionllama.registry import MODELS


@MODELS.register_module()
class MAE(HostMAE):
    """Reconstruct held-out images too, so that a pre-training can be watched.

    Everything else is the host's. Evaluations hide the same patches each time, whatever was drawn before.
    """

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
