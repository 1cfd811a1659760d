"""Damage to files: of their bytes, of the values in them, and things that lie in their place."""

import io
import json
import os
import random
import socket
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


def truncated(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def bits_flipped(data: bytes, draw: random.Random) -> bytes:
    spoilt = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
    return bytes(spoilt)


def part_random(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    size = min(draw.randint(1, 200), len(data) - start)
    return data[:start] + draw.randbytes(size) + data[start + size :]


def part_moved(data: bytes, draw: random.Random) -> bytes:
    start, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[start:end][: draw.randint(0, 300)] + data[start:]


def part_zero(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    size = min(draw.randint(1, 4096), len(data) - start)
    return data[:start] + bytes(size) + data[start + size :]


def all_random(data: bytes, draw: random.Random) -> bytes:
    return draw.randbytes(draw.randint(1, 3000))


def empty(data: bytes, draw: random.Random) -> bytes:
    return b""


BYTES = (
    truncated,
    truncated,
    bits_flipped,
    bits_flipped,
    part_random,
    part_moved,
    part_zero,
    all_random,
    empty,
)
_ODD_VALUES = (
    None,
    True,
    -1,
    1.5,
    10**30,
    float("nan"),
    float("inf"),
    "",
    "x" * 10_000,
    "../../etc",
    "\x00",
    [],
    {},
    [[[]]],
    {"a": {"b": []}},
)


def json_odd(data: bytes, draw: random.Random) -> bytes:
    """Give a value of a JSON document another type, or take it away; or nest without end."""
    if draw.random() < 0.1:
        return draw.choice(["[", '{"a":']).encode() * 100_000
    if draw.random() < 0.1:
        return json.dumps(draw.choice(_ODD_VALUES)).encode()
    document = json.loads(data)
    node, key = document, None
    while isinstance(node, (dict, list)) and node and (key is None or draw.random() < 0.5):
        parent, key = node, draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
        node = parent[key]
    if key is None:
        return b"17"
    if draw.random() < 0.2:
        del parent[key]
    else:
        parent[key] = draw.choice(_ODD_VALUES)
    return json.dumps(document).encode()


def pickle_odd(data: bytes, draw: random.Random) -> bytes:
    """Damage the pickle in a checkpoint, with checksums that fit; or nest without end."""
    spoilt = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(spoilt, "w") as target:
        for name in source.namelist():
            part = source.read(name)
            if name.endswith("data.pkl"):
                deep = b"\x80\x02" + b"]" * 3000 + b"a" * 2999 + b"."
                damage = draw.choice((truncated, bits_flipped, part_random, part_moved))
                part = deep if draw.random() < 0.05 else damage(part, draw)
            target.writestr(name, part)
    return spoilt.getvalue()


def values_odd(data: bytes, draw: random.Random) -> bytes:
    """Give a value in a checkpoint another type."""
    whole = torch.load(io.BytesIO(data), weights_only=True)
    node = whole
    while isinstance(node, dict) and node:
        parent, key = node, draw.choice(list(node))
        node = parent[key]
        if draw.random() < 0.4:
            break
    parent[key] = draw.choice([*_ODD_VALUES, torch.zeros(1).expand(1 << 40), torch.zeros(0, 5), parent])
    spoilt = io.BytesIO()
    torch.save(whole, spoilt)
    return spoilt.getvalue()


def a_folder(path: Path) -> None:
    path.mkdir()


def a_full_folder(path: Path) -> None:
    path.mkdir()
    (path / "file").touch()


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, _inside(path.parent):
        listener.bind(path.name)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nothing")


def a_loop_of_links(path: Path) -> None:
    path.symlink_to(path.name)


def an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def nothing(path: Path) -> None:
    pass


SPECIAL = (
    a_folder,
    a_full_folder,
    a_socket,
    a_pipe,
    a_dangling_link,
    a_loop_of_links,
    an_endless_device,
    nothing,
)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)  # the path of a socket is short
    try:
        yield
    finally:
        os.chdir(before)
