"""Hooks, constructors and launching code that the hosts do not have."""

from mmvisionllama.engine.cls_pictures import ClsPicturesHook, ConfusionHook
from mmvisionllama.engine.curves import CurvesHook
from mmvisionllama.engine.det_curves import PrecisionRecallHook
from mmvisionllama.engine.det_pictures import DetPicturesHook
from mmvisionllama.engine.layer_decay import LayerDecayOptimWrapperConstructor
from mmvisionllama.engine.loops import ResumableEpochLoop, ResumableIterLoop
from mmvisionllama.engine.nan_guard import DIVERGED_STATUS, Diverged, GoBack, NanGuardHook
from mmvisionllama.engine.pictures import PicturesHook, SegPicturesHook
from mmvisionllama.engine.precision import BFloat16OptimWrapper
from mmvisionllama.engine.resumable import ResumableRunner
from mmvisionllama.engine.safe_checkpoint import SafeCheckpointHook
from mmvisionllama.engine.sharding import ShardedDataParallel
from mmvisionllama.engine.stopping import STOPPED_STATUS, Stopped
from mmvisionllama.engine.summary import RunSummaryHook, interruption_recorded
from mmvisionllama.engine.watchdog import STALLED_STATUS

__all__ = [
    "DIVERGED_STATUS",
    "STALLED_STATUS",
    "STOPPED_STATUS",
    "BFloat16OptimWrapper",
    "ClsPicturesHook",
    "ConfusionHook",
    "CurvesHook",
    "DetPicturesHook",
    "Diverged",
    "GoBack",
    "LayerDecayOptimWrapperConstructor",
    "NanGuardHook",
    "PicturesHook",
    "PrecisionRecallHook",
    "ResumableEpochLoop",
    "ResumableIterLoop",
    "ResumableRunner",
    "RunSummaryHook",
    "SafeCheckpointHook",
    "SegPicturesHook",
    "ShardedDataParallel",
    "Stopped",
    "interruption_recorded",
]
