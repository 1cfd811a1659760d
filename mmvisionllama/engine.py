"""Former place of names that moved in version 0.2; importable here until 0.3."""

import importlib
import warnings
from operator import attrgetter
from typing import Any

_MOVED = {
    "DIVERGED_STATUS": ("errors", "ExitStatus.DIVERGED"),
    "STALLED_STATUS": ("errors", "ExitStatus.STALLED"),
    "STOPPED_STATUS": ("errors", "ExitStatus.STOPPED"),
    "BFloat16OptimWrapper": ("training.precision", "BFloat16OptimWrapper"),
    "ClsPicturesHook": ("reports.cls_pictures", "ClsPicturesHook"),
    "ConfusionHook": ("reports.confusion", "ConfusionHook"),
    "CurvesHook": ("reports.curves", "CurvesHook"),
    "DetPicturesHook": ("reports.det_pictures", "DetPicturesHook"),
    "Diverged": ("errors", "Diverged"),
    "GoBack": ("errors", "GoBack"),
    "LayerDecayOptimWrapperConstructor": ("training.layer_decay", "LayerDecayOptimWrapperConstructor"),
    "NanGuardHook": ("fault_tolerance.nan_guard", "NanGuardHook"),
    "PicturesHook": ("reports.pictures", "PicturesHook"),
    "PrecisionRecallHook": ("reports.precision_recall", "PrecisionRecallHook"),
    "ResumableEpochLoop": ("training.loops", "ResumableEpochLoop"),
    "ResumableIterLoop": ("training.loops", "ResumableIterLoop"),
    "ResumableRunner": ("training.runner", "ResumableRunner"),
    "RunSummaryHook": ("reports.summary", "RunSummaryHook"),
    "SafeCheckpointHook": ("training.checkpoint_hook", "SafeCheckpointHook"),
    "SegPicturesHook": ("reports.seg_pictures", "SegPicturesHook"),
    "ShardedDataParallel": ("training.sharding", "ShardedDataParallel"),
    "Stopped": ("errors", "Stopped"),
    "interruption_recorded": ("reports.summary", "interruption_recorded"),
}
__all__ = sorted(_MOVED)


def __getattr__(name: str) -> Any:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _MOVED[name]
    place = f"mmvisionllama.{module}"
    warnings.warn(f"mmvisionllama.engine.{name} is {place}.{attribute} now", DeprecationWarning, stacklevel=2)
    return attrgetter(attribute)(importlib.import_module(place))
