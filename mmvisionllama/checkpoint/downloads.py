"""Download checkpoints once, kept in torch's cache by their whole address and SHA-256."""

import hashlib
import re
import shutil
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import torch

from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import atomic_path, sha256_of

_SILENCE = 60  # seconds without a byte after which a download has failed
# torch's and OpenMMLab's names end in the first digits of the content's SHA-256; eight digits may be a date.
_PROMISE = re.compile(r"-(?!20\d{6}\.)([0-9a-f]{8,64})\.\w+$")


def downloaded(url: str) -> Path:
    """Return the file of an ``http(s)`` address, which the first call downloads, whole or not at all.

    Two addresses never share a file, whatever its name. A file that has changed on disk since is downloaded
    again.

    Raises: CheckpointError: if it cannot be downloaded, or is not the one that its name promises.
    """
    name = Path(urlsplit(url).path).name
    if not name:
        raise CheckpointError(f"checkpoint {url} names no file")
    address = hashlib.sha256(url.encode()).hexdigest()
    path = Path(torch.hub.get_dir(), "checkpoints", address[:32], name)
    known = path.with_name(f"{name}.sha256")
    if path.is_file() and known.is_file() and known.read_bytes() == sha256_of(path).encode():
        return path
    try:
        with atomic_path(path) as temporary:
            _fetch(url, temporary)
            found = sha256_of(temporary)
            promised = _PROMISE.search(name)
            if promised and not found.startswith(promised[1]):
                raise CheckpointError(
                    f"checkpoint {url} is not what its name promises: its SHA-256 begins with "
                    f"{found[: len(promised[1])]}, not with {promised[1]}"
                )
            with atomic_path(known) as text:
                text.write_text(found)
    except CheckpointError:
        raise
    except (OSError, ValueError, HTTPException) as error:
        raise CheckpointError(f"checkpoint {url} cannot be downloaded: {error}") from error
    return path


def _fetch(url: str, target: Path) -> None:
    with urllib.request.urlopen(url, timeout=_SILENCE) as answer, target.open("wb") as file:
        shutil.copyfileobj(answer, file)
        promised, found = answer.headers["Content-Length"], file.tell()
    if promised is not None and int(promised) != found:
        raise OSError(f"it ended after {found:,} of {int(promised):,} bytes")
