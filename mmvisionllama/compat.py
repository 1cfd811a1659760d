"""Partial environments: torchvision of another build, mmcv without operators, absent extras, our configs."""

import pickle
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from mmvisionllama import host_imports
from mmvisionllama.errors import UserError

# Operators whose schema torchvision's Python part asks for while it is imported.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_CONFIGS = "mmengine.config.config"
_PACKAGE = "mmvisionllama"
# The smallest extra of `setup.py` that brings a module, and this package needs it for.
EXTRAS = {
    "cls": ("matplotlib", "mmpretrain", "tensorboard", "torchvision"),
    "seg": ("mmseg",),
    "det": ("faster_coco_eval", "mmdet", "pycocotools"),
    "gen": ("diffusers", "torchdiffeq"),
    "eval": ("scipy", "torch_fidelity"),
    "hub": ("huggingface_hub",),
    "toy": ("skimage", "sklearn"),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "demo": ("gradio",),
    "track": ("mlflow", "wandb"),
    "analyze": ("pytorch_grad_cam",),
}
# Torch withdraws the schemas as soon as their library object dies.
_libraries: list[object] = []


class _TorchvisionLoader(host_imports.UncollectedLoader):
    """Executes torchvision; where operators are missing, once more with their schemas declared."""

    def exec_module(self, module: ModuleType) -> None:
        try:
            super().exec_module(module)
        except RuntimeError as error:
            if "operator torchvision::" not in str(error):
                raise
            _declare_operators()
            super().exec_module(module)


class _ConfigLoader(SourceFileLoader):
    """Executes mmengine's configs, and lets them find ours as bases."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _find_our_bases(module.Config)


class _FormatterLoader(SourceFileLoader):
    """Executes yapf, and lets it format a text once: mmengine asks at every save, some 0.3 s for each."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        format_code = module.FormatCode

        @lru_cache(maxsize=16)
        def formatted(text: str, style: tuple[tuple[str, Any], ...]) -> tuple[str, bool]:
            return format_code(text, style_config=dict(style))

        def format_once(text: str, *args: Any, **options: Any) -> tuple[str, bool]:
            style = options.get("style_config")
            if args or len(options) != 1 or not isinstance(style, dict):
                return format_code(text, *args, **options)
            return formatted(text, tuple(style.items()))

        module.FormatCode = format_once


class _GrammarLoader(SourceFileLoader):
    """Executes a part of yapf, whose cache may be written by many processes at their first start."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        module.Grammar.dump = _dump_whole


def _dump_whole(grammar: Any, filename: str) -> None:
    """Save tables of a grammar. yapf names the file before its content is there, where others may read it."""
    from mmvisionllama.files import atomic_path

    with atomic_path(Path(filename)) as path:
        path.write_bytes(pickle.dumps(vars(grammar), pickle.HIGHEST_PROTOCOL))


class _Finder:
    """Finds some modules where Python finds them, and gives them a loader of ours."""

    loaders: ClassVar = {
        **host_imports.LOADERS,
        "torchvision": _TorchvisionLoader,
        _CONFIGS: _ConfigLoader,
        "yapf.yapflib.yapf_api": _FormatterLoader,
        "yapf_third_party._ylib2to3.pgen2.grammar": _GrammarLoader,
    }

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in self.loaders else None
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        spec.loader = self.loaders[name](spec.loader.name, spec.loader.path)
        return spec


class _OperatorsFinder(MetaPathFinder, Loader):
    """Finds ``mmcv._ext`` where no other finder does: mmcv was installed without compiled operators."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, origin="mmvisionllama.ops") if fullname == "mmcv._ext" else None

    def exec_module(self, module: ModuleType) -> None:
        from mmvisionllama import ops  # imports torch

        vars(module).update(ops.MODULE)


def install() -> None:
    """Make torchvision and ``mmcv.ops`` importable, whoever imports them and whenever, and our configs bases.

    The compiled part of a CUDA torchvision does not load beside a CPU torch, and then its Python part, which
    is all that the hosts' transforms need, fails on operators that nobody declared. Operators of mmcv that
    were not compiled are those of ``ops``. mmengine reads ``_base_ = "mmvisionllama::seg/..."`` as it reads
    those of the hosts; what they import and rarely use waits, see ``host_imports``. ``import mmvisionllama``
    calls this, imports none of these libraries, and changes nothing else where they are
    healthy, not installed, or fail for any other reason.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    sys.meta_path.append(_OperatorsFinder())
    if _CONFIGS in sys.modules:
        _find_our_bases(sys.modules[_CONFIGS].Config)


def torchvision_is_patched() -> bool:
    """Whether operators had to be declared in this process."""
    return bool(_libraries)


def operators_are_compiled() -> bool:
    """Whether ``mmcv.ops`` calls what was compiled with mmcv, not ``ops``."""
    return not isinstance(find_spec("mmcv._ext").loader, _OperatorsFinder)


def raise_if_extra(error: Exception) -> None:
    """Say how to install a library whose import failed since it belongs to an extra that is not installed.

    Raises: UserError: if that is what the error is about.
    """
    module = error.name if isinstance(error, ModuleNotFoundError) else None
    if extra := next((extra for extra, modules in EXTRAS.items() if module in modules), None):
        every = f'"{_PACKAGE}[all]" brings all that any task needs'
        raise UserError(f"{module} is not installed; {every}. Fix: {install_extra(extra)}") from error


@contextmanager
def extras_named() -> Iterator[None]:
    """Turn the failed import of a library of an extra into a UserError; see ``raise_if_extra``."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise_if_extra(error)
        raise


def install_extra(extra: str) -> str:
    """The shell command that installs an extra into the Python that runs now."""
    return f'{shlex.quote(sys.executable)} -m pip install "{_PACKAGE}[{extra}]"'


def _find_our_bases(config: type) -> None:
    """Let mmengine find ``mmvisionllama::path`` in ``.mim/configs``, as it finds the hosts' configs.

    The private function of mmengine is replaced here and not in ``host_internals``, which imports torch.
    It would mark the dicts of such a base with the package as their scope, where a host's names are not
    found; ours name their host by ``default_scope``, our own types by a prefix. For each path into a host
    it also reads the index of all models there, half a second of YAML; its answer is remembered here.
    """
    sys.modules["mmengine.config.utils"].MODULE2PACKAGE[_PACKAGE] = _PACKAGE
    get_cfg_path = config._get_cfg_path
    in_a_host = cache(lambda cfg_path: get_cfg_path(cfg_path, ""))

    def without_our_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(f"{_PACKAGE}::"):
            return get_cfg_path(cfg_path, filename)[0], None
        return in_a_host(cfg_path) if "::" in cfg_path else get_cfg_path(cfg_path, filename)

    config._get_cfg_path = staticmethod(without_our_scope)


def _declare_operators() -> None:
    import torch

    # The failed import left half-executed modules behind.
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
