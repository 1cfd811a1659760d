"""Between images and the latents that a network is trained on."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmvisionllama.registry import MODELS

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


@MODELS.register_module()
class KLAutoencoder:
    """An ``AutoencoderKL`` of diffusers, frozen.

    It is loaded when it is first used, and is no part of the model around it: neither checkpoints nor moving
    averages hold it.

    Args:
        path: A folder that ``save_pretrained`` wrote, or a name on the Hugging Face hub.
        scale: Factor on the latents, so that their deviation is about 1; None: what the autoencoder says of
            itself, 0.18215 for Stable Diffusion's.

    Raises:
        ValueError: if ``path`` is a folder without an autoencoder, or there is none of this name.
    """

    def __init__(self, path: str, *, scale: float | None = None) -> None:
        self.path, self._scale = path, scale
        self._model: AutoencoderKL | None = None
        folder = Path(path)
        is_folder = path.startswith((".", "/")) or folder.exists()
        if is_folder and not (folder / "config.json").is_file():
            raise ValueError(f"autoencoder.path: {folder.absolute()} has no config.json of an autoencoder")

    def __deepcopy__(self, memo: dict) -> "KLAutoencoder":
        return self  # it never changes

    @torch.no_grad()
    def encode(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """Give mean and standard deviation of the latents of images in [-1, 1], scaled."""
        model = self._loaded(img.device)
        with torch.autocast(img.device.type, enabled=False):
            latent = model.encode(img.float()).latent_dist
        return latent.mean * self.scale, latent.std * self.scale

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Give the images, about in [-1, 1], of scaled latents."""
        model = self._loaded(latent.device)
        with torch.autocast(latent.device.type, enabled=False):
            return model.decode(latent.float() / self.scale).sample

    @property
    def scale(self) -> float:
        """Factor between the autoencoder's latents and the network's."""
        return self._loaded().config.scaling_factor if self._scale is None else self._scale

    def _loaded(self, device: torch.device | None = None) -> "AutoencoderKL":
        if self._model is None:
            from diffusers import AutoencoderKL

            try:
                model = AutoencoderKL.from_pretrained(self.path)
            except OSError as error:
                raise ValueError(
                    f"autoencoder.path: {self.path!r} is no folder with an AutoencoderKL of diffusers, and "
                    f"the hub gave none of that name: {error}"
                ) from error
            self._model = model.eval().requires_grad_(False)
        return self._model if device is None else self._model.to(device)
