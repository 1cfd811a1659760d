"""Between images and the latents that a network is trained on."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        self._sha256: str | None = None
        folder = Path(path)
        is_folder = path.startswith((".", "/")) or folder.exists()
        if is_folder and not (folder / "config.json").is_file():
            raise ValueError(f"autoencoder.path: {folder.absolute()} has no config.json of an autoencoder")

    def __deepcopy__(self, memo: dict) -> "KLAutoencoder":
        return self  # it never changes

    @torch.no_grad()
    def encode(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """Give mean and standard deviation of the latents of images in [-1, 1], scaled.

        Of a cache's latents, (B, 2, C, H, W), these are the two.
        """
        # Contiguous, because random numbers like a tensor are drawn in the order of its memory.
        if img.ndim == 5:
            return img[:, 0].contiguous(), img[:, 1].contiguous()
        model = self._loaded(img.device)
        with torch.autocast(img.device.type, enabled=False):
            latent = model.encode(img.float()).latent_dist
        return (latent.mean * self.scale).contiguous(), (latent.std * self.scale).contiguous()

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

    def identity(self) -> dict[str, Any]:
        """Tell this autoencoder from others: SHA-256 of its config and weights, and the scale; for JSON."""
        if self._sha256 is None:
            model = self._loaded()
            config = {key: value for key, value in model.config.items() if not key.startswith("_")}
            digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
            for name, weight in sorted(model.state_dict().items()):
                digest.update(name.encode())
                digest.update(weight.cpu().contiguous().view(-1).view(torch.uint8).numpy())
            self._sha256 = digest.hexdigest()
        return {"sha256": self._sha256, "scale": self.scale}

    def _loaded(self, device: torch.device | None = None) -> "AutoencoderKL":
        if self._model is None:
            from diffusers import AutoencoderKL

            try:
                # It draws values before it reads them: a training that goes on must not notice.
                with torch.random.fork_rng(devices=[]):
                    model = AutoencoderKL.from_pretrained(self.path, low_cpu_mem_usage=False)
            except OSError as error:
                raise ValueError(
                    f"autoencoder.path: {self.path!r} is no folder with an AutoencoderKL of diffusers, and "
                    f"the hub gave none of that name: {error}"
                ) from error
            self._model = model.eval().requires_grad_(False)
        return self._model if device is None else self._model.to(device)
