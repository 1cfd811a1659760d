"""Image files by their bytes: size and bits from a header, and whether the picture is whole."""

import io
import mmap
import os
import re
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image

from mmvisionllama.datasets.shard_files import open_image

_HIDDEN = ("__MACOSX", "@eaDir", "Thumbs.db", "$RECYCLE.BIN")  # of macOS, Synology and Windows
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_JPEG, _JPEG_END, _PNG = b"\xff\xd8", b"\xff\xd9", b"\x89PNG\r\n\x1a\n"
# In the coded data of a JPEG, 0xff before anything but these begins a segment.
_SEGMENT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SCAN, _WITHOUT_LENGTH = 0xDA, {0x01, *range(0xD0, 0xDA)}
_FILLINGS = (b"\x55" * 256, b"\xaa" * 256)
_EXIF_ORIENTATION, _FIRST_TURNED = 0x0112, 5
_BITS_OF_MODE = {"1": 1, "I": 32, "F": 32}
_TIFF_BITS, _PNG_BITS = 258, 24  # a tag; a place in the file
_TAIL = 32  # bytes at the end of a file in which it says that it is complete
_PNG_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # segments of a JPEG that tell its size
_HEAD = 4096
_CHUNK = 64  # files to a task
_UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
_READERS = 8  # they wait for the disk more than they compute


def is_hidden(name: str) -> bool:
    """Whether a program keeps a file or folder of this name for itself: it is no part of anybody's data."""
    return name.startswith(".") or name in _HIDDEN


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image file says.

    Attributes:
        size: Width and height of what is stored.
        turned: Whether its EXIF orientation swaps the two when it is loaded.
        bits: Of one channel of a pixel.
        mode: Pillow's name of the kind of pixels.
    """

    size: tuple[int, int]
    turned: bool
    bits: int
    mode: str

    def loaded_size(self, follows_orientation: bool = True) -> tuple[int, int]:
        """Return width and height of what a loader gives."""
        return self.size[::-1] if self.turned and follows_orientation else self.size


def read_headers(paths: Iterable[str | Path]) -> list[ImageHeader | None]:
    """Read the headers of many files at once; see ``read_header``."""
    paths = list(paths)
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with ThreadPoolExecutor(_READERS) as pool:
        return [header for chunk in pool.map(lambda x: [*map(read_header, x)], chunks) for header in chunk]


def read_header(path: str | Path) -> ImageHeader | None:
    """Read the header of a file; None if there is no image, or a JPEG or PNG whose picture is cut off."""
    try:
        with open_image(path) as file:
            return (_plain_header(file) or _any_header(file)) if _is_whole(file) else None
    except _UNREADABLE:
        return None


def jpeg_header(content: bytes) -> ImageHeader | None:
    """Read the header of a JPEG in memory; None of other formats, and where it can't be read."""
    if not content.startswith(_JPEG):
        return None
    file = io.BytesIO(content)
    try:
        return _plain_header(file) or _any_header(file)
    except _UNREADABLE:
        return None


