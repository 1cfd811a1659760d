"""Frozen KL autoencoder of diffusers: images to latents and back."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmvisionllama.arguments import PositiveNumber, checked, takes
from mmvisionllama.errors import ArgumentError
from mmvisionllama.registry import MODELS

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


@MODELS.register_module()
class KLAutoencoder:
    """An ``AutoencoderKL`` of diffusers, frozen.

    It is loaded when it is first used, and is no part of the model around it: neither checkpoints nor moving
    averages hold it. Where its config has a ``shift_factor``, or a mean and deviation of every channel
    (``latents_mean``, ``latents_std``), latents are normalised by them too, as in diffusers' pipelines.

    Args:
        path: A folder that ``save_pretrained`` wrote, or a name on the Hugging Face hub.
        scale: Factor on the latents, so that their deviation is about 1; None: what the autoencoder says of
            itself, 0.18215 for Stable Diffusion's.

    Raises:
        ValueError: if ``path`` is a folder without an autoencoder, or there is none of this name.
    """

    @checked
    def __init__(self, path: str, *, scale: PositiveNumber | None = None) -> None:
        self.path, self._scale = path, scale
        self._model: AutoencoderKL | None = None
        self._sha256: str | None = None
        folder = Path(path)
        is_folder = path.startswith((".", "/")) or folder.exists()
        if is_folder and not (folder / "config.json").is_file():
            raise ArgumentError(f"autoencoder.path: {folder.absolute()} has no config.json of an autoencoder")

    def __deepcopy__(self, memo: dict) -> "KLAutoencoder":
        return self  # it never changes

    @torch.no_grad()
    def encode(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """Give mean and standard deviation of the latents of images in [-1, 1], scaled.

        Of a cache's latents, (B, 2, C, H, W), these are the two.
        """
        # Contiguous, because `randn_like` draws in the order of a tensor's memory.
        if img.ndim == 5:
            return img[:, 0].contiguous(), img[:, 1].contiguous()
        model = self._loaded(img.device)
        with torch.autocast(img.device.type, enabled=False):
            latent = model.encode(img.float()).latent_dist
        shift, factor = self._normalisation(img.device)
        return ((latent.mean - shift) * factor).contiguous(), (latent.std * factor).contiguous()

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Give the images, about in [-1, 1], of scaled latents."""
        model = self._loaded(latent.device)
        with torch.autocast(latent.device.type, enabled=False):
            shift, factor = self._normalisation(latent.device)
            return model.decode(latent.float() / factor + shift).sample

    @property
    def scale(self) -> float:
        """Factor between the autoencoder's latents and the network's."""
        return self._loaded().config.scaling_factor if self._scale is None else self._scale

    @property
    def statistics(self) -> dict[str, list[float]]:
        """What is taken off each channel of the latents (``mean``) and what they are divided by (``std``).

        Empty for an autoencoder that only has a scale, as Stable Diffusion's.

        Raises:
            ArgumentError: if its config contradicts itself.
        """
        config = self._loaded().config
        shift, mean, std = (config.get(name) for name in ("shift_factor", "latents_mean", "latents_std"))
        given = f"shift_factor={shift}, latents_mean={mean} and latents_std={std}"
        channels = config.latent_channels
        if shift and mean is None and std is None:
            shift, mean, std = None, [shift] * channels, [1.0] * channels
        if not shift and mean is None and std is None:
            return {}
        each = tuple[(float,) * channels]
        if shift or not takes(each, mean) or not takes(each, std) or min(std) <= 0:
            raise ArgumentError(
                f"autoencoder.path: the config in {self.path} has {given}; mean and positive deviation of "
                f"each of its {channels} channels go together, and without a shift_factor"
            )
        return {"mean": [float(x) for x in mean], "std": [float(x) for x in std]}

    def identity(self) -> dict[str, Any]:
        """Tell this autoencoder from others, for JSON: SHA-256 of config and weights, scale, statistics."""
        if self._sha256 is None:
            model = self._loaded()
            config = {key: value for key, value in model.config.items() if not key.startswith("_")}
            digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
            for name, weight in sorted(model.state_dict().items()):
                digest.update(name.encode())
                digest.update(weight.cpu().contiguous().view(-1).view(torch.uint8).numpy())
            self._sha256 = digest.hexdigest()
        return {"sha256": self._sha256, "scale": self.scale, **self.statistics}

    def _normalisation(self, device: torch.device) -> tuple[Tensor | float, Tensor | float]:
        """Give what is taken off the autoencoder's latents, and the factor on the rest."""
        if not (statistics := self.statistics):
            return 0.0, self.scale
        mean, std = (torch.tensor(statistics[x], device=device)[:, None, None] for x in ("mean", "std"))
        return mean, self.scale / std

    def _loaded(self, device: torch.device | None = None) -> "AutoencoderKL":
        if self._model is None:
            from diffusers import AutoencoderKL

            try:
                # Building it draws initial values, which must not disturb the random state of a training.
                with torch.random.fork_rng(devices=[]):
                    model = AutoencoderKL.from_pretrained(self.path, low_cpu_mem_usage=False)
            except OSError as error:
                raise ArgumentError(
                    f"autoencoder.path: {self.path!r} is no folder with an AutoencoderKL of diffusers, and "
                    f"the hub gave none of that name: {error}"
                ) from error
            self._model = model.eval().requires_grad_(False)
        return self._model if device is None else self._model.to(device)
