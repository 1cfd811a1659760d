"""Read a tree like that of Cityscapes: leftImg8bit/{train,val}/CITY and gtFine/{train,val}/CITY."""

from pathlib import Path

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.found_data import FoundData, Sample, part_folders, walk
from mmvisionllama.suggestions import shortened

_IMAGE = "_leftImg8bit"
_MASKS = ("_gtFine_labelTrainIds", "_gtFine_labelIds")
# Name, number in labelIds: the 19 classes that are evaluated, in the order of labelTrainIds.
CLASSES = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
_NUMBERS = 34  # of labelIds, beside the licence plate (-1, saved as 255)


def has_cityscapes_tree(root: Path) -> bool:
    """Whether ``root`` has the two folders."""
    return (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir()


def read_cityscapes_tree(root: Path) -> FoundData:
    """Pair images with ``*_labelTrainIds.png``, else ``*_labelIds.png``, whose numbers are changed later.

    Raises: DataError: if no image has either.
    """
    parts, notes, kinds = {}, [], set()
    for part, folder in part_folders(root / "leftImg8bit").items():
        samples, without = [], []
        for image in walk(folder).images:
            name = image.stem.removesuffix(_IMAGE)
            place = root / "gtFine" / folder.name / image.relative_to(folder).parent
            masks = [place / f"{name}{ending}.png" for ending in _MASKS]
            mask = next((x for x in masks if x.is_file()), None)
            if mask is None:
                without.append(image.name)
                continue
            kinds.add(mask.stem.rpartition("_")[2])
            samples.append(Sample(image, mask))
        if without:
            notes.append(f"{part}: {len(without):,} images have no labels: {shortened(without)}")
        if samples:
            parts[part] = tuple(samples)
    if "train" not in parts:
        raise DataError(
            f"{root}: no image of leftImg8bit/train has a file *{_MASKS[0]}.png or *{_MASKS[1]}.png"
        )
    if len(kinds) > 1:
        raise DataError(
            f"{root}: some images have labelTrainIds, others only labelIds; make them for all images"
        )
    return FoundData(f"Cityscapes' tree ({kinds.pop()})", root, parts, tuple(CLASSES), tuple(notes))


def label_of_id(number: int) -> int | None:
    """Return the label of a number in labelIds; None if it is not evaluated."""
    return next((label for label, x in enumerate(CLASSES.values()) if x == number), None)


def all_ids() -> range:
    """Return every number that labelIds may have."""
    return range(_NUMBERS)
