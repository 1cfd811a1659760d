"""Checkpoint files: reading safely, verifying, saving, sharded, and released weights."""

from mmvisionllama.checkpoint.kept_config import facts_beside, kept_model
from mmvisionllama.checkpoint.manifest import Verdict, newest_good, verify
from mmvisionllama.checkpoint.matching import Match, compare
from mmvisionllama.checkpoint.reading import make_mmengine_read_safely, read_checkpoint, weights_of
from mmvisionllama.checkpoint.released import Converted, convert_file, convert_released
from mmvisionllama.errors import CheckpointError

__all__ = [
    "CheckpointError",
    "Converted",
    "Match",
    "Verdict",
    "compare",
    "convert_file",
    "convert_released",
    "facts_beside",
    "kept_model",
    "make_mmengine_read_safely",
    "newest_good",
    "read_checkpoint",
    "verify",
    "weights_of",
]
