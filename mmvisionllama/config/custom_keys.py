"""Check ``custom_keys``: parts of parameter names with learning rates and decays of their own."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from mmvisionllama.config.problems import ConfigProblem, raise_problems
from mmvisionllama.suggestions import nearest


def matching_keys(name: str, keys: Iterable[str]) -> list[str]:
    """Return the keys that mmengine finds in the name of a parameter."""
    # It joins "<module>.<parameter>" also for the root, so ".cls_token" matches at every level.
    dotted = name if "." in name else f".{name}"
    return [key for key in keys if key in dotted]


def require_known_custom_keys(paramwise_cfg: Mapping[str, Any] | None, model: nn.Module, path: str) -> None:
    """Require that every entry of ``custom_keys`` is part of a parameter's name.

    Args:
        path: Where ``paramwise_cfg`` stands in the config.
    Raises: ConfigError: with the nearest parts of names.
    """
    keys = (paramwise_cfg or {}).get("custom_keys", {})
    raise_problems(unmatched_keys(f"{path}.custom_keys", keys, (x for x, _ in model.named_parameters())))


def unmatched_keys(path: str, keys: Iterable[str], names: Iterable[str]) -> list[ConfigProblem]:
    """Report the keys that are part of no parameter's name.

    Args:
        path: Where they stand in the config, e.g. ``optim_wrapper.paramwise_cfg.custom_keys``.
        names: Of all parameters.
    """
    keys, names = list(keys), list(names)
    used = {key for name in names for key in matching_keys(name, keys)}
    return [
        ConfigProblem(path, f"no parameter's name holds {key!r}", nearest(key, _parts(names, key.count("."))))
        for key in keys
        if key not in used
    ]


def _parts(names: Iterable[str], dots: int) -> Iterator[str]:
    """Yield what lies in the names between dots, with as many dots inside."""
    seen = set()
    for name in names:
        words = name.split(".")
        for start in range(len(words) - dots):
            part = ".".join(words[start : start + dots + 1])
            if part not in seen and not part.isdigit():
                seen.add(part)
                yield part
