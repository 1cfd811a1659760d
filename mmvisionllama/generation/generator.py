"""A generator of images as a model of mmengine: trained on labelled images, asked for samples of classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvisionllama.generation.autoencoder import KLAutoencoder
from mmvisionllama.generation.diffusion import GaussianDiffusion
from mmvisionllama.generation.flow import Interpolant
from mmvisionllama.generation.guidance import Guidance
from mmvisionllama.generation.latents import require_latents_of
from mmvisionllama.generation.network import DiT
from mmvisionllama.generation.noise import SampleNoise
from mmvisionllama.generation.samplers import Sampler
from mmvisionllama.models.backbone import check_keys
from mmvisionllama.registry import MODELS, build_component


@MODELS.register_module()
class ClassConditionalGenerator(BaseModel):
    """Learn to generate images of classes, in pixels or in the latents of an autoencoder.

    It takes what mmpretrain's data sets give: images, and samples with ``gt_label``.

    Args:
        network: :class:`DiT`.
        objective: What it is trained for: :class:`GaussianDiffusion` or :class:`Interpolant`.
        sampler: What evaluations sample with; it must suit the objective.
        guidance: What evaluations guide with, ``dict(scale=1.5, channels="all")``, see :class:`Guidance`;
            None: nothing.
        autoencoder: :class:`KLAutoencoder`; None: the network sees the pixels.
        seed: Of the samples and of the noise in evaluations.
        data_preprocessor: Must bring images to [-1, 1].

    Raises:
        ValueError: if the parts do not fit together.
    """

    def __init__(
        self,
        network: dict,
        objective: dict,
        sampler: dict,
        *,
        guidance: dict | None = None,
        autoencoder: dict | None = None,
        seed: int = 0,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.network: DiT = build_component(network)
        self.objective: GaussianDiffusion | Interpolant = build_component(objective)
        self.sampler: Sampler = build_component(sampler)
        check_keys("guidance", guidance or {}, ("scale", "channels"))
        self.guidance = Guidance(**guidance or {})
        self.autoencoder: KLAutoencoder | None = autoencoder and build_component(autoencoder)
        self.seed = seed
        needed = self.objective.outputs * self.network.in_channels
        if self.network.out_channels < needed:
            raise ValueError(
                f"the objective needs {needed} output channels, the network has {self.network.out_channels}: "
                "set network.learn_sigma=True, or a variance that is not learned"
            )
        self.sampler.check(self.objective)
        self.guidance.check(self.network)

    def forward(
        self, inputs: Tensor, data_samples: list[BaseDataElement], mode: str = "loss"
    ) -> dict[str, Tensor] | list[BaseDataElement]:
        """Give the losses of images (``mode="loss"``), or samples of their classes (``mode="predict"``)."""
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode must be 'loss' or 'predict', got {mode!r}")

    def loss(self, inputs: Tensor, data_samples: list[BaseDataElement]) -> dict[str, Tensor]:
        """Give every image a random time and noise, and a few no class; each loss is (B,).

        Raises:
            ValueError: if a label is not one of the network's classes.
        """
        x = self.encode(inputs, resample=True)
        label_B = self.network.drop_labels(self._labels(data_samples))
        time_B = self.objective.times(torch.rand(len(x), device=x.device))
        return self.objective.loss(self.network, x, label_B, time_B, torch.randn_like(x))

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list[BaseDataElement]) -> list[BaseDataElement]:
        """Add to each image's sample a generated image of its class, and the loss of the image itself.

        Both are those of ``seed`` and the image's place in the data set, in any batch.

        Returns:
            Samples with ``pred_img``, uint8 (channels, img_h, img_w) in the order of the model's input, and
            ``loss``, a float.
        """
        x, label_B = self.encode(inputs), self._labels(data_samples)
        indices = [sample.sample_idx for sample in data_samples]
        images = self.sample(label_B, indices)
        noise = SampleNoise(self.seed, indices, x.shape[1:], x.device)
        time_B = self.objective.times(noise.uniform())
        losses = self.objective.loss(self.network, x, label_B, time_B, noise())
        for sample, image, loss in zip(data_samples, images, sum(losses.values()).tolist(), strict=True):
            sample.set_field(image, "pred_img")
            sample.set_field(loss, "loss")
        return data_samples

    @torch.no_grad()
    def sample(
        self,
        label_B: Tensor,
        indices: Sequence[int],
        *,
        seed: int | None = None,
        sampler: Sampler | None = None,
        guidance: Guidance | None = None,
        input_hw: tuple[int, int] | None = None,
    ) -> Tensor:
        """Generate one image for each label.

        Args:
            indices: Of the samples among all of ``seed``: they and nothing else decide the noise.
            seed: As all that follows, None: what the model was built with.
            input_hw: Height and width of pixels or latents, if not those of the training.

        Returns:
            uint8 (B, channels, img_h, img_w).
        """
        self._check_labels(label_B)
        sampler, guidance = sampler or self.sampler, guidance or self.guidance
        sampler.check(self.objective)
        shape = (self.network.in_channels, *(input_hw or self.network.input_hw))
        draw = SampleNoise(self.seed if seed is None else seed, indices, shape, label_B.device)
        x = sampler.sample(self.objective, guidance.bind(self.network, label_B), draw)
        return self.pixels(x if self.autoencoder is None else self.autoencoder.decode(x))

    def check_data(self, dataset: Mapping[str, Any]) -> None:
        """Refuse the data set of a training, given as its config, if it holds latents of others.

        Raises:
            ValueError: if it does.
        """
        require_latents_of(self, dataset)

    def encode(self, inputs: Tensor, *, resample: bool = False) -> Tensor:
        """Turn preprocessed images, or cached latents of theirs, into what the network sees.

        Args:
            resample: Draw latents from their distribution, as training does; else take its mean.

        Raises:
            ValueError: if the network takes another number of channels.
        """
        if self.autoencoder is None:
            x = inputs
        else:
            x, deviation = self.autoencoder.encode(inputs)
            x = x + deviation * torch.randn_like(x) if resample else x
        if x.shape[1] != self.network.in_channels:
            what = "the images have" if self.autoencoder is None else "the autoencoder's latents have"
            raise ValueError(
                f"{what} {x.shape[1]} channels, network.in_channels is {self.network.in_channels}"
            )
        return x

    def pixels(self, img: Tensor) -> Tensor:
        """Undo the normalisation of the preprocessor: uint8."""
        mean, std = (getattr(self.data_preprocessor, name, 127.5) for name in ("mean", "std"))
        return (img * std + mean).round().clamp(0, 255).byte()

    def _labels(self, data_samples: Sequence[Any]) -> Tensor:
        label_B = torch.cat([sample.gt_label for sample in data_samples])
        # On a GPU each step would wait for it; the tools hold all labels against the classes before a run.
        if label_B.device.type == "cpu":
            self._check_labels(label_B)
        return label_B

    def _check_labels(self, label_B: Tensor) -> None:
        least, most = label_B.min().item(), label_B.max().item()
        if least < 0 or most >= self.network.num_classes:
            wrong = least if least < 0 else most
            raise ValueError(f"labels must be in 0 .. {self.network.num_classes - 1}, got {wrong}")
