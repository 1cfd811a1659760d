"""Read every image below a folder, without labels."""

from pathlib import Path

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.found_data import FoundData, Sample, has_image, part_folders, walk


def has_any_image(root: Path) -> bool:
    """Whether an image lies below ``root``."""
    return root.is_dir() and has_image(root)


def read_any_images(root: Path) -> FoundData:
    """List the images; folders ``train`` and ``val`` are parts, a folder ``test`` is passed over.

    Raises: DataError: if there are none for training.
    """
    folders = part_folders(root)
    if "train" not in folders:
        folders = {"train": root}
    notes = [f"{folders.pop('test')} is passed over"] if "test" in folders else []
    parts = {}
    for part, folder in folders.items():
        found = walk(folder)
        parts[part] = tuple(Sample(x) for x in found.images)
        notes += found.notes()
    parts = {part: x for part, x in parts.items() if x}
    if "train" not in parts:
        raise DataError(f"{folders['train']} holds no image")
    return FoundData("images", root, parts, notes=tuple(notes))
