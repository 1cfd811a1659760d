"""Reading checkpoints safely and telling whether they fit a model."""

from mmvisionllama.checkpoint.checks import check_exact, check_pretrained, check_resume, check_start
from mmvisionllama.checkpoint.matching import Match, compare
from mmvisionllama.checkpoint.reading import (
    CheckpointError,
    make_mmengine_read_safely,
    read_checkpoint,
    weights_of,
)
from mmvisionllama.checkpoint.released import Converted, convert_file, convert_released

__all__ = [
    "CheckpointError",
    "Converted",
    "Match",
    "check_exact",
    "check_pretrained",
    "check_resume",
    "check_start",
    "compare",
    "convert_file",
    "convert_released",
    "make_mmengine_read_safely",
    "read_checkpoint",
    "weights_of",
]
