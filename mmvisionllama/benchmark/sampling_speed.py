"""Speed of sampling beside diffusers' pipeline of DiT, of equal size, in turn."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmvisionllama.benchmark.model_specs import read_config
from mmvisionllama.benchmark.worker import quartiles
from mmvisionllama.errors import ConfigError
from mmvisionllama.generation.network import DiT
from mmvisionllama.training.precision import hold_in_autocast_dtype

if TYPE_CHECKING:
    from mmvisionllama.generation.generator import ClassConditionalGenerator

WAYS = ("ours", "ours, compiled", "diffusers", "diffusers, compiled")


@dataclass(frozen=True)
class SamplingSetting:
    """What every way draws.

    Args:
        steps: Of DDIM.
        scale: Of the guidance, at least 1; above it both compute with and without the class in one batch.
        amp: The network in bfloat16; ours by autocast, with a float32 state, theirs with one of bfloat16.
    """

    steps: int
    batch: int
    scale: float = 1.0
    device: str = "cpu"
    amp: bool = False


@dataclass(frozen=True)
class SamplingSpeed:
    """Seconds of every batch of each way, in the order of the rounds."""

    parameters: Mapping[str, int]
    batch: int
    seconds: Mapping[str, list[float]]

    def images_per_second(self, way: str) -> float:
        """Return the rate at the median batch."""
        return self.batch / statistics.median(self.seconds[way])

    def rate_against(self, way: str, other: str) -> tuple[float, float, float]:
        """Return the quartiles over rounds of the rate over the other's in the same round."""
        pairs = zip(self.seconds[way], self.seconds[other], strict=True)
        return quartiles([theirs / ours for ours, theirs in pairs])


def network_of(text: str) -> dict[str, Any]:
    """Read the network of a generator's config file, with options behind it, in one string.

    Raises: ConfigError: if its model is no generator.
    """
    model = read_config(text).model
    if "network" not in model or "sampler" not in model:
        raise ConfigError(f"{text}: its model is no generator, but {model.get('type')}")
    return model["network"].to_dict()


def measure_sampling(
    network: Mapping[str, Any],
    setting: SamplingSetting,
    *,
    rounds: int,
    warmup: int = 1,
    compile: bool = True,
) -> SamplingSpeed:
    """Draw one batch in every way in turn, random weights, from noise to pixels by one small autoencoder.

    Args:
        network: Config of a :class:`DiT` over four latent channels.
        compile: Measure compiled networks, too.

    Raises:
        ConfigError: if diffusers has no network of this size.
    """
    with _drawings(network, setting, compile=compile) as (parameters, drawings):
        seconds: dict[str, list[float]] = {way: [] for way in drawings}
        for turn in range(warmup + rounds):
            for way, draw in drawings.items():
                start = time.perf_counter()
                draw()
                if turn >= warmup:
                    seconds[way].append(time.perf_counter() - start)
    return SamplingSpeed(parameters, setting.batch, seconds)


@contextmanager
def _drawings(
    network: Mapping[str, Any], setting: SamplingSetting, *, compile: bool
) -> Iterator[tuple[dict[str, int], dict[str, Callable[[], Any]]]]:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        sizes = dict(
            block_out_channels=(8,), norm_num_groups=4, latent_channels=network.get("in_channels", 4)
        )
        autoencoder = AutoencoderKL(**sizes, scaling_factor=0.18215).eval()
        autoencoder.save_pretrained(folder)
        model, peer = _generator(network, folder, setting), _filled(same_size_transformer(network))
        parameters = {"ours": _count(model.network), "diffusers": _count(peer)}
        drawings = {}
        for way in WAYS[:: 1 if compile else 2]:
            if way == WAYS[1]:
                model = _generator(network, folder, setting)
                model.network.compile(dynamic=False)
            if way == WAYS[3]:
                peer = _filled(same_size_transformer(network))
                peer.compile(dynamic=False)
            ours = way.startswith("ours")
            drawings[way] = _ours(model, setting) if ours else _theirs(peer, autoencoder, setting)
        yield parameters, drawings


def _ours(model: "ClassConditionalGenerator", setting: SamplingSetting) -> Callable[[], Any]:
    label_B = torch.arange(setting.batch, device=setting.device) % model.network.num_classes

    def draw() -> torch.Tensor:
        precision = torch.autocast(setting.device, torch.bfloat16) if setting.amp else nullcontext()
        with precision:
            return model.sample(label_B, range(setting.batch)).cpu()

    return draw


def _theirs(peer: nn.Module, autoencoder: nn.Module, setting: SamplingSetting) -> Callable[[], Any]:
    from diffusers import DDIMScheduler, DiTPipeline

    pipeline = DiTPipeline(peer, autoencoder, DDIMScheduler(clip_sample=False))
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(setting.device, torch.bfloat16 if setting.amp else torch.float32)
    labels = [i % 1000 for i in range(setting.batch)]
    streams = [torch.Generator(setting.device) for _ in labels]
    options = dict(guidance_scale=setting.scale, num_inference_steps=setting.steps, output_type="pt")
    return lambda: pipeline(labels, generator=streams, **options).images.cpu()


def _generator(
    network: Mapping[str, Any], autoencoder: str, setting: SamplingSetting
) -> "ClassConditionalGenerator":
    from mmvisionllama.generation.generator import ClassConditionalGenerator

    model = ClassConditionalGenerator(
        dict(network),
        dict(type="mmvisionllama.GaussianDiffusion"),
        dict(type="mmvisionllama.DDIMSampler", steps=setting.steps),
        guidance=dict(scale=setting.scale),
        autoencoder=dict(type="mmvisionllama.KLAutoencoder", path=autoencoder),
    )
    _filled(model.network)
    model.eval().to(setting.device)
    if setting.amp:
        hold_in_autocast_dtype(model.network)
    return model


def same_size_transformer(network: Mapping[str, Any]) -> nn.Module:
    """Build diffusers' network of the same width, depth, heads and patches."""
    from diffusers import DiTTransformer2DModel

    with torch.device("meta"):
        ours = DiT(**{key: value for key, value in network.items() if key != "type"})
    height, width = ours.input_hw
    if height != width or ours.num_classes != 1000:
        raise ConfigError(
            f"diffusers' DiT is measured with square inputs and 1,000 classes, got {height} x {width} and "
            f"{ours.num_classes}: set model.network.input_size and model.network.num_classes"
        )
    heads = ours.blocks[0].attn.heads[0]
    peer = DiTTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=ours.embed_dims // heads,
        in_channels=ours.in_channels,
        out_channels=ours.out_channels,
        num_layers=len(ours.blocks),
        patch_size=ours.patch_size,
        sample_size=height,
    )
    return peer.eval()


def _filled(model: nn.Module) -> nn.Module:
    """Give every weight a random value: with gates of 0, a GPU computes faster."""
    for parameter in model.requires_grad_(False).parameters():
        nn.init.normal_(parameter, std=0.02)
    return model


def _count(model: nn.Module) -> int:
    return sum(x.numel() for x in model.parameters())
