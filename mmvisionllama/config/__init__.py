"""Strict configurations: a file, a key or a type that does not exist is an error before any work starts.

``load_config`` finds and reads a file, merges command-line options, moves data roots and checks every
key against what the component at that place accepts. A subtree that must escape the check is named in
the config itself: ``unchecked = ["model.backbone.extra"]``.
"""

from .checking import check_config
from .errors import ConfigError, Problem
from .loading import data_root_base, load_config

__all__ = ["ConfigError", "Problem", "check_config", "data_root_base", "load_config"]
