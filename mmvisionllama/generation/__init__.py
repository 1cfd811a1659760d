"""Generating images of classes: DiT and SiT, with LLaMA's block or ViT's."""

from mmvisionllama.generation.autoencoder import KLAutoencoder
from mmvisionllama.generation.diffusion import GaussianDiffusion
from mmvisionllama.generation.flow import GVPPath, Interpolant, LinearPath, VPPath
from mmvisionllama.generation.flow_samplers import ODESampler, SDESampler
from mmvisionllama.generation.generator import ClassConditionalGenerator
from mmvisionllama.generation.guidance import Guidance
from mmvisionllama.generation.network import DiT
from mmvisionllama.generation.noise import SampleNoise
from mmvisionllama.generation.pictures import SamplePicturesHook
from mmvisionllama.generation.preprocessor import GenerationDataPreprocessor
from mmvisionllama.generation.samplers import DDIMSampler, DDPMSampler
from mmvisionllama.generation.validation import DenoisingLoss

__all__ = [
    "ClassConditionalGenerator",
    "DDIMSampler",
    "DDPMSampler",
    "DenoisingLoss",
    "DiT",
    "GVPPath",
    "GaussianDiffusion",
    "GenerationDataPreprocessor",
    "Guidance",
    "Interpolant",
    "KLAutoencoder",
    "LinearPath",
    "ODESampler",
    "SDESampler",
    "SampleNoise",
    "SamplePicturesHook",
    "VPPath",
]
