"""Reference of an evaluation: real images from files or a config, or their moments."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from mmengine.config import Config
from mmengine.registry import DATASETS
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from mmvisionllama.checks.data import require_sound_data
from mmvisionllama.config import data_root_base, load_config
from mmvisionllama.errors import ConfigError, EvaluationError
from mmvisionllama.evaluation.features import FeatureExtractor, Progress, extract
from mmvisionllama.evaluation.images import (
    ImageSet,
    NpzImages,
    arrays_of,
    open_images,
    read_array,
    require_path,
)
from mmvisionllama.evaluation.sample_info import read_info
from mmvisionllama.evaluation.scores import Moments, Target

# Mean and covariance in the reference files of ADM's evaluator.
_ADM_MOMENTS = {"fid": ("mu", "sigma"), "sfid": ("mu_s", "sigma_s")}
_NEED_FEATURES = ("precision", "recall")


@dataclass(frozen=True)
class Reference:
    """Real images, and moments of Inception features that are known of them or of more.

    Attributes:
        dataset: That they are of, if known, see :func:`dataset_name`.
        moments: By the name of the metric that they are for.
    """

    name: str
    dataset: str | None = None
    images: ImageSet | None = None
    moments: Mapping[str, Moments] = field(default_factory=dict)

    def moments_for(self, metrics: Collection[str], extractor: FeatureExtractor) -> dict[str, Moments]:
        """Return the moments that these metrics can be computed with.

        Raises:
            EvaluationError: if a metric needs images that the reference lacks, or the moments are of other
                features.
        """
        usable = {x: m for x, m in self.moments.items() if x in metrics and x in extractor.adm_widths}
        for name, moments in usable.items():
            if len(moments.mean_D) != (width := extractor.adm_widths[name]):
                raise EvaluationError(
                    f"{self.name}: {_ADM_MOMENTS[name][0]} is of {len(moments.mean_D):,} features, "
                    f"{extractor.title} has {width:,}"
                )
        lacking = [x for x in _needing_reference(metrics) if x not in usable]
        if lacking and self.images is None:
            others = [x for x in metrics if x not in lacking]
            hint = f", or leave them out: --metrics {' '.join(others)}" if others else ""
            raise EvaluationError(
                f"{self.name} has no images, which {extractor.title} needs for {', '.join(lacking)}. Give a "
                f"reference with images{hint}"
            )
        return usable

    def target(
        self, metrics: Collection[str], extractor: FeatureExtractor, batch_size: int, progress: Progress
    ) -> Target:
        """Look at the images, if these metrics need them."""
        moments = self.moments_for(metrics, extractor)
        if all(x in moments for x in _needing_reference(metrics)):
            return Target(None, moments)
        return Target(extract(extractor, self.images, batch_size, progress), moments)


class DatasetImages(ImageSet):
    """The images of a data set of mmengine after its pipeline, in RGB.

    Args:
        to_rgb: Whether the pipeline gives BGR.
        workers: Processes that load.
    """

    def __init__(self, name: str, dataset: Any, *, to_rgb: bool, workers: int = 0) -> None:
        self._dataset, self._to_rgb, self._workers = dataset, to_rgb, workers
        labels = None
        if len(dataset) and "gt_label" in dataset.get_data_info(0):
            labels = np.array([int(dataset.get_data_info(i)["gt_label"]) for i in range(len(dataset))])
        first = dataset[0]["inputs"] if len(dataset) else torch.empty(1, 0, 0)
        super().__init__(name, len(dataset), (*first.shape[1:], first.shape[0]), labels)

    def batches(self, size: int) -> Iterator[NDArray]:
        for items in DataLoader(self._dataset, size, num_workers=self._workers, collate_fn=_inputs):
            shapes = {(*x.shape[1:], x.shape[0]) for x in items} - {self.image_shape}
            if shapes or items[0].dtype != torch.uint8:
                wrong = f"of {shapes.pop()} and of {self.image_shape}" if shapes else f"of {items[0].dtype}"
                raise EvaluationError(
                    f"{self.name}: the pipeline gives images {wrong}; needed are uint8 of one size"
                )
            img_BCHW = torch.stack(items)
            img_BCHW = img_BCHW.flip(1) if self._to_rgb and img_BCHW.shape[1] == 3 else img_BCHW
            yield rearrange(img_BCHW, "B C H W -> B H W C").numpy()


def open_reference(path: str) -> Reference:
    """Open what samples are to be held against.

    Args:
        path: An ``.npz`` file of images, of ADM's moments or of both; a folder of PNG files; or a config,
            whose whole validation split is taken, whatever ``indices`` it watches.

    Raises:
        EvaluationError: if it is none of these.
        ConfigError: if the config or its data cannot be used.
    """
    if path.endswith(".py"):
        return _of_config(load_config(path))
    file = require_path(path)
    if file.is_dir():
        info = read_info(file)
        return Reference(path, info and info.dataset, open_images(file))
    names = arrays_of(file)
    moments = {x: _moments(file, pair) for x, pair in _ADM_MOMENTS.items() if set(pair) <= set(names)}
    if "arr_0" not in names and not moments:
        raise EvaluationError(
            f"{path} is no reference: it has neither images ('arr_0') nor moments ('mu' and 'sigma'), but "
            f"{', '.join(names)}"
        )
    info = read_info(file)
    return Reference(path, info and info.dataset, NpzImages(file) if "arr_0" in names else None, moments)


def dataset_name(cfg: Mapping[str, Any]) -> str:
    """Name the data set of a data set's config, for samples and references to be told apart by.

    Data sets of any images by their folder below ``data/``, ``CustomDataset digitscenes/cls``, others by
    their type alone, ``ImageNet``.
    """
    while "dataset" in cfg:
        cfg = cfg["dataset"]
    kind = str(cfg["type"]).rpartition(".")[2]
    root = cfg.get("data_root")
    if kind != "CustomDataset" or not root:
        return kind
    folder, base = Path(root), data_root_base()
    inside = folder.relative_to(base) if folder.is_relative_to(base) else folder
    return f"{kind} {inside.as_posix()}"


def _of_config(cfg: Config) -> Reference:
    if cfg.get("val_dataloader") is None:
        raise ConfigError(f"{cfg.filename} has no val_dataloader, whose images would be the reference")
    require_sound_data(cfg, "val_dataloader")
    dataset = {key: x for key, x in cfg.val_dataloader.dataset.items() if key != "indices"}
    built = DATASETS.build({**dataset, "_scope_": cfg.get("default_scope", "mmengine")})
    preprocessor = {**cfg.get("data_preprocessor", {}), **cfg.model.get("data_preprocessor", {})}
    to_rgb = bool(preprocessor.get("to_rgb") or preprocessor.get("bgr_to_rgb"))
    workers = cfg.val_dataloader.get("num_workers", 0)
    images = DatasetImages(cfg.filename, built, to_rgb=to_rgb, workers=workers)
    return Reference(cfg.filename, dataset_name(dataset), images)


def _moments(file: Path, names: tuple[str, str]) -> Moments:
    mean_D, cov_DD = (read_array(file, name).astype(np.float64) for name in names)
    if mean_D.ndim != 1 or cov_DD.shape != (mean_D.size, mean_D.size):
        raise EvaluationError(
            f"{file}: {names[0]} and {names[1]} must be a mean and a covariance, they are {mean_D.shape} and "
            f"{cov_DD.shape}"
        )
    return Moments(mean_D, cov_DD)


def _needing_reference(metrics: Collection[str]) -> list[str]:
    return [x for x in metrics if x in (*_ADM_MOMENTS, *_NEED_FEATURES)]


def _inputs(items: list[dict[str, Any]]) -> list[Tensor]:
    return [x["inputs"] for x in items]
