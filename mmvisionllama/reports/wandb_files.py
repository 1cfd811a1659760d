"""Reader of wandb's offline files: a log as LevelDB writes it, with a protobuf message in each record."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FILE, _HEAD, _BLOCK = 7, 7, 32_768  # bytes of the head of the file, of the head of a piece, of a block
_WHOLE, _LAST = 1, 4


def history(file: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return step and values of every row that a run has logged, up to where a kill has cut the file off."""
    rows = (x.history for x in _messages(file) if x.WhichOneof("record_type") == "history")
    return [(row.step.num, _values(row.item)) for row in rows]


def config(file: Path) -> dict[str, Any]:
    """Return the config that a run has logged."""
    updates = (x.config.update for x in _messages(file) if x.WhichOneof("record_type") == "config")
    return {key: value for update in updates for key, value in _values(update).items()}


def _values(items: Any) -> dict[str, Any]:
    return {x.key or ".".join(x.nested_key): json.loads(x.value_json) for x in items}


def _messages(file: Path) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    for content in _records(file.read_bytes()):
        message = Record()
        message.ParseFromString(content)
        yield message


def _records(data: bytes) -> Iterator[bytes]:
    at, pieces = _FILE, []
    while at + _HEAD <= len(data):
        if _BLOCK - at % _BLOCK < _HEAD:
            at += _BLOCK - at % _BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + _HEAD])
        if at + _HEAD + size > len(data):
            return
        pieces.append(data[at + _HEAD : at + _HEAD + size])
        at += _HEAD + size
        if kind in (_WHOLE, _LAST):
            yield b"".join(pieces)
            pieces.clear()
