"""Imports of the hosts that take long and are rarely used: each waits for the first use."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module, reload
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_LINES, _PLOTS = ("scipy.interpolate",), ("matplotlib.colors", "matplotlib.pyplot", "matplotlib.patches")
_MATCHING = ("scipy.optimize",)
# Files of the hosts, and what each of them imports for one class or function of it. Together that takes
# longer than all the rest of their imports; timm alone brings wandb and the client of the hub.
ON_USE = {
    "mmdet.datasets.transforms.generate_line": (
        *_LINES, "imgaug.augmenters", "imgaug.augmentables.lines", "imgaug.augmentables.segmaps",
    ),
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
    "mmpretrain.evaluation.metrics.visual_grounding_eval": ("torchvision.ops.boxes",),
    "mmpretrain.models.utils.box_utils": ("torchvision.ops.boxes",),
    "mmseg.datasets.transforms.transforms": ("scipy.ndimage",),
    "mmseg.models.assigners.hungarian_assigner": _MATCHING,
    "mmseg.models.backbones.beit": ("scipy.interpolate",),
    "mmseg.models.backbones.timm_backbone": ("timm",),
    "mmseg.models.losses.huasdorff_distance_loss": ("scipy.ndimage",),
    "mmseg.utils.tokenizer": ("ftfy",),
}  # fmt: skip
_EXTRA_NORM = "mmpretrain.models.utils.res_layer_extra_norm"


class _OnUse(ModuleType):
    """Stands in for a module until something in it is used, which imports it.

    While the file that asks for it is executed, every name in it is a function that calls what it names: a
    ``from module import name`` imports nothing.
    """

    taken_from = True  # by the file that is being executed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if (inner := sys.modules.get(f"{self.__name__}.{name}")) is not None:
            return inner
        if self.taken_from:
            return partial(_call, self.__name__, name)
        return getattr(import_module(self.__name__), name)


def _call(module: str, name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(import_module(module), name)(*args, **kwargs)


@contextmanager
def _stand_ins(modules: Sequence[str]) -> Iterator[None]:
    """Let imports find stand-ins for these and the modules around them, if installed and not imported yet."""
    parts = (module.split(".") for module in modules if find_spec(module.partition(".")[0]))
    names = {".".join(some[:end]) for some in parts for end in range(1, len(some) + 1)} - {*sys.modules}
    placed = {name: _OnUse(name) for name in names}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            module.taken_from = False
            del sys.modules[name]


class _OnUseLoader(SourceFileLoader):
    """Executes a file of ``ON_USE``."""

    def exec_module(self, module: ModuleType) -> None:
        with _stand_ins(ON_USE[module.__name__]):
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


class _DetectionModelsLoader(SourceFileLoader):
    """Executes mmdet's models, and then what mmpretrain adds to them if that came before."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if getattr(sys.modules.get(_EXTRA_NORM), "ResLayerExtraNorm", module) is None:
            reload(sys.modules[_EXTRA_NORM])


LOADERS: dict[str, Callable[[str, str], SourceFileLoader]] = {
    **dict.fromkeys(ON_USE, _OnUseLoader),
    "mmdet.models": _DetectionModelsLoader,
    _EXTRA_NORM: _ExtraNormLoader,
}
