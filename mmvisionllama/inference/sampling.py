"""Samples of a trained generator, drawn by any number of processes: the same ones, whoever draws them."""

import ast
import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from mmengine.config import Config
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmvisionllama.checks.run import build_model
from mmvisionllama.errors import LaunchError
from mmvisionllama.evaluation import GRID, SampleInfo, dataset_name, open_images, write_npz, write_png
from mmvisionllama.generation.component_facts import short_description, with_defaults
from mmvisionllama.generation.generator import ClassConditionalGenerator
from mmvisionllama.generation.guidance import Guidance
from mmvisionllama.generation.samplers import Sampler
from mmvisionllama.inference.class_names import metainfo_of
from mmvisionllama.inference.generator_weights import load_weights
from mmvisionllama.inference.processes import join, load, of_first, require_all, shown_progress
from mmvisionllama.inference.sample_folder import SampleFolder
from mmvisionllama.registry import MODELS, build_component
from mmvisionllama.reports.figures import write_figure
from mmvisionllama.reports.naming import class_name
from mmvisionllama.reports.sample_pictures import draw_grid
from mmvisionllama.reports.screen import shown
from mmvisionllama.suggestions import did_you_mean
from mmvisionllama.training.distributed import launched_as_main_process
from mmvisionllama.training.precision import autocast_dtype, hold_in_autocast_dtype

_IN_GRID = 100
_NPZ = "samples.npz"  # samples.json describes it as it does the folder
_MOST = 1_000_000  # names of six digits sort as their numbers do


def sample(
    config: str | Path,
    checkpoint: str | Path,
    *,
    classes: Sequence[int] | None = None,
    num: int = 100,
    cfg_scale: float | None = None,
    sampler: Sequence[str] | None = None,
    steps: int | None = None,
    raw: bool = False,
    out: Path | None = None,
    npz: bool = False,
    batch_size: int = 50,
    seed: int | None = None,
    amp: bool = False,
    compile: bool = False,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    verbose: bool = False,
) -> None:
    """Draw samples into a folder; what is there already is not drawn again.

    Args:
        classes: To draw in turns; None: all.
        cfg_scale: Of the guidance, 1 is none; None: the config's, as for ``sampler``, ``steps`` and ``seed``.
        sampler: A type and ``KEY=VALUE`` options, see ``sampler_config``.
        raw: Take the weights as trained, not their moving average.
        out: None: ``samples`` in the work directory.
        npz: Also write them as one file for ADM's evaluator.
        batch_size: Of each process.
        amp: Compute the network in bfloat16; noise, states and coefficients stay float32.
        compile: Compile the network; a smaller last batch is filled up, so that this happens once.
        launcher: What started this process: ``none``, ``pytorch`` (torchrun) or ``slurm`` (srun).
        verbose: Show what libraries say, too.

    Raises: UserError: before anything is written.
    """
    with shown(verbose=verbose, first=launched_as_main_process(launcher)):
        cfg = load(config, cfg_options, launcher)
        sampling = prepare_sampling(
            cfg,
            checkpoint,
            classes=classes,
            num=num,
            cfg_scale=cfg_scale,
            sampler=sampler,
            steps=steps,
            raw=raw,
            batch_size=batch_size,
            seed=seed,
            amp=amp,
            compile=compile,
        )
        folder = SampleFolder(out or Path(cfg.work_dir, "samples"), sampling.labels)
        # The other processes wait for the first one in join, and end with it if it fails.
        if launched_as_main_process(launcher):
            folder.claim(sampling.identity, sampling.info)
            print_log(sampling.remark, "current")
            print_log(f"{folder.path}: {len(folder.names):,} samples, {sampling.how}", "current")
        device = join(cfg)
        missing = of_first(folder.missing)
        work = batches(missing, len(folder.names), batch_size)[get_rank() :: get_world_size()]
        mine = len({index for batch in work for index in batch}.intersection(missing))
        with shown_progress("samples", mine) as advance:
            for count in draw(sampling, work, missing, device, partial(write_png, folder.path)):
                advance(count)
        barrier()
        if is_main_process():
            _finish(folder, sampling, npz=npz)


