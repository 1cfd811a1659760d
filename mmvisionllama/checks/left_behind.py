"""Find a test that stays that of a base when a config changes the validation."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvisionllama.config.config_files import shown
from mmvisionllama.config.origins import leaves
from mmvisionllama.config.variables import read_chain
from mmvisionllama.suggestions import shortened

_PAIRS = {"test_dataloader": "val_dataloader", "test_evaluator": "val_evaluator"}


def remark_on_left_behind(cfg: Config) -> list[str]:
    """Return a line for each part of the test that a base took from the validation before that was changed.

    mmengine copies ``test_dataloader = val_dataloader`` where it stands, so a child config or an option that
    changes the validation leaves the test on other data.
    """
    if not cfg.filename or not Path(cfg.filename).is_file():
        return []
    chain = read_chain(Path(cfg.filename), foreign=True)
    notes = []
    for test, validation in _PAIRS.items():
        copied = next((path for path, tree in chain.items() if _value(tree, test) is not None), None)
        if copied is None or not _is_name(_value(chain[copied], test), validation):
            continue
        ours, theirs = _read_part(cfg.get(test)), _read_part(cfg.get(validation))
        differing = [x for x in dict.fromkeys((*theirs, *ours)) if ours.get(x) != theirs.get(x)]
        if differing and cfg.get(validation) is not None:
            told = [f"{x} is {ours.get(x)!r}, not {theirs.get(x)!r}" for x in differing]
            notes.append(
                f"{test} was left behind: {shown(copied)} copied {validation}, which was changed after that "
                f"({shortened(told)}); where the test shall be as the validation, write {test} = "
                f"{validation} in the config that changes it"
            )
    return notes


def _read_part(section: Any) -> dict[str, Any]:
    """Return key paths and values of what decides the data and the metric, not the speed."""
    if isinstance(section, Mapping):
        section = section.get("dataset", section)
    return {".".join(keys): value for keys, value in leaves(section)}


def _value(tree: ast.Module, name: str) -> ast.expr | None:
    found = None
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(_is_name(x, name) for x in node.targets):
            found = node.value
    return found


def _is_name(node: ast.expr | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
