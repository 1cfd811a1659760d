"""Read Pascal VOC's XML files: boxes by their corners."""

from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.beside_images import annotated_images, in_parts
from mmvisionllama.finetuning.found_data import Annotated, FoundData, ImageObject, Sample, walk

_ENDING = ".xml"


def has_voc_files(root: Path) -> bool:
    """Whether an XML file lies below ``root``."""
    return root.is_dir() and any(x.suffix.lower() == _ENDING for x in walk(root).others)


def read_voc_files(root: Path) -> FoundData:
    """Read an XML file for each image: beside it, or in ``Annotations`` where images are in ``JPEGImages``.

    Objects that are marked as difficult are learned like all others.

    Raises: DataError: naming the file, for damaged XML, entities, or boxes that are none.
    """
    pairs, notes = annotated_images(root, _ENDING)
    samples = [Sample(image, _annotated(file, image)) for image, file in pairs]
    return in_parts("Pascal VOC XML", root, samples, notes, root / "ImageSets" / "Main")


class _Builder(ElementTree.TreeBuilder):
    """Builds elements of files without a document type, which could define entities without end."""

    def doctype(self, *_: str | None) -> NoReturn:
        raise ValueError("it declares a document type, and no annotation needs one")


def _annotated(file: Path, image: Path) -> Annotated:
    try:
        tree = ElementTree.fromstring(file.read_bytes(), parser=ElementTree.XMLParser(target=_Builder()))
        sizes = [round(float(_text(tree, f"size/{x}"))) for x in ("width", "height")]
        objects = tuple(_object(x) for x in tree.iter("object"))
    except (OSError, OverflowError, ValueError, ElementTree.ParseError) as error:
        raise DataError(f"{file}: {error}") from error
    return Annotated(*sizes, objects)


def _object(x: ElementTree.Element) -> ImageObject:
    left, top, right, bottom = (
        float(_text(x, f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax")
    )
    if not (left < right and top < bottom):
        raise ValueError(f"a box from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) has no area")
    # VOC counts pixels from 1, most programs that write its files from 0, and none says so: no shift.
    return ImageObject(_text(x, "name"), (left, top, right - left, bottom - top))


def _text(x: ElementTree.Element, path: str) -> str:
    text = x.findtext(path)
    if text is None or not text.strip():
        raise ValueError(f"<{x.tag}> has no {path}")
    return text.strip()