def _finish(folder: SampleFolder, sampling: "Sampling", *, npz: bool) -> None:
    """Draw a grid, and put all samples into one file if that was asked for."""
    require_all(folder.path, folder.missing(), "samples")
    images = open_images(folder.path)
    first = [
        {"image": image, "title": class_name(sampling.class_names, label)}
        for image, label in zip(next(images.batches(_IN_GRID)), sampling.labels, strict=False)
    ]
    write_figure(draw_grid(first), folder.path / GRID)
    if npz:
        write_npz(folder.path / _NPZ, images)
    print_log(f"Done: {folder.path / (_NPZ if npz else GRID)}", "current")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What samples to draw, and how.

    Attributes:
        labels: Class of every sample.
        filled_to: What a smaller batch is filled up to, 0: nothing.
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
    filled_to: int
    identity: Mapping[str, Any]
    info: SampleInfo
    remark: str
    class_names: Sequence[str]

    def images(self, indices: Sequence[int], device: torch.device) -> NDArray:
        """Draw the samples of these indices, uint8 (B, img_h, img_w, channels)."""
        filled = [*indices, *[indices[-1]] * (self.filled_to - len(indices))]
        label_B = torch.tensor([self.labels[i] for i in filled], device=device)
        options = dict(seed=self.seed, sampler=self.sampler, guidance=self.guidance)
        with _autocast(device) if self.amp else nullcontext():
            img_BCHW = self.model.sample(label_B, filled, **options)[: len(indices)]
        return rearrange(img_BCHW, "B C H W -> B H W C").cpu().numpy()

    @property
    def how(self) -> str:
        """Say in words how they are drawn."""
        steps = "" if self.info.steps is None else f", {self.info.steps} steps"
        return f"{self.info.sampler}{steps}, guidance {self.guidance.scale:g}, seed {self.seed}"


def prepare_sampling(
    cfg: Config,
    checkpoint: str | Path,
    *,
    classes: Sequence[int] | None,
    num: int,
    cfg_scale: float | None,
    sampler: Sequence[str] | None,
    steps: int | None,
    raw: bool,
    batch_size: int,
    seed: int | None,
    amp: bool,
    compile: bool = False,
) -> Sampling:
    """Build the model, load its weights and follow the options of ``sample``.

    Raises:
        ConfigError: if the model cannot be built.
        CheckpointError: if the checkpoint does not suit it.
        LaunchError: if an option cannot be followed.
    """
    model = build_model(cfg)
    if not isinstance(model, ClassConditionalGenerator):
        raise LaunchError(f"{cfg.filename} is no generator: its model is {cfg.model.type}")
    turns = _classes(classes, model.network.num_classes)
    if not 1 <= num <= _MOST:
        raise LaunchError(f"--num must be in 1 .. {_MOST:,}, got {num}")
    if batch_size < 1:
        raise LaunchError(f"--batch-size must be at least 1, got {batch_size}")
    sampler_cfg = sampler_config(cfg.model.sampler, sampler, steps)
    try:
        chosen = build_component(sampler_cfg)
        chosen.check(model.objective)
    except ValueError as error:
        raise LaunchError(str(error)) from error
    guidance = _guidance(model, cfg_scale)
    seed = model.seed if seed is None else seed
    if seed < 0:
        raise LaunchError(f"--seed must not be negative, got {seed}")
    loaded = load_weights(model, cfg, str(checkpoint), raw=raw)
    sampler_facts = with_defaults(sampler_cfg)
    identity = dict(
        checkpoint=loaded.sha256,
        weights=loaded.kind,
        network=with_defaults(cfg.model.network),
        objective=with_defaults(cfg.model.objective),
        autoencoder=model.autoencoder and model.autoencoder.identity(),
        sampler=sampler_facts,
        guidance=dict(scale=guidance.scale, channels=guidance.channels),
        classes=turns,
        seed=seed,
        amp=amp,
    )
    info = SampleInfo(
        dataset=dataset_name(_images_of(cfg)),
        config=cfg.filename,
        checkpoint=str(checkpoint),
        step=loaded.step,
        weights=loaded.kind,
        sampler=short_description(sampler_cfg, leave_out=("steps",)),
        steps=None if sampler_facts.get("method") == "dopri5" else sampler_facts["steps"],
        guidance_scale=guidance.scale,
        guidance_channels=guidance.channels,
        seed=seed,
        count=num,
    )
    model.eval().requires_grad_(False)
    if amp:
        hold_in_autocast_dtype(model.network)
    if compile:
        model.network.compile(dynamic=False)
    return Sampling(
        model=model,
        sampler=chosen,
        guidance=guidance,
        labels=[turns[i % len(turns)] for i in range(num)],
        seed=seed,
        amp=amp,
        filled_to=min(batch_size, num) if compile else 0,
        identity=identity,
        info=info,
        remark=loaded.remark,
        class_names=metainfo_of(_images_of(cfg), cfg.get("default_scope", "mmengine")).get("classes") or (),
    )


