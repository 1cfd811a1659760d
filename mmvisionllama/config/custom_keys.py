"""Parts of parameter names that a config gives options of their own: each must be part of one."""

from collections.abc import Iterable, Iterator

from mmvisionllama.names import nearest

from .errors import Problem


def matching_keys(name: str, keys: Iterable[str]) -> list[str]:
    """Return the keys that mmengine finds in the name of a parameter."""
    # It joins "<module>.<parameter>" also for the root, so ".cls_token" matches at every level.
    dotted = name if "." in name else f".{name}"
    return [key for key in keys if key in dotted]


def unmatched_keys(path: str, keys: Iterable[str], names: Iterable[str]) -> list[Problem]:
    """Report the keys that are part of no parameter's name.

    Args:
        path: Where they stand in the config, e.g. ``optim_wrapper.paramwise_cfg.custom_keys``.
        names: Of all parameters.
    """
    keys, names = list(keys), list(names)
    used = {key for name in names for key in matching_keys(name, keys)}
    return [
        Problem(path, f"no parameter's name holds {key!r}", nearest(key, _parts(names, key.count("."))))
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
