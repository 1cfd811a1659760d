"""Strict configurations: a file, a key, a type or a value that is wrong is an error before any work starts.

``load_config`` finds and reads a file, puts in command-line options, moves data roots and checks every key
and value against what the component at that place accepts. ``read_config`` also tells where each value comes
from. What must escape the check is named in the config itself: ``unchecked = ["model.backbone.extra"]``.
"""

from mmvisionllama.config.checker import check_config
from mmvisionllama.config.loading import data_root_base, load_config, read_config
from mmvisionllama.config.problems import ConfigProblem
from mmvisionllama.config.run_config import RunConfig
from mmvisionllama.errors import ConfigError

__all__ = [
    "ConfigError",
    "ConfigProblem",
    "RunConfig",
    "check_config",
    "data_root_base",
    "load_config",
    "read_config",
]
