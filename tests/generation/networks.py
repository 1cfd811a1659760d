"""Small networks and models for the tests of generation."""

from typing import Any

import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvisionllama.generation import ClassConditionalGenerator, DiT

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2)
SMALL = dict(arch=ARCH, patch_size=2, input_size=8, in_channels=1, num_classes=3)
DIFFUSION = dict(
    objective=dict(type="GaussianDiffusion"), sampler=dict(type="DDIMSampler", steps=4, eta=1.0, clip=True)
)
FLOW = dict(objective=dict(type="Interpolant"), sampler=dict(type="SDESampler", steps=4))
PIXELS = dict(type="mmpretrain.ClsDataPreprocessor", mean=[127.5], std=[127.5])


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter a random value: at first, gates and the last layer are 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            std = min(0.2, parameter.shape[-1] ** -0.5) if parameter.ndim > 1 else 0.2
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
    return module


def small_network(**options: Any) -> DiT:
    return randomised(DiT(**SMALL | options)).eval()


def small_generator(parts: dict, **options: Any) -> ClassConditionalGenerator:
    network = dict(type="DiT", **SMALL) | options.pop("network", {})
    model = ClassConditionalGenerator(network, **parts | options, data_preprocessor=PIXELS)
    return randomised(model).eval()


def batch(count: int = 4, seed: int = 0) -> dict[str, Any]:
    """Give noisy 8-bit images, lighter by class, and their samples, as mmpretrain's data sets do."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 40, (count, 1, 8, 8), generator=generator)
    inputs = [(noise[i] + 100 * (i % 3)).byte() for i in range(count)]
    samples = [DataSample(metainfo=dict(sample_idx=i)).set_gt_label(i % 3) for i in range(count)]
    return dict(inputs=inputs, data_samples=samples)


def noisy(*hw: int, count: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Give inputs of the small network: images, times, labels."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 1, *(hw or (8, 8)), generator=generator)
    return x, torch.linspace(0.1, 0.9, count), torch.arange(count) % 3