def _is_whole(file: IO[bytes]) -> bool:
    """Whether a file ends as its format does, else whether its picture is whole."""
    start = file.read(len(_PNG))
    end = _JPEG_END if start.startswith(_JPEG) else b"IEND" if start == _PNG else b""
    file.seek(-min(_TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
    if end in file.read():
        return True
    with _whole(file) as content:
        if start == _PNG:
            return _png_ends(content)
        return _last_segment(content) == _JPEG_END[1] or not is_cut_off(content[:])


def _whole(file: IO[bytes]) -> AbstractContextManager[bytes | mmap.mmap]:
    """Give the bytes of a file: mapped, so that of a photo before a film little is read."""
    if isinstance(file, io.RawIOBase):  # in a shard
        file.seek(0)
        return nullcontext(file.read())
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _plain_header(file: IO[bytes]) -> ImageHeader | None:
    """Read a JPEG or PNG without EXIF from its first bytes, faster than Pillow; None for others."""
    file.seek(0)
    head = file.read(_HEAD)
    if b"Exif" in head or b"eXIf" in head:
        return None
    if head.startswith(_PNG):
        width, height, bits, colours = struct.unpack_from(">IIBB", head, _PNG_BITS - 8)
        mode = {(0, 1): "1", (0, 16): "I;16"}.get((colours, bits)) or _PNG_MODES.get(colours)
        return ImageHeader((width, height), False, bits, mode) if mode and width and height else None
    place = len(_JPEG)
    while head.startswith(_JPEG) and place + 10 <= len(head) and head[place] == 0xFF:
        kind, length = head[place + 1], int.from_bytes(head[place + 2 : place + 4], "big")
        if kind in _FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", head, place + 4)
            mode = _JPEG_MODES.get(channels)
            return ImageHeader((width, height), False, bits, mode) if mode and width and height else None
        place += length + 2
    return None


def _any_header(file: IO[bytes]) -> ImageHeader | None:
    file.seek(0)
    with Image.open(file) as image:
        # Pillow decodes a whole PNG to look for the orientation, so it is asked only where there is one.
        exif = image.getexif() if image.info.get("exif") else {}
        turned = exif.get(_EXIF_ORIENTATION, 1) >= _FIRST_TURNED
        return ImageHeader(image.size, turned, _bits(image), image.mode)


def _bits(image: Image.Image) -> int:
    if image.format == "PNG":
        image.fp.seek(_PNG_BITS)
        return image.fp.read(1)[0]
    if image.format == "TIFF":
        return max(image.tag_v2.get(_TIFF_BITS, (1,)))
    return 16 if image.mode.startswith("I;16") else _BITS_OF_MODE.get(image.mode, 8)


def is_cut_off(content: bytes) -> bool:
    """Whether a JPEG or PNG file ends before its picture does; other formats are not judged."""
    try:
        ended(content)
    except ValueError:
        return True
    return False


def ended(content: bytes) -> bytes:
    """Return the bytes of a file so that decoders find the end of its picture.

    Whatever follows the picture, as the film in a motion photo, does not matter, and a JPEG may lack the end
    marker alone: then it is added. Other formats than JPEG and PNG are returned as they are.

    Raises: ValueError: if a part of the picture is missing.
    """
    if content.startswith(_JPEG):
        last = _last_segment(content)
        if last == _SCAN and _needs_no_more(content):
            return content + _JPEG_END
        if last != _JPEG_END[1]:
            raise ValueError("the file is cut off")
    elif content.startswith(_PNG) and not _png_ends(content):
        raise ValueError("the file is cut off")
    return content


def _last_segment(content: bytes | mmap.mmap) -> int | None:
    """Walk from segment to segment, as thumbnails lie inside of them; return the kind of the last."""
    place, kind = len(_JPEG), None
    while kind != _JPEG_END[1] and (found := _SEGMENT.search(content, place)) is not None:
        kind, place = content[found.end() - 1], found.end()
        if kind not in _WITHOUT_LENGTH:
            place += int.from_bytes(content[place : place + 2], "big")
    return kind


def _needs_no_more(content: bytes) -> bool:
    """Whether a JPEG without end marker decodes to the same pixels whatever is appended to its data."""
    one, other = (_pixels(content + filling + _JPEG_END) for filling in _FILLINGS)
    return one is not None and one == other


def _pixels(content: bytes) -> bytes | None:
    """Decode by Pillow, which does not print what libjpeg remarks."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.tobytes()
    except (OSError, SyntaxError, ValueError):
        return None


def _png_ends(content: bytes | mmap.mmap) -> bool:
    """Walk from chunk to chunk to the one that says the end."""
    place = len(_PNG)
    while place + 8 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        if kind == b"IEND":
            return True
        place += length + 12
    return False
