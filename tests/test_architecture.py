"""The house: floors, circles, first lines, one place for command lines, and a map of real files."""

import ast
import re
import sys

import pytest
from PIL import Image

from tests.house import (
    ABOVE,
    FLOORS,
    MODULES,
    PACKAGE,
    ROOT,
    fingerprint,
    first_line,
    floor_of,
    imports,
    parsed,
    room_of,
)

INSIDE = [module for module in MODULES if module not in (*ABOVE, "__init__")]
NAMED = sorted(MODULES)
MAP = ROOT / "docs" / "architecture.md"


@pytest.mark.parametrize("module", INSIDE)
def test_a_file_imports_from_its_floor_or_those_below(module: str) -> None:
    above = {x for x in imports()[module] if floor_of(x) > floor_of(module)}
    assert above == set()


def test_no_files_import_each_other_in_a_circle() -> None:
    left = dict(imports())
    while free := [module for module, needed in left.items() if not needed & left.keys()]:
        for module in free:
            del left[module]
    assert sorted(left) == []


def test_every_room_has_a_floor() -> None:
    assert {room_of(x) for x in INSIDE} | {"__init__"} == {room for rooms in FLOORS for room in rooms}


@pytest.mark.parametrize("module", NAMED)
def test_a_file_says_in_its_first_line_what_it_is(module: str) -> None:
    first = first_line(MODULES[module])
    assert 15 <= len(first) <= 110
    assert first.endswith(".")
    assert not re.match(r"(What|How|Where|From|Whether|Who) ", first), f"a riddle: {first}"


def test_no_two_files_begin_with_the_same_line() -> None:
    first = [first_line(path) for path in MODULES.values()]
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("module", [x for x in INSIDE if room_of(x) != "cli"])
def test_only_the_command_line_knows_argparse_and_prints(module: str) -> None:
    calls = {
        ast.unparse(node.func) for node in ast.walk(parsed(MODULES[module])) if isinstance(node, ast.Call)
    }
    assert not calls & {"print", "argparse.ArgumentParser", "ArgumentParser", "sys.exit"}


def test_models_need_no_host() -> None:
    allowed = {"torch", "einops", "mmengine", "mmcv", "mmvisionllama"}
    found = set()
    for module in [x for x in MODULES if room_of(x) == "models"]:
        for node in ast.walk(parsed(MODULES[module])):
            if isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
    assert found - set(sys.stdlib_module_names) <= allowed


def test_every_file_that_the_map_names_exists() -> None:
    text = MAP.read_text()
    named = set(re.findall(r"`((?:mmvisionllama|configs|tools|tests|docs)/[\w./*-]*)`", text))
    assert len(named) > 60
    assert sorted(x for x in named if not list(ROOT.glob(x.rstrip("/")))) == []


def test_every_room_is_on_the_map() -> None:
    text = MAP.read_text()
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert sorted(room for room in rooms if f"`mmvisionllama/{room}/" not in text) == []


def test_the_list_of_hooks_in_the_map_is_that_of_the_code() -> None:
    from mmvisionllama.training.hooks import HOOKS

    text = MAP.read_text()
    rows = [f"| {x.priority} | `{x.name}` | {x.does} |" for x in HOOKS]
    assert [row for row in rows if row not in text] == []


def test_the_picture_of_the_house_shows_the_code_as_it_is() -> None:
    """Drawn anew by: PYTHONPATH=. python docs/figures/draw_house.py"""
    with Image.open(ROOT / "docs" / "figures" / "house.png") as picture:
        assert picture.text["Description"] == fingerprint()
