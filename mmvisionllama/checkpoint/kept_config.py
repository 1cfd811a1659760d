"""The config of a model that its checkpoint keeps, read without running it."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmvisionllama.checkpoint.reading import CheckpointError


def kept_model(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Any] | None:
    """Return the config of the model that ``checkpoint`` was saved with, if it is known.

    A training keeps it as text in the checkpoint, a conversion in the JSON file beside it.

    Args:
        path: Where the checkpoint was read from.

    Raises:
        CheckpointError: if the JSON file is none.
    """
    meta = checkpoint.get("meta") or {}
    if isinstance(text := meta.get("cfg"), str):
        return _model_in(text)
    return facts_beside(path).get("model")


def facts_beside(path: str | Path) -> dict[str, Any]:
    """Return what a conversion wrote of its weights in the file beside them, nothing if there is none."""
    path = Path(path)
    beside = path.with_suffix(".json")
    if path.suffix != ".safetensors" or not beside.is_file():
        return {}
    try:
        return json.loads(beside.read_text())
    except ValueError as error:
        raise CheckpointError(f"{beside}, beside {path.name}, is no JSON file: {error}") from error


def _model_in(text: str) -> dict[str, Any] | None:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return None
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "model":
            try:
                return _value_of(statement.value)
            except ValueError:  # more than a config that mmengine has written
                return None
    return None


def _value_of(node: ast.expr) -> Any:
    """Evaluate literals and ``dict(...)``, of which mmengine's configs consist once they are resolved."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError("dict() of something else")
        return {keyword.arg: _value_of(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError("a dict unpacked in another")
        keys = [ast.literal_eval(key) for key in node.keys]
        return dict(zip(keys, map(_value_of, node.values), strict=True))
    if isinstance(node, ast.List | ast.Tuple):
        items = [_value_of(item) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    return ast.literal_eval(node)
