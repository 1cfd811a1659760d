"""Read pickles, YAML, arrays and archives of data sets without running code from them.

mmengine's ``load`` and some readers of the hosts unpickle whatever a data set's files hold. From
``make_hosts_read_data_safely`` on they take plain values and arrays alone, in this process.
"""

import io
import pickle
import platform
import sys
import tarfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import IO, Any

import numpy as np
import yaml
from mmengine.fileio import PickleHandler, YamlHandler, register_handler
from numpy.lib import format as npy

from mmvisionllama.errors import DataError
from mmvisionllama.host_internals import numpy_globals

_YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPACK = "Where you trust it, unpack it by tar"
_FIX = "Where you trust it, read it with a program of your own, and save lists, numbers and texts as JSON"


def _encoded(text: str, encoding: str) -> bytes:
    """Do what old pickles of bytes ask for, and nothing else that ``codecs`` can."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it holds an encoding {encoding!r}")
    return text.encode("latin1")


_PLAIN: dict[str, Any] = {
    "_codecs.encode": _encoded,
    "collections.OrderedDict": OrderedDict,
    "numpy.dtype": np.dtype,
    "numpy.ndarray": np.ndarray,
    **{name: function for function, name in numpy_globals()},
    **{
        f"{module}.{kind.__name__}": kind
        for kind in (set, frozenset, bytearray, complex, slice, range)
        for module in ("builtins", "__builtin__")
    },
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _PLAIN.get(f"{module}.{name}")
        if found is None:
            raise DataError(
                f"a pickle of the data holds {module}.{name}, beyond plain values and arrays; loading it "
                f"could run code. {_FIX}"
            )
        return found


def load_plain(file: IO[bytes], **options: Any) -> Any:
    """Do what ``pickle.load`` does, for plain values and arrays.

    Raises: DataError: for anything else, named, and for a damaged file.
    """
    try:
        return _PlainUnpickler(file, **options).load()
    except DataError:
        raise
    except Exception as error:  # pickle fails on damaged bytes by almost any error
        raise DataError(f"a pickle of the data is damaged: {type(error).__name__} {error}") from error


def loads_plain(content: bytes, **options: Any) -> Any:
    """Do what ``pickle.loads`` does; see ``load_plain``."""
    return load_plain(io.BytesIO(content), **options)


def _load_array(path: Any, *args: Any, **options: Any) -> Any:
    """Do what ``numpy.load`` does of a path, its pickles by ``load_plain``."""
    try:
        return np.load(path, *args, **{**options, "allow_pickle": False})
    except ValueError:
        with open(path, "rb") as file:
            if file.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
                file.seek(0)
                return load_plain(file)
            file.seek(0)
            version = npy.read_magic(file)
            (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
            return load_plain(file)


class _DataArchive(tarfile.TarFile):
    """An archive whose members stay below the folder they are unpacked in: no links out of it, no devices."""

    if hasattr(tarfile, "data_filter"):  # not in Python before 3.10.12 and 3.11.4, such as Debian 12's
        extraction_filter = staticmethod(tarfile.data_filter)

    def extractall(self, *args: Any, **options: Any) -> None:
        if not hasattr(tarfile, "data_filter"):
            version = platform.python_version()
            raise DataError(f"{self.name} is not unpacked: Python {version} can't do so safely. {_UNPACK}")
        try:
            super().extractall(*args, **options)
        except tarfile.FilterError as error:
            raise DataError(f"{self.name} is not unpacked: {error}. {_UNPACK}") from error


class _PlainPickle(PickleHandler):
    def load_from_fileobj(self, file: IO[bytes], **options: Any) -> Any:
        return load_plain(file, **options)


class _PlainYaml(YamlHandler):
    def load_from_fileobj(self, file: IO[str], **options: Any) -> Any:
        try:
            return yaml.load(file, Loader=_YamlLoader)
        except (yaml.YAMLError, RecursionError) as error:
            text = " ".join(str(error).split())
            raise DataError(f"a YAML file cannot be read as plain values: {text}. {_FIX}") from error


def _stand_in(module: ModuleType, **functions: Callable) -> ModuleType:
    """Return a module like another one, with these functions in the places of its own."""
    other = ModuleType(module.__name__)
    vars(other).update(vars(module) | functions)
    return other


_PICKLE = {"pickle": _stand_in(pickle, load=load_plain, loads=loads_plain)}
# Modules of the hosts that read data by themselves, and what they find under these names.
_READERS: Mapping[str, Mapping[str, ModuleType]] = {
    "mmpretrain.datasets.cifar": _PICKLE,
    "mmpretrain.datasets.utils": {"tarfile": _stand_in(tarfile, open=_DataArchive.open)},
    "mmpretrain.models.multimodal.ram.ram": _PICKLE,
    "mmseg.utils.io": _PICKLE,
    "mmdet.datasets.openimages": {"np": _stand_in(np, load=_load_array)},
}


class _ReplacingLoader(Loader):
    """Executes a module as another loader does, then replaces names in it."""

    def __init__(self, loader: Loader, names: Mapping[str, Any]) -> None:
        self._loader, self._names = loader, names

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        vars(module).update(self._names)


class _ReaderFinder:
    """Finds the modules of ``_READERS`` where Python finds them, for those that are not imported yet."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in _READERS else None
        if spec is not None:
            spec.loader = _ReplacingLoader(spec.loader, _READERS[name])
        return spec


def make_hosts_read_data_safely() -> None:
    """Let mmengine and the hosts read data as plain values for the rest of the process; once is enough."""
    register_handler(["pickle", "pkl"])(_PlainPickle)
    register_handler(["yaml", "yml"])(_PlainYaml)
    for name in _READERS.keys() & sys.modules.keys():
        vars(sys.modules[name]).update(_READERS[name])
    if not any(isinstance(finder, _ReaderFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ReaderFinder())
