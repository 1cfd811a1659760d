"""Read a folder for each class, with or without folders of parts around them."""

from pathlib import Path

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.found_data import (
    FoundData,
    Sample,
    has_image,
    part_folders,
    subfolders,
    walk,
)
from mmvisionllama.suggestions import shortened


def has_class_folders(root: Path) -> bool:
    """Whether ``root``, or a folder ``train`` in it, has folders with images."""
    if not root.is_dir():
        return False
    return any(has_image(x) for x in subfolders(_parts_of(root)["train"]))


def read_class_folders(root: Path) -> FoundData:
    """Read ``CLASS/*`` or ``{train,val,test}/CLASS/*``; images may lie deeper below a class.

    Raises: DataError: for fewer than two classes, or a class that the training part lacks.
    """
    folders = _parts_of(root)
    notes, parts = [], {}
    for part, folder in folders.items():
        classes = subfolders(folder)
        if part != "train" and not classes:
            notes.append(f"{folder} has no class folders: mmvisionllama predict takes its images later")
            continue
        samples = []
        for place in classes:
            found = walk(place)
            samples += [Sample(image, place.name) for image in found.images]
            if not found.images:
                notes.append(f"{place.name} in {folder} has no image: no class there")
            notes += [f"{place.name}: {line}" for line in found.notes()]
        if loose := [x for x in folder.iterdir() if x.is_file() and not x.name.startswith(".")]:
            notes.append(f"ignored, in no class folder: {shortened(sorted(x.name for x in loose))}")
        if hidden := sorted(x.name for x in folder.iterdir() if x.is_dir() and x not in classes):
            notes.append(f"ignored, hidden: {shortened(hidden)}")
        parts[part] = tuple(samples)
    known = sorted({x.label for x in parts["train"]})
    if len(known) < 2:
        raise DataError(
            f"{folders['train']}: {len(known)} class folders hold images ({shortened(known)}); a classifier "
            "needs two or more, one folder for each class"
        )
    for part, samples in parts.items():
        if unknown := sorted({x.label for x in samples} - set(known)):
            raise DataError(
                f"{folders[part]} has classes that {folders['train']} has no images of: {shortened(unknown)}"
            )
    return FoundData("class folders", root, parts, tuple(known), tuple(notes))


def _parts_of(root: Path) -> dict[str, Path]:
    """Return the folders of the parts; a folder ``train`` without folders in it is a class of vehicles."""
    folders = part_folders(root)
    divided = "train" in folders and any(has_image(x) for x in subfolders(folders["train"]))
    return folders if divided else {"train": root}
