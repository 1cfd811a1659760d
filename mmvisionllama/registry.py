"""Registries of this package, children of mmengine's, under the scope ``mmvisionllama``.

Beside the standard library this file imports mmengine alone: an ImportError raised inside a registry module
is swallowed by mmengine and would come back as "not in the registry".
"""

from importlib.util import find_spec
from typing import Any

from mmengine.registry import (
    DATASETS as MMENGINE_DATASETS,
)
from mmengine.registry import (
    HOOKS as MMENGINE_HOOKS,
)
from mmengine.registry import (
    LOOPS as MMENGINE_LOOPS,
)
from mmengine.registry import (
    METRICS as MMENGINE_METRICS,
)
from mmengine.registry import (
    MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS,
)
from mmengine.registry import (
    MODELS as MMENGINE_MODELS,
)
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import (
    OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS,
)
from mmengine.registry import (
    RUNNERS as MMENGINE_RUNNERS,
)
from mmengine.registry import (
    TRANSFORMS as MMENGINE_TRANSFORMS,
)
from mmengine.registry import (
    VISUALIZERS as MMENGINE_VISUALIZERS,
)
from mmengine.registry import Registry

from mmvisionllama.names import did_you_mean
from mmvisionllama.signatures import accepted_arguments

SCOPE = "mmvisionllama"


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(parent.name, parent=parent, scope=SCOPE, locations=[f"{SCOPE}.{x}" for x in locations])


# mmdet is an extra.
_DETECTION = ("detection",) if find_spec("mmdet") else ()
MODELS = _child(MMENGINE_MODELS, "models", "pretrain", "generation", "evaluation", "baselines", *_DETECTION)
DATASETS = _child(MMENGINE_DATASETS, "datasets.seg", "datasets.digits", "datasets.latents")
TRANSFORMS = _child(
    MMENGINE_TRANSFORMS,
    "datasets.loading",
    "datasets.masks",
    "datasets.three_augment",
    "datasets.center_crop",
)
HOOKS = _child(MMENGINE_HOOKS, "engine", "pretrain", "generation")
LOOPS = _child(MMENGINE_LOOPS, "engine")
MODEL_WRAPPERS = _child(MMENGINE_MODEL_WRAPPERS, "engine")
OPTIM_WRAPPERS = _child(MMENGINE_OPTIM_WRAPPERS, "engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, "engine")
METRICS = _child(MMENGINE_METRICS, "evaluation", "pretrain", "generation")
RUNNERS = _child(MMENGINE_RUNNERS, "engine")
VISUALIZERS = _child(MMENGINE_VISUALIZERS, "engine")


def build_component(cfg: dict[str, Any], **given: Any) -> Any:
    """Build a part of a model from its config dict, whatever ``default_scope`` is.

    Args:
        cfg: ``dict(type='SwiGLU', ...)``; the type is looked up in this package, then in mmengine's root.
        given: Arguments that the caller derives (widths, heads); the config must not repeat them.

    Raises:
        ValueError: if the type is missing or unknown, or an argument is unknown or given twice.
    """
    args = dict(cfg)
    name = str(args.pop("type", None)).removeprefix(f"{SCOPE}.")
    MODELS.import_from_location()
    component = MODELS.module_dict.get(name) or MMENGINE_MODELS.module_dict.get(name)
    if component is None:
        own = sorted(MODELS.module_dict)
        hint = did_you_mean(name, [*own, *MMENGINE_MODELS.module_dict])
        raise ValueError(f"unknown component type {name!r} in {cfg}.{hint} Known here: {', '.join(own)}")
    accepted = accepted_arguments(component).names
    if unknown := set(args) - (accepted - set(given)):
        raise ValueError(f"{name} does not take {sorted(unknown)}; it takes {sorted(accepted - set(given))}")
    return component(**{key: value for key, value in given.items() if key in accepted}, **args)