def sampler_config(
    configured: Mapping[str, Any], given: Sequence[str] | None, steps: int | None
) -> dict[str, Any]:
    """Give the config of a sampler from the options of a command.

    Args:
        configured: The config's own, which options of the same type change.
        given: A type, ``DDIMSampler`` or ``ddim``, and ``KEY=VALUE``; None: the configured one.

    Raises:
        LaunchError: for an unknown type or option, or steps where the sampler chooses them.
    """
    kinds = {cls.__name__: cls for cls in _subclasses(Sampler)}
    sampler = {**configured, "type": configured["type"].rpartition(".")[2]}
    if given:
        names = {name.lower(): name for name in kinds}
        names |= {name.removesuffix("sampler"): kinds[full].__name__ for name, full in names.items()}
        kind = names.get(given[0].lower())
        if kind is None:
            hint = did_you_mean(given[0].lower(), names)
            raise LaunchError(f"--sampler {given[0]}: there is none.{hint} Known are {', '.join(kinds)}")
        if kind != sampler["type"]:
            # Whether data lie in [-1, 1] is no matter of the sampler.
            kept = {"clip"} & set(sampler) & set(inspect.signature(kinds[kind]).parameters)
            sampler = {"type": kind, **{key: sampler[key] for key in kept}}
        sampler |= _options(given[1:])
    if steps is not None:
        if with_defaults(sampler).get("method") == "dopri5":
            raise LaunchError(
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
    """Draw batches and hand over what was missing of each; yield how many samples that were.

    A batch is written while the next one is drawn.
    """
    sampling.model.to(device)
    wanted = set(missing)

    def write_all(batch: range, images: NDArray) -> int:
        new = [(i, image) for i, image in zip(batch, images, strict=True) if i in wanted]
        for index, image in new:
            write(index, image, sampling.labels[index])
        return len(new)

    with ThreadPoolExecutor(1) as writer:
        written = None
        for batch in work:
            images = sampling.images(batch, device)
            if written:
                yield written.result()
            written = writer.submit(write_all, batch, images)
        if written:
            yield written.result()


def _classes(given: Sequence[int] | None, count: int) -> list[int]:
    if wrong := [x for x in given or () if not 0 <= x < count]:
        raise LaunchError(f"--classes: the network knows 0 .. {count - 1}, got {', '.join(map(str, wrong))}")
    return list(range(count)) if given is None else list(given)


def _guidance(model: ClassConditionalGenerator, scale: float | None) -> Guidance:
    if scale is None:
        return model.guidance
    if not math.isfinite(scale) or scale < 0:
        raise LaunchError(f"--cfg-scale must be a number of at least 0, got {scale:g}")
    guidance = Guidance(scale, channels=model.guidance.channels)
    try:
        guidance.check(model.network)
    except ValueError as error:
        raise LaunchError(f"--cfg-scale {scale:g}: {error}") from error
    return guidance


def _options(pairs: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise LaunchError(f"--sampler: after the type come options KEY=VALUE, got {pair!r}")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):  # a word
            found[key] = value
    return found


def _images_of(cfg: Config) -> Mapping[str, Any]:
    """Give the config of the data set of images: trainings may read latents of theirs instead."""
    loader = cfg.get("val_dataloader") or cfg.get("train_dataloader")
    return loader.dataset


def _subclasses(cls: type) -> list[type]:
    MODELS.import_from_location()
    return [x for x in MODELS.module_dict.values() if inspect.isclass(x) and issubclass(x, cls)]


def _autocast(device: torch.device) -> AbstractContextManager:
    return torch.autocast(device.type, dtype=autocast_dtype())
