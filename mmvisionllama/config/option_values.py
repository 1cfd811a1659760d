"""Read the values of ``--cfg-options KEY=VALUE``: numbers, words, lists and dicts, also nested."""

import ast
from collections.abc import Iterable
from typing import Any


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` pairs.

    Raises: ValueError: for a text that is none.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"expected KEY=VALUE, got {pair!r}")
        found[key] = parse_value(value)
    return found


_WORDS = {"true": True, "false": False}


def parse_value(text: str) -> Any:
    """Return what the text of an option says, e.g. ``[a,2]``, ``1,2`` or ``dict(type=SGD,lr=0.1)``.

    A word needs no quotes. What is no such value, e.g. a file name, is a text as it stands.
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, text.strip())
    except (SyntaxError, ValueError):
        inner = text.strip()[1:-1]
        if text.strip() != f"[{inner}]" and text.strip() != f"({inner})":
            return text
        return [parse_value(part.strip()) for part in inner.split(",") if part.strip()]  # of file names


def _value(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            values = [_value(x, text) for x in items]
            return tuple(values) if isinstance(node, ast.Tuple) and text[node.col_offset] == "(" else values
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_value(key, text): _value(x, text) for key, x in zip(keys, values, strict=True)}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=pairs) if all(x.arg for x in pairs):
            return {pair.arg: _value(pair.value, text) for pair in pairs}
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant()):
            return ast.literal_eval(node)
        case ast.Name(id=name):
            return _WORDS.get(name.lower(), name)
    return ast.get_source_segment(text, node)
