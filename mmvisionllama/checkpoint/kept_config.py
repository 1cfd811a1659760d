"""Read the config of the model that a checkpoint was saved with, without running it."""

import ast
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import read_json

WEIGHTS = "model.safetensors"  # of a published model


def kept_model(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Any] | None:
    """Return the config of the model that ``checkpoint`` was saved with, if it is known.

    A training keeps it in the checkpoint's ``meta``, earlier ones as text of the whole config; a conversion
    keeps it in the JSON file beside the weights.

    Args:
        path: Where the checkpoint was read from.

    Raises:
        CheckpointError: if the JSON file is none.
    """
    meta = checkpoint.get("meta") or {}
    if isinstance(meta.get("model"), Mapping):
        return dict(meta["model"])
    if isinstance(meta.get("cfg"), str):
        return kept_setting(checkpoint, "model")
    model = facts_beside(path).get("model")
    return dict(model) if isinstance(model, Mapping) else None


def kept_settings(checkpoint: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the settings of the config that ``checkpoint`` keeps as text, those that are plain data.

    Args:
        names: Which of them; none: all.
    """
    text = (checkpoint.get("meta") or {}).get("cfg")
    return dict(settings_in(text, names=names)) if isinstance(text, str) else {}


def kept_setting(checkpoint: Mapping[str, Any], name: str) -> Any:
    """Return a top-level setting of the config that ``checkpoint`` keeps as text, None if there is none."""
    return kept_settings(checkpoint, name).get(name)


def facts_beside(path: str | Path) -> dict[str, Any]:
    """Return what a conversion wrote of its weights in the file beside them, nothing if there is none."""
    path = Path(path).expanduser()
    beside = facts_file(path)
    if path.suffix != ".safetensors" or not os.path.lexists(beside):
        return {}
    try:
        facts = read_json(beside)
    except ValueError as error:
        raise CheckpointError(f"{beside}, beside {path.name}, is no JSON file: {error}") from error
    if not isinstance(facts, dict):
        raise CheckpointError(f"{beside}, beside {path.name}, holds a {type(facts).__name__}, no facts")
    return facts


def facts_file(path: Path) -> Path:
    """Return where a conversion writes about weights; of a published model it is as everywhere on the hub."""
    beside = path.with_suffix(".json")
    is_published = path.name == WEIGHTS and not os.path.lexists(beside)
    return path.with_name("config.json") if is_published else beside


def settings_in(
    text: str, *, names: Collection[str] = (), also_code: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a config that mmengine wrote; nothing of it is run.

    Args:
        names: Which settings; none: all.
        also_code: Yield the source text of what has something else than literals; else that is left out.
    """
    try:
        lines = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # no config at all
        return
    for line in lines:
        match line:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not names or name in names:
                source = ast.unparse(value) if also_code else None
                try:
                    setting = ast.literal_eval(_DictCalls().visit(value))
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    if source is None:
                        continue
                    setting = source
                yield name, setting


class _DictCalls(ast.NodeTransformer):
    """Write ``dict(a=1)`` as ``{"a": 1}``, which ``ast.literal_eval`` reads."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args:
            return node
        return ast.Dict(
            [x.arg and ast.Constant(x.arg) for x in node.keywords], [x.value for x in node.keywords]
        )
