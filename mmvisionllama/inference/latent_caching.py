"""Encoding the images of a data set once: what trainings then read instead of images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmvisionllama.checks.data import require_sound_data
from mmvisionllama.checks.run import build_model
from mmvisionllama.datasets.latents import FACTS, CachedLatents, as_latents, shards_of
from mmvisionllama.errors import ConfigError, LaunchError
from mmvisionllama.evaluation import dataset_name
from mmvisionllama.files import atomic_path
from mmvisionllama.generation.generator import ClassConditionalGenerator
from mmvisionllama.inference.output_folder import claim, require_own
from mmvisionllama.inference.processes import join, load, of_first, require_all, shown_progress
from mmvisionllama.reports.screen import shown
from mmvisionllama.training.distributed import launched_as_main_process


def cache_latents(
    config: str | Path,
    *,
    out: Path | None = None,
    batch_size: int = 64,
    shard_size: int = 2048,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    verbose: bool = False,
) -> None:
    """Encode the training images of a config by its autoencoder; shards that are there are not made again.

    Args:
        out: Folder of the latents; by default beside the images.
        batch_size: Images of each process at a time.
        shard_size: Images of a file.
        launcher: What started this process: ``none``, ``pytorch`` (torchrun) or ``slurm`` (srun).
        verbose: Show what libraries say, too.

    Raises: UserError: before anything is written.
    """
    with shown(verbose=verbose, first=launched_as_main_process(launcher)):
        cfg = load(config, cfg_options, launcher)
        caching = prepare_caching(cfg, out=out, batch_size=batch_size, shard_size=shard_size)
        # The other processes wait for the first one in join, and end with it if it fails.
        if launched_as_main_process(launcher):
            caching.claim()
        device = join(cfg)
        work = of_first(caching.missing)[get_rank() :: get_world_size()]
        with shown_progress("images", sum(len(caching.images_of(shard)) for shard in work)) as advance:
            for count in caching.write(work, device, batch_size):
                advance(count)
        barrier()
        if is_main_process():
            require_all(caching.out, caching.missing(), "shards")
            print_log(f"Done. Train on them by --cfg-options {' '.join(options_for(caching.out))}", "current")


@dataclass(frozen=True)
class Caching:
    """A data set to encode, and where its latents go.

    Attributes:
        facts: What they are of, for JSON; see :func:`mmvisionllama.datasets.latents.read_facts`.
    """

    model: ClassConditionalGenerator
    dataset: BaseDataset
    out: Path
    facts: Mapping[str, Any]
    workers: int

    def claim(self) -> None:
        """Make the folder, or make sure that it holds latents of the same images and autoencoder.

        Raises:
            LaunchError: if it holds anything else; nothing is changed then.
        """
        require_own(self.out, FACTS, self.facts, "latents", but=("source",))
        claim(self.out, FACTS, self.facts)

    def missing(self) -> list[int]:
        """Return the numbers of the shards that are not there yet."""
        shards = enumerate(shards_of(self.out, self.facts))
        return [number for number, path in shards if not path.is_file()]

    def images_of(self, shard: int) -> range:
        """Return the indices of the images of a shard."""
        first, size = shard * self.facts["shard_size"], self.facts["shard_size"]
        return range(first, min(first + size, self.facts["images"]["count"]))

    @torch.no_grad()
    def write(self, shards: Sequence[int], device: torch.device, batch_size: int) -> Iterator[int]:
        """Encode and write shards, each whole or not at all; yield the number of images of every batch."""
        self.model.to(device)
        batches = {shard: _batches(self.images_of(shard), batch_size) for shard in shards}
        indices = [batch for shard in shards for batch in batches[shard]]
        loader = iter(
            DataLoader(_Raw(self.dataset), batch_sampler=indices, num_workers=self.workers, collate_fn=list)
        )
        paths = shards_of(self.out, self.facts)
        for shard in shards:
            latents, labels = [], []
            for batch in batches[shard]:
                items = [x for x in next(loader) if x is not None]  # corrupt images that may be skipped
                if items:
                    latents.append(self._encode([x["inputs"] for x in items], device))
                    labels += [int(x["data_samples"].gt_label) for x in items]
                yield len(batch)
            rows = torch.cat(latents) if latents else torch.empty(0, dtype=torch.float16)
            with atomic_path(paths[shard]) as temporary:
                save_file({"latent": rows, "label": torch.tensor(labels, dtype=torch.int64)}, temporary)

    def _encode(self, images: list[Tensor], device: torch.device) -> Tensor:
        """Give (B, 1 or 2, 2, C, H, W) float16: of the images and, if they are flipped, of their mirrors."""
        img = self.model.data_preprocessor({"inputs": [x.to(device) for x in images]})["inputs"]
        versions = [img, img.flip(-1)] if self.facts["flip_prob"] else [img]
        return torch.stack([as_latents(*self.model.autoencoder.encode(x)) for x in versions], dim=1).cpu()


def prepare_caching(cfg: Config, *, out: Path | None, batch_size: int, shard_size: int) -> Caching:
    """Build model and data set of a config, and find out what their latents are like.

    Raises:
        ConfigError: if the config or its data cannot be used.
        LaunchError: if the images cannot be encoded once and for all.
    """
    if cfg.get("train_dataloader") is None:
        raise ConfigError(f"{cfg.filename} lacks train_dataloader, whose images would be encoded")
    for name, value in (("--batch-size", batch_size), ("--shard-size", shard_size)):
        if value < 1:
            raise LaunchError(f"{name} must be at least 1, got {value}")
    model = build_model(cfg)
    if getattr(model, "autoencoder", None) is None:
        raise LaunchError(f"{cfg.filename}: the model has no autoencoder, so there are no latents to cache")
    images, flip_prob = _unflipped(cfg.train_dataloader.dataset)
    require_sound_data(cfg, "train_dataloader")
    dataset = DATASETS.build({**images, "_scope_": cfg.get("default_scope", "mmengine")})
    first = next(x for x in map(dataset.prepare_data, range(len(dataset))) if x is not None)["inputs"]
    mean, _ = model.autoencoder.encode(model.data_preprocessor({"inputs": [first]})["inputs"])
    size = tuple(first.shape[-2:])
    facts = dict(
        autoencoder=model.autoencoder.identity(),
        source=model.autoencoder.path,
        images=dict(
            dataset=dataset_name(images), count=len(dataset), size=size, pipeline=images.get("pipeline", [])
        ),
        latent_shape=tuple(mean.shape[1:]),
        flip_prob=flip_prob,
        shard_size=shard_size,
        classes=dataset.metainfo.get("classes") or (),
    )
    out = out or _default_folder(dataset.data_root, size)
    return Caching(model.eval(), dataset, out, facts, cfg.train_dataloader.get("num_workers", 0))


def options_for(folder: Path) -> list[str]:
    """Return what ``--cfg-options`` must say to a config of images that is to train on a cache instead."""
    settings = dict(
        _delete_=True, type=f"mmvisionllama.{CachedLatents.__name__}", data_root=folder.absolute()
    )
    return [f"train_dataloader.dataset.{key}={value}" for key, value in settings.items()]


def _unflipped(dataset: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """Return the config of a data set without its flips, and how often it flips."""
    if str(dataset["type"]).endswith(CachedLatents.__name__):
        raise LaunchError("train_dataloader.dataset reads cached latents already; give a config of images")
    if "pipeline" not in dataset:
        raise LaunchError(f"train_dataloader.dataset has no pipeline of its own: {dataset['type']}")
    kept, flip_prob = [], 0.0
    for step in dataset["pipeline"]:
        name = str(step["type"]).rpartition(".")[2]
        if name == "RandomFlip":
            if step.get("direction", "horizontal") != "horizontal":
                raise LaunchError(f"a cache holds images and their mirror images; the pipeline has {step}")
            flip_prob = step["prob"]
        elif name.startswith("Random") or name.endswith("Augment"):
            raise LaunchError(f"{name} changes images at random, a cache would keep one chance result of it")
        else:
            kept.append(step)
    return {**dataset, "pipeline": kept}, flip_prob


def _default_folder(data_root: str, size: tuple[int, int]) -> Path:
    if not data_root:
        raise LaunchError("the data set lies in no folder of its own, so say by --out where its latents go")
    side = f"{size[0]}" if size[0] == size[1] else f"{size[0]}x{size[1]}"
    return Path(f"{data_root.rstrip('/')}_latents_{side}")


def _batches(indices: range, size: int) -> list[range]:
    return [indices[start : start + size] for start in range(0, len(indices), size)]


class _Raw(Dataset):
    """A data set whose corrupt images are None, not another image."""

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        return self.dataset.prepare_data(index)
