"""From what a user types to the config dict of a backbone."""

import ast
from pathlib import Path

from mmvisionllama.config import load_config


def parse_model(text: str) -> dict:
    """Read a backbone: a config file, or its registered type written as a call.

    Args:
        text: ``configs/seg/...py`` (its backbone), or ``mmpretrain.DeiT3(arch='small', img_size=224)``.

    Raises:
        ValueError: if it is neither, or the config has no backbone.
    """
    if text.endswith(".py"):
        model = load_config(Path(text)).get("model", {})
        if "backbone" not in model:
            raise ValueError(f"{text}: its model has no backbone")
        return model["backbone"].to_dict()
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and not call.args:
            arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
            return dict(type=ast.unparse(call.func), **arguments)
    except (SyntaxError, ValueError, TypeError) as error:
        raise ValueError(f"cannot read the model {text!r}: {error}") from error
    raise ValueError(
        f"cannot read the model {text!r}: give a config file, or a registered type with literal keyword "
        "arguments such as mmpretrain.DeiT3(arch='small', img_size=224)"
    )
