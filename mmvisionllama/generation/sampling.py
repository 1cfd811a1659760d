"""Many samples of a trained generator, by any number of processes: the same ones, whoever draws them."""

import ast
import inspect
import math
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from mmengine.config import Config
from mmengine.registry import DATASETS
from numpy.typing import NDArray

from mmvisionllama.engine.precision import has_bfloat16
from mmvisionllama.engine.preflight import build_model
from mmvisionllama.evaluation import SampleInfo, dataset_name
from mmvisionllama.generation.describing import described, in_words
from mmvisionllama.generation.generator import ClassConditionalGenerator
from mmvisionllama.generation.guidance import Guidance
from mmvisionllama.generation.samplers import Sampler
from mmvisionllama.generation.weights import load_weights
from mmvisionllama.names import did_you_mean
from mmvisionllama.registry import MODELS, build_component

_MOST = 1_000_000  # names of six digits sort as their numbers do


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What samples to draw, and how.

    Attributes:
        labels: Class of every sample.
        identity: What decides them beside their number, for JSON.
        remark: What weights they come from.
        class_names: As far as they are known without data.
    """

    model: ClassConditionalGenerator
    sampler: Sampler
    guidance: Guidance
    labels: Sequence[int]
    seed: int
    amp: bool
    identity: Mapping[str, Any]
    info: SampleInfo
    remark: str
    class_names: Sequence[str]

    def images(self, indices: Sequence[int], device: torch.device) -> NDArray:
        """Draw the samples of these indices, uint8 (B, img_h, img_w, channels)."""
        label_B = torch.tensor([self.labels[i] for i in indices], device=device)
        options = dict(seed=self.seed, sampler=self.sampler, guidance=self.guidance)
        with _autocast(device) if self.amp else nullcontext():
            img_BCHW = self.model.sample(label_B, indices, **options)
        return rearrange(img_BCHW, "B C H W -> B H W C").cpu().numpy()

    @property
    def how(self) -> str:
        """Say in words how they are drawn."""
        steps = "" if self.info.steps is None else f", {self.info.steps} steps"
        return f"{self.info.sampler}{steps}, guidance {self.guidance.scale:g}, seed {self.seed}"


def prepare_sampling(cfg: Config, args: Namespace) -> Sampling:
    """Build the model, load its weights and follow the options of ``tools/sample.py``.

    Args:
        args: checkpoint, classes, num, batch_size, sampler, steps, cfg_scale, seed, raw, amp.

    Raises:
        ConfigError: if the model cannot be built.
        CheckpointError: if the checkpoint does not suit it.
        ValueError: if an option cannot be followed.
    """
    model = build_model(cfg)
    if not isinstance(model, ClassConditionalGenerator):
        raise ValueError(f"{cfg.filename} is no generator: its model is {cfg.model.type}")
    classes = _classes(args.classes, model.network.num_classes)
    if not 1 <= args.num <= _MOST:
        raise ValueError(f"--num must be in 1 .. {_MOST:,}, got {args.num}")
    if args.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {args.batch_size}")
    sampler_cfg = sampler_config(cfg.model.sampler, args.sampler, args.steps)
    sampler = build_component(sampler_cfg)
    sampler.check(model.objective)
    guidance = _guidance(model, args.cfg_scale)
    seed = model.seed if args.seed is None else args.seed
    if seed < 0:
        raise ValueError(f"--seed must not be negative, got {seed}")
    loaded = load_weights(model, cfg.model, str(args.checkpoint), raw=args.raw)
    sampler_facts = described(sampler_cfg)
    identity = dict(
        checkpoint=loaded.sha256,
        weights=loaded.kind,
        network=described(cfg.model.network),
        objective=described(cfg.model.objective),
        autoencoder=model.autoencoder and model.autoencoder.identity(),
        sampler=sampler_facts,
        guidance=dict(scale=guidance.scale, channels=guidance.channels),
        classes=classes,
        seed=seed,
        amp=args.amp,
    )
    info = SampleInfo(
        dataset=dataset_name(_images_of(cfg)),
        config=cfg.filename,
        checkpoint=str(args.checkpoint),
        step=loaded.step,
        weights=loaded.kind,
        sampler=in_words(sampler_cfg, leave_out=("steps",)),
        steps=None if sampler_facts.get("method") == "dopri5" else sampler_facts["steps"],
        guidance_scale=guidance.scale,
        guidance_channels=guidance.channels,
        seed=seed,
        count=args.num,
    )
    return Sampling(
        model=model.eval().requires_grad_(False),
        sampler=sampler,
        guidance=guidance,
        labels=[classes[i % len(classes)] for i in range(args.num)],
        seed=seed,
        amp=args.amp,
        identity=identity,
        info=info,
        remark=loaded.remark,
        class_names=_class_names(_images_of(cfg)),
    )


def sampler_config(
    configured: Mapping[str, Any], given: Sequence[str] | None, steps: int | None
) -> dict[str, Any]:
    """Give the config of a sampler from the options of a command.

    Args:
        configured: The config's own, which options of the same type change.
        given: A type, ``DDIMSampler`` or ``ddim``, and ``KEY=VALUE``; None: the configured one.

    Raises:
        ValueError: for an unknown type or option, or steps where the sampler chooses them.
    """
    kinds = {cls.__name__: cls for cls in _subclasses(Sampler)}
    sampler = {**configured, "type": configured["type"].rpartition(".")[2]}
    if given:
        names = {name.lower(): name for name in kinds}
        names |= {name.removesuffix("sampler"): kinds[full].__name__ for name, full in names.items()}
        kind = names.get(given[0].lower())
        if kind is None:
            hint = did_you_mean(given[0].lower(), names)
            raise ValueError(f"--sampler {given[0]}: there is none.{hint} Known are {', '.join(kinds)}")
        if kind != sampler["type"]:
            # Whether data lie in [-1, 1] is no matter of the sampler.
            kept = {"clip"} & set(sampler) & set(inspect.signature(kinds[kind]).parameters)
            sampler = {"type": kind, **{key: sampler[key] for key in kept}}
        sampler |= _options(given[1:])
    if steps is not None:
        if described(sampler).get("method") == "dopri5":
            raise ValueError(
                f"--steps {steps}: dopri5 chooses its own steps. Leave it out, or choose a method of equal "
                "steps, e.g. --sampler ode method=heun2"
            )
        sampler["steps"] = steps
    return sampler


def batches(missing: Collection[int], count: int, size: int) -> list[range]:
    """Give the batches that hold missing samples.

    They always begin at the same indices, so that a sample meets the same neighbours, and comes out the same
    to the last bit, whatever was drawn before a kill.
    """
    starts = sorted({index // size * size for index in missing})
    return [range(start, min(start + size, count)) for start in starts]


def draw(
    sampling: Sampling,
    work: Sequence[range],
    missing: Collection[int],
    device: torch.device,
    write: Callable[[int, NDArray, int], Any],
) -> Iterator[int]:
    """Draw batches and hand over what was missing of each; yield how many samples that were."""
    sampling.model.to(device)
    wanted = set(missing)
    for batch in work:
        images = sampling.images(batch, device)
        new = [(i, image) for i, image in zip(batch, images, strict=True) if i in wanted]
        for index, image in new:
            write(index, image, sampling.labels[index])
        yield len(new)


def _classes(given: Sequence[int] | None, count: int) -> list[int]:
    if wrong := [x for x in given or () if not 0 <= x < count]:
        raise ValueError(f"--classes: the network knows 0 .. {count - 1}, got {', '.join(map(str, wrong))}")
    return list(range(count)) if given is None else list(given)


def _guidance(model: ClassConditionalGenerator, scale: float | None) -> Guidance:
    if scale is None:
        return model.guidance
    if not math.isfinite(scale) or scale < 0:
        raise ValueError(f"--cfg-scale must be a number of at least 0, got {scale:g}")
    guidance = Guidance(scale, channels=model.guidance.channels)
    try:
        guidance.check(model.network)
    except ValueError as error:
        raise ValueError(f"--cfg-scale {scale:g}: {error}") from error
    return guidance


def _options(pairs: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--sampler: after the type come options KEY=VALUE, got {pair!r}")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):  # a word
            found[key] = value
    return found


def _images_of(cfg: Config) -> Mapping[str, Any]:
    """Give the config of the data set of images: trainings may read latents of theirs instead."""
    loader = cfg.get("val_dataloader") or cfg.get("train_dataloader")
    return loader.dataset


def _class_names(dataset: Mapping[str, Any]) -> Sequence[str]:
    names = (dataset.get("metainfo") or {}).get("classes")
    return names or getattr(DATASETS.get(dataset["type"]), "METAINFO", {}).get("classes") or ()


def _subclasses(cls: type) -> list[type]:
    MODELS.import_from_location()
    return [x for x in MODELS.module_dict.values() if inspect.isclass(x) and issubclass(x, cls)]


def _autocast(device: torch.device) -> AbstractContextManager:
    return torch.autocast(device.type, dtype=torch.bfloat16 if has_bfloat16() else torch.float16)
