"""The generator as a model of mmengine: training loss, sampling, latents; and its preprocessor."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmpretrain.models import ClsDataPreprocessor
from torch import Tensor, nn

from mmvisionllama.arguments import Component, Count, checked
from mmvisionllama.datasets.latents import CachedLatents, read_facts
from mmvisionllama.errors import ArgumentError, SamplingError
from mmvisionllama.generation.autoencoder import KLAutoencoder
from mmvisionllama.generation.component_facts import differences
from mmvisionllama.generation.diffusion import GaussianDiffusion
from mmvisionllama.generation.flow import Interpolant
from mmvisionllama.generation.guidance import Guidance
from mmvisionllama.generation.network import DiT
from mmvisionllama.generation.noise import SampleNoise
from mmvisionllama.generation.samplers import Sampler
from mmvisionllama.registry import MODELS, build_component
from mmvisionllama.suggestions import check_keys, shortened


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

    @checked
    def __init__(
        self,
        network: Component,
        objective: Component,
        sampler: Component,
        *,
        guidance: dict | None = None,
        autoencoder: Component | None = None,
        seed: Count = 0,
        data_preprocessor: Component | nn.Module | None = None,
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
            raise ArgumentError(
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
        raise ArgumentError(f"mode must be 'loss' or 'predict', got {mode!r}")

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

        Raises:
            SamplingError: naming the step at which a number was not finite, and the weights that are not.
        """
        self._check_labels(label_B)
        sampler, guidance = sampler or self.sampler, guidance or self.guidance
        sampler.check(self.objective)
        shape = (self.network.in_channels, *(input_hw or self.network.input_hw))
        draw = SampleNoise(self.seed if seed is None else seed, indices, shape, label_B.device)
        try:
            predict = guidance.bind(self.network, label_B, sampler.times(self.objective))
            x = sampler.sample(self.objective, predict, draw)
        except SamplingError as error:
            raise SamplingError(f"{error}. {_state_of(self.network)}") from error
        if self.autoencoder is None:
            return self.pixels(x)
        img = self.autoencoder.decode(x)
        if not img.isfinite().all():
            raise SamplingError(
                "after the last step, the autoencoder turned finite latents into pixels that are not finite"
            )
        return self.pixels(img)

    def check_data(self, dataset: Mapping[str, Any]) -> None:
        """Refuse cached latents of another autoencoder, scale or size than the model's; images pass.

        Args:
            dataset: Config of the data set of a training.

        Raises:
            ValueError: saying what differs.
        """
        while "dataset" in dataset:
            dataset = dataset["dataset"]
        if not str(dataset["type"]).endswith(CachedLatents.__name__):
            return
        root = dataset["data_root"]
        facts = read_facts(root)
        if self.autoencoder is None:
            raise ArgumentError(f"{root} holds latents, but the model has no autoencoder")
        found = differences(facts["autoencoder"], self.autoencoder.identity(), ("there", "in the model"))
        if found:
            raise ArgumentError(
                f"{root} holds latents of another autoencoder ({facts['source']}): {'; '.join(found)}. Take "
                "that one by model.autoencoder, or encode the images again by tools/cache_latents.sh"
            )
        wanted = [self.network.in_channels, *self.network.input_hw]
        if facts["latent_shape"] != wanted:
            given, needed = (" x ".join(map(str, x)) for x in (facts["latent_shape"], wanted))
            height, width = facts["images"]["size"]
            raise ArgumentError(
                f"{root} holds latents of {given}, of images of {height} x {width} px; the network takes "
                f"{needed}"
            )

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
            raise ArgumentError(
                f"{what} {x.shape[1]} channels, network.in_channels is {self.network.in_channels}"
            )
        return x

    def pixels(self, img: Tensor) -> Tensor:
        """Undo the normalisation of the preprocessor: uint8."""
        mean, std = (getattr(self.data_preprocessor, name, 127.5) for name in ("mean", "std"))
        return (img * std + mean).round().clamp(0, 255).byte()

    def _labels(self, data_samples: Sequence[Any]) -> Tensor:
        label_B = torch.cat([sample.gt_label for sample in data_samples])
        # On a GPU each step would wait for the check; the data check has seen all labels before the run.
        if label_B.device.type == "cpu":
            self._check_labels(label_B)
        return label_B

    def _check_labels(self, label_B: Tensor) -> None:
        least, most = label_B.min().item(), label_B.max().item()
        if least < 0 or most >= self.network.num_classes:
            wrong = least if least < 0 else most
            raise ArgumentError(f"labels must be in 0 .. {self.network.num_classes - 1}, got {wrong}")


def _state_of(network: DiT) -> str:
    """Say which of a network's weights are not finite, if any."""
    bad = [name for name, weight in network.named_parameters() if not weight.isfinite().all()]
    if not bad:
        return "All weights of the network are finite: try float32, other steps or less guidance"
    return (
        f"{len(bad)} of its {len(list(network.parameters()))} weights are not finite ({shortened(bad)}): "
        "take another checkpoint"
    )


@MODELS.register_module()
class GenerationDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's preprocessor, which leaves latents of a cache (floating point) as they are.

    Trainings read latents where validations compare with images.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """See mmpretrain for images; of latents (2, C, H, W) make a float32 batch."""
        if not data["inputs"][0].is_floating_point():
            return super().forward(data, training)
        data = self.cast_data(data)
        return {**data, "inputs": torch.stack(tuple(data["inputs"])).float()}
