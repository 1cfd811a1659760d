"""Imports that take long and are rarely used, most of them in the hosts: each waits for the first use."""

import builtins
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, reload
from importlib.machinery import SourceFileLoader
from importlib.metadata import version
from importlib.util import find_spec, resolve_name
from types import ModuleType, SimpleNamespace
from typing import Any

_LINES, _PLOTS = ("scipy.interpolate",), ("matplotlib.colors", "matplotlib.pyplot", "matplotlib.patches")
_MATCHING = ("scipy.optimize",)
_FUNCTIONAL = tuple(
    f"torch.distributed.optim.functional_{name}"
    for name in ("adadelta", "adagrad", "adam", "adamax", "adamw", "rmsprop", "rprop", "sgd")
)
# Files, and what each of them imports for one class or function of it. Together that takes longer than all
# the rest of their imports; timm alone brings wandb and the client of the hub.
ON_USE = {
    # mmengine takes one optimizer of there; the others compile themselves for TorchScript.
    "torch.distributed.optim": _FUNCTIONAL,
    "torch.distributed.optim.utils": _FUNCTIONAL,
    "mmdet.datasets.transforms.generate_line": (
        *_LINES, "imgaug.augmenters", "imgaug.augmentables.lines", "imgaug.augmentables.segmaps",
    ),
    "mmdet.datasets.transforms.transforms": ("imagecorruptions",),
    "mmdet.evaluation.metrics.crowdhuman_metric": ("scipy.sparse", "scipy.sparse.csgraph"),
    "mmdet.evaluation.metrics.culane_metric": (*_LINES, *_MATCHING),
    "mmdet.models.dense_heads.clr_head.clr_head": _PLOTS,
    "mmdet.models.dense_heads.clr_head.lane": _LINES,
    "mmdet.models.dense_heads.paa_head": ("sklearn.mixture",),
    "mmdet.models.task_modules.assigners.hungarian_assigner": _MATCHING,
    "mmdet.models.task_modules.assigners.topk_hungarian_assigner": _MATCHING,
    "mmdet.models.task_modules.tracking.aflink": _MATCHING,
    "mmdet.models.task_modules.tracking.interpolation": (
        "sklearn.gaussian_process", "sklearn.gaussian_process.kernels",
    ),
    "mmdet.models.task_modules.tracking.kalman_filter": ("scipy.linalg",),
    "mmdet.models.trackers.sort_tracker": _MATCHING,
    "mmdet.utils.mot_error_visualize": _PLOTS,
    "mmdet.visualization.local_visualizer": _PLOTS,
    "mmengine.utils.dl_utils.collect_env": ("torchvision",),
    "mmpretrain.evaluation.metrics.visual_grounding_eval": ("torchvision.ops.boxes",),
    "mmpretrain.models.utils.box_utils": ("torchvision.ops.boxes",),
    "mmseg.datasets.onedl": ("mmpretrain.datasets._palette",),
    "mmseg.datasets.transforms.transforms": ("scipy.ndimage",),
    "mmseg.models.assigners.hungarian_assigner": _MATCHING,
    "mmseg.models.backbones.beit": ("scipy",),
    "mmseg.models.backbones.timm_backbone": ("timm",),
    "mmseg.models.losses.huasdorff_distance_loss": ("scipy.ndimage",),
    "mmseg.utils.tokenizer": ("ftfy",),
}  # fmt: skip
_EXTRA_NORM = "mmpretrain.models.utils.res_layer_extra_norm"


class _OnUse(ModuleType):
    """Stands in for a module until something in it is used, which imports it."""

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            return version(self.__name__)
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)


class _NameOnUse:
    """Stands in for what a module has under a name; a call, an index or an attribute imports the module.

    It is no class, so nothing can be derived from it.
    """

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _found(self) -> Any:
        return getattr(import_module(self._module), self._name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._found()(*args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self._found()[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._found(), name)


def _stand_in(module: str, names: Sequence[str]) -> Any:
    """Return what ``from module import names`` takes these from, or what ``import module`` binds."""
    if names:
        return SimpleNamespace(**{name: _NameOnUse(module, name) for name in names})
    first, *rest = module.split(".")
    top = inner = _OnUse(first)
    for part in rest:
        outer, inner = inner, _OnUse(f"{inner.__name__}.{part}")
        setattr(outer, part, inner)
    return top


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage while a run starts, unless somebody asks for it.

    Imports, configs and lists of samples are hundreds of thousands of objects that stay. Collections that
    went through them again and again took a quarter of the time of all imports.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class UncollectedLoader(SourceFileLoader):
    """Executes a package without collecting garbage."""

    def exec_module(self, module: ModuleType) -> None:
        with uncollected():
            super().exec_module(module)


class _OnUseLoader(UncollectedLoader):
    """Executes a file of ``ON_USE``, whose import statements alone find stand-ins."""

    def exec_module(self, module: ModuleType) -> None:
        waiting = ON_USE[module.__name__]

        def import_on_use(
            name: str,
            globals: Any = None,
            locals: Any = None,
            fromlist: Sequence[str] | None = None,
            level: int = 0,
        ) -> Any:
            full = resolve_name("." * level + name, module.__package__)
            if full in waiting and full not in sys.modules and find_spec(full.partition(".")[0]):
                return _stand_in(full, fromlist or ())
            return __import__(name, globals, locals, fromlist or (), level)

        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": import_on_use}
        super().exec_module(module)


class _ExtraNormLoader(SourceFileLoader):
    """Executes the one file of mmpretrain that extends mmdet as if that were absent, unless it is there."""

    def exec_module(self, module: ModuleType) -> None:
        if "mmdet" in sys.modules:
            super().exec_module(module)
            return
        sys.modules["mmdet"] = None
        try:
            super().exec_module(module)
        finally:
            del sys.modules["mmdet"]


class _DetectionModelsLoader(UncollectedLoader):
    """Executes mmdet's models, and then what mmpretrain adds to them if that came before."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if getattr(sys.modules.get(_EXTRA_NORM), "ResLayerExtraNorm", module) is None:
            reload(sys.modules[_EXTRA_NORM])


_LARGE = (
    "mmcv", "mmdet.datasets", "mmdet.engine.hooks", "mmdet.evaluation", "mmengine.runner",
    "mmpretrain.datasets", "mmpretrain.models", "mmseg.datasets", "mmseg.models",
    "mmvisionllama.inference.trained_model", "mmvisionllama.training.launch", "torch", "torch._dynamo",
)  # fmt: skip
LOADERS: dict[str, Callable[[str, str], SourceFileLoader]] = {
    **dict.fromkeys(_LARGE, UncollectedLoader),
    **dict.fromkeys(ON_USE, _OnUseLoader),
    "mmdet.models": _DetectionModelsLoader,
    _EXTRA_NORM: _ExtraNormLoader,
}
