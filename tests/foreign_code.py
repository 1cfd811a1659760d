"""Files that would run code, for every format that can, and what they leave if one does."""

import io
import json
import os
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmvisionllama.files import sha256_of
from tests.checkpoint.test_saving import content


class RunsCode:
    """An object whose pickle makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.marker,)


def python_text(marker: Path) -> str:
    return f"import os\nos.mkdir({str(marker)!r})\n"


def yaml_text(marker: Path) -> str:
    return f"!!python/object/apply:os.mkdir ['{marker}']\n"


def checkpoint(path: Path, marker: Path, **changes: Any) -> Path:
    """A whole training with an object that is none of a training's."""
    torch.save(content(1, x=RunsCode(marker), **changes), path)
    return path


def legacy_checkpoint(path: Path, marker: Path) -> Path:
    torch.save(content(1, x=RunsCode(marker)), path, _use_new_zipfile_serialization=False)
    return path


def bare_pickle(path: Path, marker: Path) -> Path:
    path.write_bytes(pickle.dumps(RunsCode(marker), protocol=2))
    return path


def array_file(path: Path, marker: Path) -> Path:
    np.save(path, np.array([RunsCode(marker)], dtype=object), allow_pickle=True)
    return path


def arrays_file(path: Path, marker: Path, **plain: Any) -> Path:
    """An ``.npz`` of ADM's evaluator whose ``mu`` and labels are pickles."""
    odd = np.array([RunsCode(marker)], dtype=object)
    np.savez(path, **{"mu": odd, "sigma": odd, "arr_1": odd, **plain})
    return path


def climbing_tar(path: Path, marker: Path) -> Path:
    """An archive with a member beside the folder that it is unpacked in."""
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(f"../{marker.name}")
        archive.addfile(member, io.BytesIO())
    return path


def climbing_zip(path: Path, marker: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"../{marker.name}", "")
    return path


def forged(folder: Path, name: str) -> None:
    """Let the manifest of a sharded checkpoint promise what lies there, as whoever planted it would."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["parts"][name] = [(folder / name).stat().st_size, sha256_of(folder / name)]
    file.write_text(json.dumps(manifest))
