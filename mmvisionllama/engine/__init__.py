"""Hooks, constructors and launching code that the hosts do not have."""

from mmvisionllama.engine.cls_pictures import ClsPicturesHook, ConfusionHook
from mmvisionllama.engine.curves import CurvesHook
from mmvisionllama.engine.det_curves import PrecisionRecallHook
from mmvisionllama.engine.det_pictures import DetPicturesHook
from mmvisionllama.engine.layer_decay import LayerDecayOptimWrapperConstructor
from mmvisionllama.engine.pictures import PicturesHook, SegPicturesHook
from mmvisionllama.engine.precision import BFloat16OptimWrapper
from mmvisionllama.engine.summary import RunSummaryHook, interruption_recorded

__all__ = [
    "BFloat16OptimWrapper",
    "ClsPicturesHook",
    "ConfusionHook",
    "CurvesHook",
    "DetPicturesHook",
    "LayerDecayOptimWrapperConstructor",
    "PicturesHook",
    "PrecisionRecallHook",
    "RunSummaryHook",
    "SegPicturesHook",
    "interruption_recorded",
]
