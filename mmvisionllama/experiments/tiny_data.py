"""Small data in the layouts of ImageNet-1K, ADE20K and COCO, with a random autoencoder and Inception."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mmvisionllama.experiments.reproduction import AUTOENCODER, INCEPTION, REFERENCE

SYNSETS = ("n01440764", "n01443537", "n02084071", "n02121808", "n03000684")
_IMAGES = 2  # of each class or split
_REAL_IMAGES = 4  # in the reference batch; precision looks at the third neighbour
_DONE = "complete"


def write_tiny_data(folder: Path) -> None:
    """Write what all chains need, unless it is there."""
    if (folder / _DONE).is_file():
        return
    rng = np.random.default_rng(0)
    _write_imagenet(folder / "imagenet", rng)
    _write_ade20k(folder / "ade" / "ADEChallengeData2016", rng)
    _write_coco(folder / "coco", rng)
    _write_reference(folder / REFERENCE, rng)
    write_autoencoder(folder / AUTOENCODER)
    _write_inception(folder / INCEPTION)
    (folder / _DONE).touch()


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def _write_imagenet(root: Path, rng: np.random.Generator) -> None:
    for split in ("train", "val"):
        for label, synset in enumerate(SYNSETS):
            for number in range(_IMAGES):
                pixels = rng.integers(0, 60, (*rng.integers(64, 150, 2), 3)) + 40 * label
                _save(root / split / synset / f"{synset}_{number}.JPEG", pixels)


def _write_ade20k(root: Path, rng: np.random.Generator) -> None:
    bands = np.array([1, 150, 0, 37])  # 0 is unlabelled
    for split in ("training", "validation"):
        for number in range(_IMAGES):
            height, width = rng.integers(64, 150, 2)
            rows = bands[np.arange(height) * len(bands) // height]
            labels = np.repeat(rows[:, None], width, axis=1)
            pixels = labels[..., None] * np.array([1, 40, 90]) % 200 + rng.integers(0, 40, (height, width, 3))
            _save(root / "images" / split / f"ADE_{number:08d}.jpg", pixels)
            _save(root / "annotations" / split / f"ADE_{number:08d}.png", labels)


def _write_coco(root: Path, rng: np.random.Generator) -> None:
    from mmdet.datasets import CocoDataset  # only here: it brings all of mmdet

    names = CocoDataset.METAINFO["classes"]
    categories = [dict(id=number, name=name) for number, name in enumerate(names, start=1)]
    for split in ("train2017", "val2017"):
        images, annotations = [], []
        for number in range(1, 2 * _IMAGES + 1):
            height, width = (int(x) for x in rng.integers(70, 130, 2))
            x, y, w, h = width // 4, height // 4, width // 2, height // 2
            pixels = rng.integers(0, 60, (height, width, 3))
            pixels[y : y + h, x : x + w] += 150
            _save(root / split / f"{number:012d}.jpg", pixels)
            images.append(dict(id=number, file_name=f"{number:012d}.jpg", height=height, width=width))
            outline = [x, y, x + w, y, x + w, y + h, x, y + h]
            box = dict(bbox=[x, y, w, h], area=w * h, segmentation=[outline], iscrowd=0)
            annotations.append(dict(id=number, image_id=number, category_id=1 + number % 2, **box))
        content = dict(images=images, annotations=annotations, categories=categories)
        file = root / "annotations" / f"instances_{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))


def _write_reference(path: Path, rng: np.random.Generator) -> None:
    np.savez(path, rng.integers(0, 256, (_REAL_IMAGES, 256, 256, 3), dtype=np.uint8))


def write_autoencoder(folder: Path) -> None:
    """Write an autoencoder of random weights, four channels wide, that halves a side three times."""
    from diffusers import AutoencoderKL

    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        norm_num_groups=2,
        latent_channels=4,
    ).save_pretrained(folder)


def _write_inception(path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, *args: object, **kwargs: object) -> None:
            """Keep the random weights."""

    torch.save({}, path)
    torch.save(Untrained("random", ["2048"], str(path)).state_dict(), path)
