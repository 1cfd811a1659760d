"""The check of a whole configuration."""

from mmengine.config import Config

from mmvisionllama.names import nearest

from .errors import Problem
from .places import BY_NAME, ROOT
from .resolving import SCOPES, import_failure
from .variables import read_variables, values_below
from .walking import Checker, Spot


def check_config(cfg: Config) -> list[Problem]:
    """Return every key of ``cfg`` that nothing reads and every type that nothing provides.

    Nothing is built; the packages that provide the types are imported. What the config lists under
    ``unchecked``, key paths with all below them, is left out.
    """
    checker = Checker(BY_NAME, cfg.get("unchecked", ()))
    scope = cfg.get("default_scope") or "mmengine"
    if failure := import_failure(scope):  # no type could be found, so nothing else is worth saying
        text = f"importing the registries of {scope!r} failed with {failure}"
        return [Problem("default_scope", text, nearest(scope, SCOPES))]
    spot = Spot(scopes=(scope,))
    for key, rule in ROOT.items():
        if cfg.get(key) is not None:
            checker.value(cfg[key], spot.below(key), rule)
    checker.problems += _useless_variables(cfg)
    for path in sorted(checker.unmatched):
        checker.problems.append(Problem("unchecked", f"the config has no {path!r}"))
    return checker.problems


def helper_variables(cfg: Config) -> list[str]:
    """Return the top-level names that are no settings: the config file computes settings from them."""
    return [key for key in cfg if key not in ROOT]


def _useless_variables(cfg: Config) -> list[Problem]:
    """Find the top-level names that are neither a setting nor read by the files to compute one.

    A name counts as read when the file that assigns it, or one that inherits it, mentions it again;
    failing that (a dumped config has only values) when a setting contains its value.
    """
    read = read_variables(cfg.filename)
    settings = [cfg[key] for key in cfg if key in ROOT]
    problems = []
    for key in helper_variables(cfg):
        if key.startswith("_") or key in read:
            continue
        meant = nearest(key, ROOT, cutoff=0.8)
        used = any(cfg[key] == value for value in values_below(settings))
        if not used or (meant and not isinstance(cfg[key], (dict, list, tuple))):  # scalars meet by chance
            text = "no setting has this name and none is computed from it"
            problems.append(Problem(key, text, meant))
    return problems
