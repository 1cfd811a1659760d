"""Parse the models to measure: config files, or registered types written as calls."""

import ast
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvisionllama.config import load_config
from mmvisionllama.config.option_values import parse_options
from mmvisionllama.errors import ConfigError


class _Dicts(ast.NodeTransformer):
    """Write ``dict(a=1)`` as ``{"a": 1}``, which is a literal."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if ast.unparse(node.func) != "dict" or node.args or not all(pair.arg for pair in node.keywords):
            return node
        keys, values = (
            [ast.Constant(pair.arg) for pair in node.keywords],
            [pair.value for pair in node.keywords],
        )
        return ast.Dict(keys, values)


@dataclass(frozen=True)
class ModelSpec:
    """One of the models that are compared.

    Args:
        name: What a user called it by.
        model: Its config.
        scope: Where types without prefix are looked up.
        whole: A detector with its losses, instead of a backbone that maps images to features.
    """

    name: str
    model: dict[str, Any]
    scope: str = "mmvisionllama"
    whole: bool = False


def parse_model(text: str, *, whole: bool = False) -> ModelSpec:
    """Read a model: a config file, or the registered type of a backbone written as a call.

    Args:
        text: ``configs/seg/...py``, also with options as ``--cfg-options`` takes them, in one string:
            ``configs/det/...py model.backbone.with_cp=True``; or ``mmpretrain.DeiT3(arch='small')``, with
            components as in a config, ``rope=dict(type='RoPE2D')``.
        whole: Take the whole model of a config and not its backbone alone.

    Raises:
        ConfigError: if it is neither, or the config has no backbone, or its model is no detector.
    """
    if ".py" in text and shlex.split(text)[0].endswith(".py"):
        return _from_config(text, whole)
    if whole:
        raise ConfigError(f"{text!r} is a backbone; a whole model is that of a config file")
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and not call.args:
            values = [ast.literal_eval(_Dicts().visit(keyword.value)) for keyword in call.keywords]
            arguments = {keyword.arg: x for keyword, x in zip(call.keywords, values, strict=True)}
            return ModelSpec(text, dict(type=ast.unparse(call.func), **arguments))
    except (SyntaxError, ValueError, TypeError) as error:
        raise ConfigError(f"cannot read the model {text!r}: {error}") from error
    raise ConfigError(
        f"cannot read the model {text!r}: give a config file, or a registered type with literal keyword "
        "arguments such as mmpretrain.DeiT3(arch='small', img_size=224)"
    )


def read_config(text: str) -> Config:
    """Load a config file, which options may follow in the same string.

    Raises: ConfigError: if it or an option is wrong.
    """
    name, *options = shlex.split(text)
    try:
        given = parse_options(options)
    except ValueError as error:
        raise ConfigError(f"options of {name}: {error}") from error
    return load_config(Path(name), given)


def _from_config(text: str, whole: bool) -> ModelSpec:
    cfg, name = read_config(text), shlex.split(text)[0]
    model = cfg.get("model", {})
    if "backbone" not in model:
        raise ConfigError(f"{name}: its model has no backbone")
    if not whole:
        return ModelSpec(text, model["backbone"].to_dict())
    if cfg.get("default_scope") != "mmdet":
        raise ConfigError(f"{name}: only detectors are measured as a whole, its default_scope is not mmdet")
    return ModelSpec(text, model.to_dict(), scope="mmdet", whole=True)
