"""Reading checkpoints safely and telling whether they fit a model."""

from mmvisionllama.checkpoint.checks import (
    check_exact,
    check_pretrained,
    check_resume,
    check_start,
    require_exact,
)
from mmvisionllama.checkpoint.kept_config import facts_beside, kept_model
from mmvisionllama.checkpoint.manifest import Verdict, newest_good, verify
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
    "Verdict",
    "check_exact",
    "check_pretrained",
    "check_resume",
    "check_start",
    "compare",
    "convert_file",
    "convert_released",
    "facts_beside",
    "kept_model",
    "make_mmengine_read_safely",
    "newest_good",
    "read_checkpoint",
    "require_exact",
    "verify",
    "weights_of",
]
