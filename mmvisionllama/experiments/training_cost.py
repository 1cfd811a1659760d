"""FLOPs of the paper's trainings and samples, counted on the meta device, and GPU-hours that follow."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmvisionllama.analysis.flops import detector_outputs, flops_of
from mmvisionllama.analysis.networks import meta_model
from mmvisionllama.config import load_config
from mmvisionllama.config.config_files import configs_folder, find_config
from mmvisionllama.errors import ReproductionError
from mmvisionllama.experiments.paper import Evaluation, Row
from mmvisionllama.experiments.reproduction import Profile
from mmvisionllama.files import as_json, write_json

_EPOCH = {"ImageNet": 1_281_167, "CocoDataset": 117_266}  # training images; COCO's with annotations
_DECIDING = ("model", "train_dataloader", "test_dataloader", "train_cfg", "auto_scale_lr")
_BATCH = 2  # the least that batch norm takes


@dataclass(frozen=True)
class TrainingCost:
    """What a training computes; a multiplication with its addition is two FLOPs.

    Attributes:
        step: FLOPs of one image in a step: forward, backward, and its latents where there are any.
        forward: FLOPs of one image through the network alone, forward.
        decoding: FLOPs of turning the latents of one sample into an image; 0 without latents.
        images: All that the training sees.
        settings: Hash of what it was counted for.
    """

    step: float
    forward: float
    decoding: float
    images: int
    settings: str


def gpu_hours(flops: float, tflops: float) -> float:
    """Return the hours of one GPU that sustains this rate, in 10^12 FLOPs a second."""
    return flops / (tflops * 1e12) / 3600


def flops_of_row(row: Row) -> dict[str, float | None]:
    """Give the FLOPs of each training of a row, by name, and of its samples.

    None: not counted, as the solver chooses its steps.
    Raises: ReproductionError: if a training was never counted.
    """
    found: dict[str, float | None] = {}
    for branch in row.branches:
        costs = [counted(config) for config in branch.trainings]
        for config, cost in zip(branch.trainings, costs, strict=True):
            found[Path(config).stem] = cost.step * cost.images
        if branch.evaluation.kind == "samples":
            found[f"samples {branch.name}".rstrip()] = _flops_of_samples(branch.evaluation, costs[-1])
    return found


def hours_of_row(row: Row, tflops: float) -> str:
    """Say how many GPU-hours a row takes, and of what: "127 (visionllama_mae_in1k_800e 110, ...)"."""
    flops = flops_of_row(row)
    known = {name: gpu_hours(x, tflops) for name, x in flops.items() if x is not None}
    parts = ", ".join(f"{name} {_rounded(x)}" for name, x in known.items())
    text = f"{_rounded(sum(known.values()))} ({parts})"
    return (
        text if len(known) == len(flops) else f"{text}, without the samples, whose solver chooses its steps"
    )


def _rounded(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _flops_of_samples(how: Evaluation, cost: TrainingCost) -> float | None:
    if how.steps is None:
        return None
    evaluations = how.steps * (1 if how.guidance == 1 else 2)
    return Profile.samples * (evaluations * cost.forward + cost.decoding)


def counted(config: str) -> TrainingCost:
    """Return what was counted for a training.

    Raises: ReproductionError: if it was never counted.
    """
    if config not in _known():
        raise ReproductionError(f"no FLOPs were counted for {config}: tools/reproduce.sh --count-flops")
    return _known()[config]


def count(configs: Sequence[str]) -> Path:
    """Count the FLOPs of trainings anew, write them where ``counted`` looks, and return this file."""
    costs = {config: asdict(cost_of(config)) for config in configs}
    write_json(_file(), costs)
    _known.cache_clear()
    return _file()


def cost_of(config: str) -> TrainingCost:
    """Count what a training by this config computes for an image, on the meta device.

    A detector sees images of the size of its evaluation, and as many regions as it samples at most.
    """
    cfg = load_config(config)
    model, x = meta_model(cfg).train(), torch.empty(_BATCH, *_image_shape(cfg), device="meta")
    with FlopCounterMode(display=False) as counter:
        outputs = list(_outputs(cfg, model, x))
        forward = counter.get_total_flops()
        torch.autograd.backward(outputs, [torch.empty_like(y) for y in outputs])
    step, encoding, decoding = counter.get_total_flops(), 0, 0
    if cfg.model.get("autoencoder"):
        encoding, decoding = _flops_of_autoencoder(x)
    per_image = [flops / _BATCH for flops in (step + encoding, forward, decoding)]
    return TrainingCost(*per_image, images=_images(cfg), settings=settings_hash(config))


def settings_hash(config: str) -> str:
    """Return the hash of the settings that decide what a training computes."""
    cfg = Config.fromfile(find_config(config))
    deciding = as_json({key: cfg.get(key) for key in _DECIDING})
    return hashlib.sha256(deciding.encode()).hexdigest()[:16]


def _file() -> Path:
    return configs_folder() / "reproduce" / "flops.json"


@cache
def _known() -> dict[str, TrainingCost]:
    return {config: TrainingCost(**facts) for config, facts in json.loads(_file().read_text()).items()}


def _images(cfg: Config) -> int:
    if "max_iters" in cfg.train_cfg:
        return cfg.train_cfg.max_iters * cfg.auto_scale_lr.base_batch_size
    return cfg.train_cfg.max_epochs * _EPOCH[cfg.train_dataloader.dataset.type]


def _image_shape(cfg: Config) -> tuple[int, int, int]:
    model = cfg.model
    if "network" in model:
        return model.network.in_channels, model.network.input_size, model.network.input_size
    if "decode_head" in model:
        return 3, *model.data_preprocessor.size
    if "roi_head" in model:
        divisor = model.data_preprocessor.pad_size_divisor
        scale = next(x.scale for x in cfg.test_dataloader.dataset.pipeline if x.type == "Resize")
        width, height = (-(-side // divisor) * divisor for side in scale)
        return 3, height, width
    pipeline = cfg.train_dataloader.dataset.pipeline
    side = next(x.scale for x in pipeline if x.type.endswith("RandomResizedCrop"))
    return 3, side, side


def _outputs(cfg: Config, model: nn.Module, x: Tensor) -> Iterator[Tensor]:
    """Yield what the losses of a training are computed from."""
    if "network" in cfg.model:
        label_B = torch.zeros(len(x), dtype=torch.long, device=x.device)
        yield model.network(x, torch.zeros(len(x), device=x.device), label_B)
    elif "decode_head" in cfg.model:
        maps = model.extract_feat(x)
        yield from (model.decode_head(maps), model.auxiliary_head(maps))
    elif "roi_head" in cfg.model:
        yield from _outputs_of_detector(model, x)
    elif cfg.model.type == "mmvisionllama.MAE":
        yield model.loss(x, [])["loss"]
    else:
        yield model(x, mode="tensor")


def _outputs_of_detector(model: nn.Module, x: Tensor) -> Iterator[Tensor]:
    sampler = model.train_cfg.rcnn.sampler
    boxes = len(x) * sampler.num
    return detector_outputs(model, x, boxes, int(boxes * sampler.pos_fraction))


def _flops_of_autoencoder(latent: Tensor) -> tuple[int, int]:
    """Return the FLOPs of encoding and decoding by Stable Diffusion's autoencoder, which no config sizes."""
    from diffusers import AutoencoderKL

    widths = (128, 256, 512, 512)
    down, up = (tuple([block] * len(widths)) for block in ("DownEncoderBlock2D", "UpDecoderBlock2D"))
    with torch.device("meta"):
        model = AutoencoderKL(
            down_block_types=down, up_block_types=up, block_out_channels=widths, layers_per_block=2
        )
    sides = [side * 2 ** (len(widths) - 1) for side in latent.shape[2:]]
    image = torch.empty(len(latent), 3, *sides, device="meta")
    return flops_of(lambda: model.encode(image)), flops_of(lambda: model.decode(latent))
