"""Images with a file of annotations each: find the pairs, and divide them into parts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.found_data import PARTS, FoundData, Sample, walk
from mmvisionllama.suggestions import shortened


def annotated_images(root: Path, ending: str) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pair images with files of annotations: in one folder, else by their names alone.

    Returns: The pairs, and notes about what has no pair.
    Raises: DataError: if nothing has, or a name that two images have is not enough.
    """
    found = walk(root)
    files = [x for x in found.others if x.suffix.lower() == ending]
    by_place = {x.with_suffix(""): x for x in files}
    by_name = Counter(x.stem for x in files)
    anywhere = {x.stem: x for x in files if by_name[x.stem] == 1}
    pairs, without = [], []
    for image in found.images:
        file = by_place.get(image.with_suffix("")) or anywhere.get(image.stem)
        if file is None:
            without.append(image.name)
        else:
            pairs.append((image, file))
    if twice := [file.name for file, count in Counter(file for _, file in pairs).items() if count > 1]:
        raise DataError(
            f"{root}: several images have the name of {shortened(twice)}; put it beside its image"
        )
    if not pairs:
        raise DataError(f"{root}: no image has a file {ending} of its name")
    left = {x.name for x in files} - {file.name for _, file in pairs}
    notes = [
        f"{len(names):,} {what} and are left out: {shortened(sorted(names))}"
        for what, names in (("images have no annotations", without), ("annotations have no image", left))
        if names
    ]
    return pairs, notes + found.notes(known=(ending, ".txt"))


def in_parts(
    layout: str,
    root: Path,
    samples: Sequence[Sample],
    notes: Iterable[str],
    lists: Path | None,
    order: Sequence[str] | None = None,
) -> FoundData:
    """Divide samples by the folders that they lie in, or by VOC's lists of names.

    Args:
        lists: A folder with ``train.txt`` and ``val.txt``; None, or not there: folders decide.
        order: Of the classes; None: that of the alphabet.

    Raises: DataError: if there are no objects, or a part has classes that the training part lacks.
    """
    parts: dict[str, list[Sample]] = {}
    named = _in_lists(lists)
    for sample in samples:
        part = named.get(sample.image.stem) if named else by_folder(sample.image, root)
        if part is not None:
            parts.setdefault(part, []).append(sample)
    used = {part: {o.name for x in in_part for o in x.label.objects} for part, in_part in parts.items()}
    learned = used.get("train", set())
    if not learned:
        raise DataError(f"{root}: no image for training shows an object")
    for part, names in used.items():
        if lacking := names - learned:
            raise DataError(f"{root}: {part} shows classes without training: {shortened(sorted(lacking))}")
    classes = sorted(learned) if order is None else [x for x in order if x in learned]
    classes += sorted(learned.difference(classes))
    kept = {part: tuple(parts[part]) for part in ("train", "val", "test") if part in parts}
    return FoundData(layout, root, kept, tuple(classes), tuple(notes))


def by_folder(image: Path, root: Path) -> str:
    """Return the part that a folder between an image and ``root`` names, else ``train``."""
    names = (x.lower() for x in image.relative_to(root).parts[:-1])
    return next((PARTS[x] for x in names if x in PARTS), "train")


def _in_lists(folder: Path | None) -> dict[str, str]:
    named = {}
    for part in ("train", "val", "test"):
        file = folder / f"{part}.txt" if folder is not None else None
        if file is not None and file.is_file():
            named |= {x.split()[0]: part for x in file.read_text(encoding="utf-8").splitlines() if x.strip()}
    return named if "train" in named.values() else {}
