"""Models whose training steps are measured on a GPU, and the peers beside each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmvisionllama.benchmark.model_specs import parse_model
from mmvisionllama.benchmark.worker import Setting, build_spec, forward_backbone, forward_detector

Loss = Callable[[], Tensor]


@dataclass(frozen=True)
class Contestant:
    """One way to make a model of a size.

    Args:
        build: Makes it on the CPU.
        loss: Of the model and a setting, gives what computes the loss of random data.
        compiled: Gives the part of the model that is compiled.
    """

    name: str
    build: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Setting], Loss]
    compiled: Callable[[nn.Module], nn.Module] = lambda model: model


@dataclass(frozen=True)
class Subject:
    """Ours and its peers.

    Args:
        contestants: Ours first.
        size: Image side in pixels, or of the latents.
    """

    name: str
    contestants: tuple[Contestant, ...]
    size: int
    batch: int


def subjects(scale: str) -> list[Subject]:
    """Give the subjects, most important first: ``full`` for a GPU of 80 GB or more, ``small`` for a test."""
    return _small() if scale == "small" else _full()


def _full() -> list[Subject]:
    plain, pyramid = partial(_plain, "vit_{}_patch16_224"), _pyramid
    return [
        plain("small", 224, 256),
        pyramid("small", "swin_tiny_patch4_window7_224", 256),
        _dit("DiT-B/4", dict(arch="base", patch_size=4), 256),
        plain("base", 224, 256),
        _vitdet("configs/det/visionllama_vitdet_coco.py", "configs/det/vit_vitdet_coco_100e.py", 1024, 8),
        _dit("SiT-XL/2", dict(arch="xlarge", patch_size=2), 64),
        plain("large", 224, 128),
        pyramid("base", "swin_base_patch4_window7_224", 128),
        plain("base", 512, 64),
        pyramid("large", "swin_large_patch4_window7_224", 96),
        plain("small", 512, 64),
        plain("large", 512, 32),
    ]


def _small() -> list[Subject]:
    arch = dict(embed_dims=32, num_layers=2, num_heads=2)
    toy = "configs/toy/visionllama_tiny_vitdet_digitscenes.py"
    return [
        _plain("vit_{}_patch16_224", "tiny", 32, 4),
        _pyramid("small", "swin_tiny_patch4_window7_224", 1, size=64),
        _dit("DiT", dict(arch=arch, patch_size=4, input_size=8), 4),
        _vitdet(toy, f"{toy} model.backbone.with_cp=True", 64, 2),
    ]


def _plain(peer: str, arch: str, size: int, batch: int) -> Subject:
    ours = f"mmvisionllama.VisionLLaMA(arch='{arch}', img_size={size}, out_type='avg_featmap')"
    theirs = peer.format(arch)
    contestants = (
        _backbone("VisionLLaMA", ours),
        _timm(f"timm {theirs}", theirs, img_size=size, global_pool="avg"),
    )
    return Subject(f"plain {arch}, {size} px", contestants, size, batch)


def _pyramid(arch: str, swin: str, batch: int, *, size: int = 224) -> Subject:
    contestants = (
        _backbone("PyramidVisionLLaMA", f"mmvisionllama.PyramidVisionLLaMA(arch='{arch}')"),
        _timm(f"timm {swin}", swin, img_size=size),
        _backbone(f"Twins-SVT {arch}", f"mmpretrain.SVT(arch='{arch}')"),
    )
    return Subject(f"pyramid {arch}, {size} px", contestants, size, batch)


def _backbone(name: str, text: str) -> Contestant:
    return Contestant(name, lambda: build_spec(parse_model(text), "cpu"), _of_backbone)


def _timm(name: str, model: str, **options: Any) -> Contestant:
    def build() -> nn.Module:
        import timm

        return timm.create_model(model, num_classes=0, **options)

    return Contestant(name, build, _of_backbone)


def _of_backbone(model: nn.Module, setting: Setting) -> Loss:
    forward = forward_backbone(model, setting)
    return lambda: sum(forward())


def _vitdet(ours: str, theirs: str, size: int, batch: int) -> Subject:
    contestants = [
        Contestant(name, partial(_detector, text, size), forward_detector_loss, lambda model: model.backbone)
        for name, text in (("VisionLLaMA", ours), ("ViT", theirs))
    ]
    return Subject(f"ViTDet, {size} px", tuple(contestants), size, batch)


def _detector(text: str, size: int) -> nn.Module:
    return build_spec(parse_model(text, whole=True), "cpu")


def forward_detector_loss(model: nn.Module, setting: Setting) -> Loss:
    """Compute the sum of a detector's losses of random objects."""
    return forward_detector(model, setting)


def _dit(name: str, sizes: dict[str, Any], batch: int) -> Subject:
    """Train networks of latents: of DiT by its noise, of SiT by its velocity."""
    from mmvisionllama.benchmark.sampling_speed import same_size_transformer
    from mmvisionllama.generation.network import DiT

    side = sizes.get("input_size", 32)
    contestants = (
        Contestant("DiT-LLaMA", partial(DiT, **sizes), partial(_of_network, False)),
        Contestant("diffusers", partial(same_size_transformer, sizes), partial(_of_network, True)),
    )
    return Subject(f"{name}, {side} x {side} latents", contestants, side, batch)


def _of_network(theirs: bool, model: nn.Module, setting: Setting) -> Loss:
    count, device = setting.batch, setting.device
    x, target = torch.randn(2, count, 4, *setting.size, device=device)
    time_B = torch.randint(1000, (count,), device=device)
    label_B = torch.randint(1000, (count,), device=device)

    def loss() -> Tensor:
        output = model(x, time_B, label_B)
        output = output.sample if theirs else output
        return (output[:, :4].float() - target).square().mean()

    return loss
