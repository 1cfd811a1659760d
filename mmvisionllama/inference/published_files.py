"""A published model: a folder of weights, resolved config, card and example picture."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmvisionllama.errors import CheckpointError, InputError
from mmvisionllama.training.checkpoint_content import plain_config

CONFIG, CARD, EXAMPLE, LOG = "config.json", "README.md", "example.png", "training.jsonl"
LIBRARY = "mmvisionllama"
_SETTINGS = ("model", "data_preprocessor", "default_scope", "test_dataloader")
_STARTS = ("init_cfg", "pretrained")  # where weights came from that the published ones replace


def described(cfg: Mapping[str, Any], metainfo: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``config.json`` says of a model: the settings that use it, and the classes.

    JSON has no tuples, but some transforms ask for one; ``tuples`` has their places.

    Raises: InputError: if a setting is a path of this machine.
    """
    settings = {key: _portable(cfg[key], key) for key in _SETTINGS if cfg.get(key) is not None}
    known = {key: metainfo[key] for key in ("classes", "palette") if metainfo.get(key) is not None}
    described = {**settings, "dataset_meta": known, "category_ids": metainfo.get("category_ids")}
    plain = plain_config(described)
    return {**plain, "tuples": [".".join(x) for x in _tuples(described)]}


def settings_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a ``config.json`` with its tuples; none if it is not one of ours."""
    if facts.get("library_name") != LIBRARY:
        return {}
    settings = {key: facts[key] for key in _SETTINGS if key in facts}
    places = map(str, _part(facts, "tuples", list))
    for keys in sorted((x.split(".") for x in places), key=len, reverse=True):  # the innermost first
        if keys[0] in settings:
            settings = _with_tuple(settings, keys)
    return settings


def metainfo_in(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the names and colours of classes in a ``config.json``; None if it is not one of ours."""
    if facts.get("library_name") != LIBRARY:
        return None
    return {**_part(facts, "dataset_meta", dict), "category_ids": facts.get("category_ids")}


def _part(facts: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a part of ``config.json``, an empty one if it is not there."""
    value = facts.get(name)
    if not isinstance(value, kind | None):
        raise CheckpointError(
            f"{CONFIG} is damaged: its {name} is a {type(value).__name__}, not a {kind.__name__}"
        )
    return kind() if value is None else value


def _portable(value: Any, path: str) -> Any:
    """Copy settings without the weights that a training began with."""
    if isinstance(value, Mapping):
        is_start = value.get("type") == "Pretrained" and "checkpoint" in value
        kept = {} if is_start else value
        return {
            str(key): _portable(x, f"{path}.{key}")
            for key, x in kept.items()
            if not (key in _STARTS and _names_weights(x))
        }
    if isinstance(value, (list, tuple)):
        return type(value)(_portable(x, f"{path}.{i}") for i, x in enumerate(value))
    if isinstance(value, str) and (os.path.isabs(value) or ("/" in value and Path(value).exists())):
        raise InputError(
            f"{path}={value!r} is a path of this machine, which nobody else has; give a config with a name "
            "that others can reach by --config, e.g. one on the hub"
        )
    return value


def _names_weights(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "checkpoint" in value
    return isinstance(value, str)


def _tuples(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, tuple):
        yield path
    if isinstance(value, Mapping):
        value = value.items()
    elif isinstance(value, (list, tuple)):
        value = enumerate(value)
    else:
        return
    for key, x in value:
        yield from _tuples(x, (*path, str(key)))


def _with_tuple(value: Any, keys: list[str]) -> Any:
    """Copy a nest with the list at a place as a tuple; a place that is not there changes nothing."""
    if not keys:
        return tuple(value) if isinstance(value, list) else value
    key, rest = keys[0], keys[1:]
    if isinstance(value, Mapping) and key in value:
        return {**value, key: _with_tuple(value[key], rest)}
    if isinstance(value, (list, tuple)) and key.isdigit() and int(key) < len(value):
        return type(value)(_with_tuple(x, rest) if i == int(key) else x for i, x in enumerate(value))
    return value
