"""From what a user types to what is measured."""

import argparse
import ast
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from mmvisionllama.config import load_config


@dataclass(frozen=True)
class Subject:
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


def parse_model(text: str, *, whole: bool = False) -> Subject:
    """Read a model: a config file, or the registered type of a backbone written as a call.

    Args:
        text: ``configs/seg/...py``, also with options as ``--cfg-options`` takes them, in one string:
            ``configs/det/...py model.backbone.with_cp=True``; or ``mmpretrain.DeiT3(arch='small')``.
        whole: Take the whole model of a config and not its backbone alone.

    Raises:
        ValueError: if it is neither, or the config has no backbone, or its model is no detector.
    """
    name, *options = shlex.split(text) if ".py" in text else [text]
    if name.endswith(".py"):
        return _from_config(text, name, options, whole)
    if whole:
        raise ValueError(f"{text!r} is a backbone; a whole model is that of a config file")
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and not call.args:
            arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
            return Subject(text, dict(type=ast.unparse(call.func), **arguments))
    except (SyntaxError, ValueError, TypeError) as error:
        raise ValueError(f"cannot read the model {text!r}: {error}") from error
    raise ValueError(
        f"cannot read the model {text!r}: give a config file, or a registered type with literal keyword "
        "arguments such as mmpretrain.DeiT3(arch='small', img_size=224)"
    )


def _from_config(text: str, name: str, options: list[str], whole: bool) -> Subject:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("options", nargs="*", action=DictAction)
    try:
        given = parser.parse_args(options).options if options else {}
    except ValueError as error:
        raise ValueError(f"options of {name} are written key=value, got {' '.join(options)!r}") from error
    cfg = load_config(Path(name), given)
    model = cfg.get("model", {})
    if "backbone" not in model:
        raise ValueError(f"{name}: its model has no backbone")
    if not whole:
        return Subject(text, model["backbone"].to_dict())
    if cfg.get("default_scope") != "mmdet":
        raise ValueError(f"{name}: only detectors are measured as a whole, its default_scope is not mmdet")
    return Subject(text, model.to_dict(), scope="mmdet", whole=True)
