"""Files in a tar file and where they lie; nothing of it is unpacked."""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmvisionllama.errors import DataError
from mmvisionllama.files import why_no_file

BLOCK = 512  # bytes; headers and files begin at a multiple


@dataclass(frozen=True)
class Member:
    """A file in a tar file: its name there, where its bytes begin, and how many there are."""

    name: str
    offset: int
    size: int


def members_of(path: Path) -> list[Member]:
    """List the files in a tar file; folders are passed over.

    Raises:
        DataError: if it is compressed, cut off or damaged, or holds anything but files and folders, as links.
    """
    if problem := why_no_file(path):
        raise DataError(f"{path} is {problem}")
    try:
        with tarfile.open(path, "r:") as archive:
            return [x for x in _walk(path, archive, path.stat().st_size) if x is not None]
    except DataError:
        raise
    # Forged headers lead to almost any error of the reader, e.g. a chain of long names to the last one.
    except (tarfile.TarError, OSError, ValueError, ArithmeticError, EOFError, RecursionError) as error:
        raise DataError(f"{path} is no sound tar file: {error}. Compressed ones must be unpacked") from error


def _walk(path: Path, archive: tarfile.TarFile, end: int) -> Iterator[Member | None]:
    last = -1
    while (entry := archive.next()) is not None:
        name = entry.name[:200]
        # A negative size would lead the reader back to where it was, for ever.
        if entry.size < 0 or entry.offset <= last or entry.offset_data <= entry.offset:
            raise DataError(f"{path} is damaged: {name!r} has {entry.size} bytes")
        last = entry.offset
        if entry.issparse() or not (entry.isreg() or entry.isdir()):
            raise DataError(f"{path} holds {name!r}, which is a link, a device or a file with holes")
        if entry.offset_data + (entry.size if entry.isreg() else 0) > end:
            raise DataError(f"{path} is cut off, or damaged: {name!r} ends beyond its {end:,} bytes")
        yield Member(entry.name, entry.offset_data, entry.size) if entry.isreg() else None
    # The reader takes a damaged header for the end of the archive.
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(BLOCK)
    if block.strip(b"\0") or 0 < len(block) < BLOCK:
        raise DataError(f"{path} is damaged: byte {archive.offset:,} begins no file")


def read_member(path: Path, member: Member) -> bytes:
    """Return the bytes of a file in a tar file."""
    with path.open("rb") as file:
        return os.pread(file.fileno(), member.size, member.offset)
