"""Read images and masks of equal names: two folders, also with parts as in ADE20K or VOC, or one folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.found_data import PARTS, FoundData, Sample, Walk, part_folders, subfolders, walk
from mmvisionllama.suggestions import shortened

_IMAGES = ("images", "image", "imgs", "img", "img_dir", "jpegimages", "inputs", "rgb")
_MASKS = (
    "masks",
    "mask",
    "labels",
    "label",
    "annotations",
    "annotation",
    "ann_dir",
    "segmentationclass",
    "segmentation",
    "segmentations",
    "gt",
    "targets",
)
_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_seg", "_gt", "-mask", "-label", "_l")


def has_mask_pairs(root: Path) -> bool:
    """Whether ``root`` has a folder of images and one of masks, in parts or not, or masks beside images."""
    return root.is_dir() and bool(_two_folders(root) or _beside(root))


def read_mask_pairs(root: Path) -> FoundData:
    """Pair images and masks by the names of their files, without ending and ``_mask`` or the like.

    Raises: DataError: if no image has a mask, or two images have one.
    """
    notes: list[str] = []
    places = _two_folders(root)
    parts: dict[str, tuple[Sample, ...]] = {}
    for part, (images, masks) in places.items():
        parts[part] = _paired(walk(images), walk(masks), images, masks, part, notes)
    if not places:
        found = walk(root)
        masks = [x for x in found.images if _stem(x.stem) != x.stem]
        rest = [x for x in found.images if x not in set(masks)]
        pair = Walk(rest, found.others, found.hidden), Walk(masks)
        parts["train"] = _paired(*pair, root, root, "train", notes)
    if lists := _voc_lists(root):
        parts = _listed(parts["train"], lists, notes)
    parts = {part: samples for part, samples in parts.items() if samples}
    if "train" not in parts:
        raise DataError(f"{root}: no image for training has a mask of its name")
    return FoundData("images and masks of equal names", root, parts, notes=tuple(notes))


def _two_folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return the folder of images and that of masks of each part: ``images/train`` or ``train/images``."""
    pair = _pair(root)
    if pair is not None:
        below = [part_folders(x) for x in pair]
        both = [part for part in below[0] if part in below[1]]
        return {part: (below[0][part], below[1][part]) for part in both} or {"train": pair}
    inside = {part: _pair(folder) for part, folder in part_folders(root).items()}
    return {part: x for part, x in inside.items() if x is not None}


def _pair(folder: Path) -> tuple[Path, Path] | None:
    by_name = {x.name.lower(): x for x in subfolders(folder)}
    images, masks = (next((by_name[x] for x in names if x in by_name), None) for names in (_IMAGES, _MASKS))
    if images is None or masks is None or not walk(masks).images:
        return None
    return images, masks


def _beside(root: Path) -> bool:
    stems = {x.stem for x in walk(root).images}
    return any(_stem(x) != x and _stem(x) in stems for x in stems)


def _stem(name: str) -> str:
    """Return the name of the image that a mask of this name belongs to."""
    return next((name.removesuffix(x) for x in _ENDINGS if name.lower().endswith(x)), name)


def _paired(
    images: Walk, masks: Walk, images_in: Path, masks_in: Path, part: str, notes: list[str]
) -> tuple[Sample, ...]:
    by_name: dict[str, Path] = {}
    for path in masks.images:
        name = (path.relative_to(masks_in).parent / _stem(path.stem)).as_posix()
        if name in by_name:
            raise DataError(f"{by_name[name]} and {path} are both masks of one image")
        by_name[name] = path
    samples, without, taken = [], [], set()
    for path in images.images:
        place = path.relative_to(images_in).parent
        names = (place / path.stem).as_posix(), (place / path.stem.removesuffix("_image")).as_posix()
        name = next((x for x in names if x in by_name), None)
        if name is None:
            without.append(path.name)
            continue
        if name in taken:
            raise DataError(f"{path}: a second image for the mask {by_name[name]}")
        taken.add(name)
        samples.append(Sample(path, by_name[name]))
    left = [by_name[x].name for x in by_name if x not in taken]
    for what, names in (("images have no mask", without), ("masks have no image", left)):
        if names:
            notes.append(f"{part}: {len(names):,} {what} and are left out: {shortened(names)}")
    notes += images.notes(known=(".txt", ".csv")) + masks.notes(known=(".txt", ".csv"))
    return tuple(samples)


def _voc_lists(root: Path) -> dict[str, Path]:
    """Return the lists of names of each part that Pascal VOC has."""
    folder = root / "ImageSets" / "Segmentation"
    return {part: folder / f"{part}.txt" for part in ("train", "val") if (folder / f"{part}.txt").is_file()}


def _listed(
    samples: Iterable[Sample], lists: Mapping[str, Path], notes: list[str]
) -> dict[str, tuple[Sample, ...]]:
    by_stem = {x.image.stem: x for x in samples}
    parts = {}
    for part, file in lists.items():
        names = file.read_text(encoding="utf-8").split()
        if missing := [x for x in names if x not in by_stem]:
            notes.append(f"{file.name} names {len(missing):,} images without pair: {shortened(missing)}")
        parts[PARTS[part]] = tuple(by_stem[x] for x in names if x in by_stem)
    return parts
