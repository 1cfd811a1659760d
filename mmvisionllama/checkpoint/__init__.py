"""Reading checkpoints safely and telling whether they fit a model."""

from mmvisionllama.checkpoint.checks import check_exact, check_pretrained, check_start
from mmvisionllama.checkpoint.matching import Match, compare
from mmvisionllama.checkpoint.reading import (
    CheckpointError,
    make_mmengine_read_safely,
    read_checkpoint,
    weights_of,
)

__all__ = [
    "CheckpointError",
    "Match",
    "check_exact",
    "check_pretrained",
    "check_start",
    "compare",
    "make_mmengine_read_safely",
    "read_checkpoint",
    "weights_of",
]
