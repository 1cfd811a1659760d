"""Images for measurements of training pipelines: those of a config's data set, else photographs as JPEGs."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.registry import DATASETS, init_default_scope

from mmvisionllama.checks.image_data import spaced
from mmvisionllama.errors import ConfigError
from mmvisionllama.inference.preparation import pipeline_of

_PHOTOGRAPHS = (
    "skimage/data/astronaut.png",
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/rocket.jpg",
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
)
SIZE, QUALITY = (500, 375), 90  # width and height, and quality, of most photographs of ImageNet

Record = dict[str, Any]


def records_of(cfg: Mapping[str, Any], count: int) -> list[Record] | None:
    """Return what a training's pipeline gets of up to ``count`` images, evenly spaced over the data set.

    None where the folder of the data set does not exist.

    Raises: ConfigError: if it has no image files.
    """
    dataset = cfg["train_dataloader"]["dataset"]
    pipeline_of(dataset)
    while "pipeline" not in dataset:
        dataset = dataset["dataset"] if "dataset" in dataset else dataset["datasets"][0]
    if not Path(dataset.get("data_root") or "").exists():
        return None
    init_default_scope(cfg["default_scope"])
    built = DATASETS.build({**dataset, "pipeline": []})
    records = [built.get_data_info(index) for index in spaced(len(built), count)]
    if not all("img_path" in record for record in records):
        raise ConfigError(f"{dataset['type']} keeps no image files: only loading from files is measured")
    return records


def make_images(folder: Path, count: int) -> list[Record]:
    """Write JPEGs of ``SIZE`` and ``QUALITY``: sections of scikit-image's and scikit-learn's photographs.

    Raises: ModuleNotFoundError: if one of the two is not installed.
    """
    generator = np.random.default_rng(0)
    photographs = [_photograph(name) for name in _PHOTOGRAPHS]
    records = []
    for index in range(count):
        image = photographs[index % len(photographs)]
        scale = generator.uniform(0.7, 1) * min(image.shape[1] / SIZE[0], image.shape[0] / SIZE[1])
        width, height = (int(side * scale) for side in SIZE)
        left = generator.integers(image.shape[1] - width + 1)
        top = generator.integers(image.shape[0] - height + 1)
        section = image[top : top + height, left : left + width]
        path = str(folder / f"{index}.jpg")
        resized = cv2.resize(section, SIZE, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(path, resized, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        records.append(dict(img_path=path, gt_label=0))
    return records


def _photograph(name: str) -> np.ndarray:
    package, _, inside = name.partition("/")
    path = Path(str(files(package))) / inside
    image = cv2.imread(str(path))
    if image is None:
        raise FileNotFoundError(f"{path} is missing or broken: reinstall the library that brings it")
    return image
