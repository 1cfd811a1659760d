"""Registries of this package, children of mmengine's, under the scope ``mmvisionllama``.

This file imports mmengine alone: an ImportError raised inside a registry module is swallowed by
mmengine and would come back as "not in the registry".
"""

from mmengine.registry import (
    DATASETS as MMENGINE_DATASETS,
)
from mmengine.registry import (
    HOOKS as MMENGINE_HOOKS,
)
from mmengine.registry import (
    METRICS as MMENGINE_METRICS,
)
from mmengine.registry import (
    MODELS as MMENGINE_MODELS,
)
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import (
    TRANSFORMS as MMENGINE_TRANSFORMS,
)
from mmengine.registry import (
    VISUALIZERS as MMENGINE_VISUALIZERS,
)
from mmengine.registry import Registry

SCOPE = "mmvisionllama"


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(parent.name, parent=parent, scope=SCOPE, locations=[f"{SCOPE}.{x}" for x in locations])


MODELS = _child(MMENGINE_MODELS, "models")
DATASETS = _child(MMENGINE_DATASETS, "datasets")
TRANSFORMS = _child(MMENGINE_TRANSFORMS, "datasets")
HOOKS = _child(MMENGINE_HOOKS, "engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, "engine")
METRICS = _child(MMENGINE_METRICS, "evaluation")
VISUALIZERS = _child(MMENGINE_VISUALIZERS, "engine")
