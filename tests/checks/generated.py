"""Small data sets with something wrong with them, and what a check says of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image

from mmvisionllama.checks.data import check_data

SQUARE = [[2.0, 2.0, 10.0, 2.0, 10.0, 10.0, 2.0, 10.0]]
CATEGORIES = (dict(id=1, name="cat"), dict(id=7, name="dog"))
LOADER = dict(type="mmvisionllama.LoadImageFromFile")
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def said(cfg: Config, *loaders: str, **options: Any) -> tuple[str, str]:
    """Return the errors and the notes of a check, each as one text."""
    problems = check_data(cfg, *(loaders or LOADERS), **options).problems
    return tuple("\n".join(str(x) for x in problems if x.fatal == fatal) for fatal in (True, False))


def image(path: Path, width: int = 16, height: int = 12, value: int = 90, **options: Any) -> None:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(path, **options)


def annotation(number: int, image: int = 1, **changes: Any) -> dict[str, Any]:
    """Return an object of 8 x 8 px at 2, 2: a dog if its number is 2, else a cat."""
    base = dict(
        id=number, image_id=image, category_id=7 if number == 2 else 1, bbox=[2, 2, 8, 8], area=64, iscrowd=0
    )
    return base | dict(segmentation=SQUARE) | changes


def coco(
    root: Path,
    split: str = "train",
    annotations: Sequence[Mapping[str, Any]] | None = None,
    classes: Sequence[str] | str = ("cat", "dog"),
    pipeline: Sequence[Mapping[str, Any]] = (LOADER,),
    **content: Any,
) -> dict[str, Any]:
    """Write three images of 16 x 12 px with an object each, and return the config of their data set.

    Args:
        annotations: In the place of the three objects.
        content: Sections of the file in the place of those that would be written; None: it has none.
    """
    for number in (1, 2, 3):
        if not (path := root / f"{number}.jpg").exists():
            image(path)
    default: dict[str, Any] = dict(
        images=[dict(id=i, file_name=f"{i}.jpg", width=16, height=12) for i in (1, 2, 3)],
        annotations=[annotation(i, i) for i in (1, 2, 3)] if annotations is None else annotations,
        categories=CATEGORIES,
    )
    whole = {key: value for key, value in (default | content).items() if value is not None}
    (root / f"{split}.json").write_text(json.dumps(whole))
    return dict(
        type="CocoDataset",
        data_root=str(root),
        ann_file=f"{split}.json",
        data_prefix=dict(img=""),
        metainfo=dict(classes=classes),
        filter_cfg=dict(filter_empty_gt=True),
        test_mode=split != "train",
        pipeline=list(pipeline),
    )


def detection(**datasets: Mapping[str, Any]) -> Config:
    """Return what a check reads of a detector's config, given data sets by the name of their split."""
    return whole("mmdet", dict(roi_head=dict(bbox_head=dict(num_classes=2))), datasets)


def folders(
    root: Path,
    split: str,
    files: Mapping[str, Sequence[str]],
    pipeline: Sequence[dict] = (LOADER,),
    **options: Any,
) -> dict[str, Any]:
    """Write images in folders of classes, and return the config of their data set."""
    for name, members in files.items():
        (root / split / name).mkdir(parents=True, exist_ok=True)
        for member in members:
            image(root / split / name / member)
    base = dict(type="CustomDataset", data_root=str(root), data_prefix=split, pipeline=list(pipeline))
    return base | options


def classification(num_classes: int = 3, **datasets: Mapping[str, Any]) -> Config:
    """Return what a check reads of a classifier's config; see ``detection``."""
    return whole("mmpretrain", dict(head=dict(num_classes=num_classes)), datasets)


def pairs(
    root: Path, split: str, masks: Sequence[np.ndarray], pipeline: Sequence[dict] = (LOADER,), **options: Any
) -> dict[str, Any]:
    """Write an image for every label map, and return the config of their data set."""
    (root / split / "masks").mkdir(parents=True, exist_ok=True)
    for number, mask in enumerate(masks):
        image(root / split / "images" / f"{number}.jpg", mask.shape[1], mask.shape[0])
        Image.fromarray(mask).save(root / split / "masks" / f"{number}.png")
    base = dict(
        type="BaseSegDataset",
        data_root=str(root / split),
        data_prefix=dict(img_path="images", seg_map_path="masks"),
        metainfo=dict(classes=("ground", "square")),
        pipeline=list(pipeline),
    )
    return base | options


def segmentation(num_classes: int = 2, **datasets: Mapping[str, Any]) -> Config:
    """Return what a check reads of a segmentor's config; see ``detection``."""
    return whole("mmseg", dict(decode_head=dict(num_classes=num_classes)), datasets)


def whole(scope: str, model: dict[str, Any], datasets: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return a config of loaders with one image to a batch."""
    cfg = Config(dict(default_scope=scope, model=model, train_cfg=dict(by_epoch=True, max_epochs=1)))
    for split, dataset in datasets.items():
        cfg[f"{split}_dataloader"] = dict(dataset=dict(dataset), batch_size=1)
    return cfg
