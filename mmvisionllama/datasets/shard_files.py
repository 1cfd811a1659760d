"""Images inside tar shards: the paths that name them, and the file backend that reads them.

A path such as ``shard://data/shards/train-000012.tar@1536+110021/n01440764/n01440764_10026.JPEG`` says the
shard, where in it the file begins, how many bytes it has, and what it was called. It works wherever mmcv and
the hosts read a file through mmengine's ``fileio``.
"""

import io
import os
import re
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mmengine.fileio import BaseStorageBackend, get_file_backend, register_backend

from mmvisionllama.errors import DataError
from mmvisionllama.files import why_no_file

PREFIX = "shard"
_PATH = re.compile(r"shard://(.+?\.tar)@(\d{1,18})\+(\d{1,18})/(.*)", re.DOTALL)
_MOST_OPEN = 128  # files of a process: systems allow a thousand, and workers share tensors by files, too


@dataclass(frozen=True)
class ShardPath:
    """Where the bytes of an image are; ``str()`` of it is the path that data sets give out.

    Attributes:
        shard: The tar file.
        offset, size: Of the image in it, bytes.
        name: What the image was called, for people.
    """

    shard: str
    offset: int
    size: int
    name: str

    def __str__(self) -> str:
        # mmengine splits a path at "://", and takes one of them.
        name = self.name.replace("://", ":/")
        return f"{PREFIX}://{self.shard}@{self.offset}+{self.size}/{name}"

    @classmethod
    def parse(cls, path: str) -> "ShardPath":
        """Read a path.

        Raises: DataError: if it is none of an image in a shard.
        """
        found = _PATH.fullmatch(path)
        if found is None:
            raise DataError(f"{path!r:.200} names no image in a shard: shard://FILE.tar@OFFSET+SIZE/NAME")
        shard, offset, size, name = found.groups()
        return cls(shard, int(offset), int(size), name)


class _Descriptor:
    """A file that is open for as long as this is referred to; reading leaves no position behind."""

    def __init__(self, path: str) -> None:
        # A pipe of that name would else wait for somebody who writes.
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(self.number).st_mode):
            raise DataError(f"{path} is no file")

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self.number, size, offset)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class _Part(io.RawIOBase):
    """A part of a file, read like a file of its own."""

    def __init__(self, file: _Descriptor, offset: int, size: int) -> None:
        self._file, self._offset, self._size, self._place = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), max(0, self._size - self._place))
        content = self._file.read(size, self._offset + self._place)
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)


@register_backend("shard", prefixes=PREFIX, force=True)
class ShardBackend(BaseStorageBackend):
    """Reads images inside tar shards, each by one ``pread``.

    Shards are opened when they are needed and stay open, the ones used last. Processes that are forked may
    share them, since no position in a file is kept; what is sent to other processes are paths alone.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Descriptor] = {}
        self._lock = threading.Lock()

    def get(self, filepath: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            DataError: if the path is wrong, or the shard ends before the image does.
            OSError: if the shard cannot be read.
        """
        path = ShardPath.parse(str(filepath))
        content = self._file(path.shard).read(path.size, path.offset)
        if len(content) < path.size:
            raise DataError(f"{path.shard} is cut off: {path.name} ends at byte {path.offset + path.size:,}")
        return content

    def get_text(self, filepath: str, encoding: str = "utf-8") -> str:
        """Return the bytes as text."""
        return self.get(filepath).decode(encoding)

    def exists(self, filepath: str) -> bool:
        """Whether the shard is there, and long enough."""
        path = ShardPath.parse(str(filepath))
        return os.path.isfile(path.shard) and path.offset + path.size <= os.path.getsize(path.shard)

    def part(self, filepath: str) -> IO[bytes]:
        """Return an image as a file of its own, of which only what is asked for is read."""
        path = ShardPath.parse(filepath)
        return _Part(self._file(path.shard), path.offset, path.size)

    def _file(self, shard: str) -> _Descriptor:
        with self._lock:
            file = self._open.pop(shard, None) or _Descriptor(shard)
            self._open[shard] = file
            if len(self._open) > _MOST_OPEN:  # it is closed when nobody reads from it any more
                del self._open[next(iter(self._open))]
            return file


def is_image_there(path: str) -> bool:
    """Whether an image file is there, or the shard that a path names an image in."""
    if not path.startswith(f"{PREFIX}://"):
        return why_no_file(Path(path)) is None
    try:
        return get_file_backend(path, enable_singleton=True).exists(path)
    except DataError:
        return False


def open_image(path: str | Path) -> IO[bytes]:
    """Open an image file, or an image in a shard, for reading."""
    if str(path).startswith(f"{PREFIX}://"):
        return get_file_backend(str(path), enable_singleton=True).part(str(path))
    return open(path, "rb")
