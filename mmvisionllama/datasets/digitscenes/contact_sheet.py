"""Draw the contact sheet of a written data set: its first images with their labels."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as coco_mask

from mmvisionllama.datasets.digitscenes.sources import CLASSES, PALETTE, SPLITS

CONTACT_SHEET = "contact_sheet.png"

_COLUMNS, _TILE, _GAP, _MARGIN = 10, 128, 6, 110
_PAPER, _INK = (255, 255, 255), (30, 30, 30)
_UNLABELLED = (255, 255, 255)


def draw_contact_sheet(root: Path) -> None:
    """Draw ``contact_sheet.png`` of the layouts that lie below ``root``."""
    rows = [
        (f"{split}\n{title}", list(tiles(root / layout, split)))
        for split in SPLITS
        for layout, title, tiles in _ROWS
        if (root / layout).is_dir()
    ]
    step = _TILE + _GAP
    sheet = Image.new("RGB", (_MARGIN + _COLUMNS * step, len(rows) * step + _GAP + 40), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for line, (title, tiles) in enumerate(rows):
        top = _GAP + line * step
        draw.text((_GAP, top + _TILE // 2), title, _INK, ImageFont.load_default(15), anchor="lm")
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (_MARGIN + column * step, top))
    _draw_legend(draw, len(rows) * step + _GAP + 8)
    sheet.save(root / CONTACT_SHEET)


def _draw_legend(draw: ImageDraw.ImageDraw, top: int) -> None:
    left = _MARGIN
    for name, colour in [("unlabelled", _UNLABELLED), *zip(CLASSES, map(tuple, PALETTE), strict=True)]:
        draw.rectangle((left, top, left + 18, top + 18), colour, _INK)
        draw.text((left + 24, top + 9), name, _INK, ImageFont.load_default(15), anchor="lm")
        left += 44 + int(draw.textlength(name, ImageFont.load_default(15)))


def _resized(image: Image.Image, resample: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    return image.convert("RGB").resize((_TILE, _TILE), resample)


def _first_seg_images(root: Path, split: str) -> list[Path]:
    folder = {"train": "training", "val": "validation"}[split]
    return sorted((root / "images" / folder).glob("*.jpg"))[:_COLUMNS]


def _seg_images(root: Path, split: str) -> Iterator[Image.Image]:
    return (_resized(Image.open(path)) for path in _first_seg_images(root, split))


def _seg_labels(root: Path, split: str) -> Iterator[Image.Image]:
    colours = np.array([_UNLABELLED, *PALETTE], np.uint8)
    for path in _first_seg_images(root, split):
        labels = root / "annotations" / path.parent.name / f"{path.stem}.png"
        yield _resized(Image.fromarray(colours[np.array(Image.open(labels))]), Image.Resampling.NEAREST)


def _det_boxes(root: Path, split: str) -> Iterator[Image.Image]:
    content = json.loads((root / "annotations" / f"instances_{split}.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    for image in content["images"][:_COLUMNS]:
        instances = [x for x in content["annotations"] if x["image_id"] == image["id"]]
        pixels = np.array(Image.open(root / "images" / split / image["file_name"]).convert("RGB"))
        colours = [PALETTE[CLASSES.index(names[x["category_id"]])] for x in instances]
        for instance, colour in zip(instances, colours, strict=True):
            seen = coco_mask.decode(instance["segmentation"]).astype(bool)
            pixels[seen] = pixels[seen] // 3 + np.array(colour, np.uint8) // 3 * 2
        tile = _resized(Image.fromarray(pixels))
        draw, factor = ImageDraw.Draw(tile), _TILE / image["width"]
        for instance, colour in zip(instances, colours, strict=True):
            left, top, width, height = (factor * x for x in instance["bbox"])
            draw.rectangle((left, top, left + width - 1, top + height - 1), outline=tuple(colour), width=2)
            _label(draw, (left, max(top - 14, 0)), names[instance["category_id"]])
        yield tile


def _cls_images(root: Path, split: str) -> Iterator[Image.Image]:
    for folder in sorted((root / split).iterdir())[:_COLUMNS]:
        tile = Image.new("RGB", (_TILE, _TILE), _PAPER)
        if path := min(folder.iterdir(), default=None):
            tile = _resized(Image.open(path))
        _label(ImageDraw.Draw(tile), (0, 0), folder.name)
        yield tile


def _label(draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str) -> None:
    left, top = corner
    draw.rectangle((left, top, left + 10, top + 13), _INK)
    draw.text((left + 5, top + 7), text, _PAPER, ImageFont.load_default(12), anchor="mm")


_ROWS: tuple[tuple[str, str, Callable[[Path, str], Iterator[Image.Image]]], ...] = (
    ("seg", "images", _seg_images),
    ("seg", "seg labels", _seg_labels),
    ("det", "det masks", _det_boxes),
    ("cls", "cls", _cls_images),
)
