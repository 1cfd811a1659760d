"""Every number that a command takes has a range; what is outside of it is one line before anything begins."""

import argparse
from collections.abc import Iterator

import pytest

from mmvisionllama.cli.commands import COMMANDS
from mmvisionllama.cli.launch import processes_by
from mmvisionllama.cli.numbers import Number
from mmvisionllama.cli.reproduce import resources_of
from mmvisionllama.errors import UserError
from mmvisionllama.evaluation.resolution import parse_positions, parse_size
from tests.tools.commands import parser_of

WRONG = ("nan", "inf", "-inf", "1e400", "1" + "0" * 40, "-1", "0x10", "1,5", "three", "", "9" * 5000)
ZERO_TAKEN = {
    "--seed",
    "--seeds",
    "--warmup",
    "--score-thr",
    "--cfg-scale",
    "--classes",
    "--overlap",
    "--ignore-label",
    "--index",
    "--max-corrupt",
}


def numeric() -> Iterator[tuple[argparse.ArgumentParser, str, argparse.Action]]:
    """Find the options of all commands, and of their parts, that make numbers of texts."""
    for command in COMMANDS.values():
        whole = parser_of(command)
        for parser in with_parts(whole):
            for action in parser._actions:
                if action.type is not None and is_number(action.type):
                    yield parser, command + parser.prog.removeprefix(whole.prog), action


def with_parts(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                yield from with_parts(part)


def is_number(kind: object) -> bool:
    try:
        return isinstance(kind("2"), (int, float)) or isinstance(kind, Number)
    except (ValueError, argparse.ArgumentTypeError):
        return isinstance(kind, Number)


OPTIONS = list(numeric())


def test_all_commands_with_numbers_are_found() -> None:
    found = {f"{command} {x.option_strings[0]}" for _, command, x in OPTIONS}
    assert len(found) == len(OPTIONS) >= 30
    assert {
        "train --steps",
        "test --seed",
        "reproduce --tflops",
        "benchmark --size",
        "analyze knn --k",
    } <= found
    assert {x for _, _, action in OPTIONS for x in action.option_strings} >= ZERO_TAKEN


@pytest.mark.parametrize(
    ("parser", "command", "action"), OPTIONS, ids=[f"{x} {y.dest}" for _, x, y in OPTIONS]
)
def test_a_number_outside_its_range_is_refused_with_option_value_and_range(
    parser: argparse.ArgumentParser,
    command: str,
    action: argparse.Action,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (option,) = action.option_strings
    for text in (*WRONG, *([] if option in ZERO_TAKEN else ["0"])):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args([f"{option}={text}"])
        assert ended.value.code == 2
        (error,) = [x for x in capsys.readouterr().err.splitlines() if "error: " in x]
        got = text if len(text) <= 40 else f"{text[:40]}..."
        assert error.endswith(f"error: argument {option}: takes {action.type}, got {got!r}"), error
    assert action.default is None or all(
        action.type(str(x)) == x
        for x in (action.default if isinstance(action.default, list) else [action.default])
    )


def test_a_range_is_said_in_words() -> None:
    assert str(Number(int, 1, 4096)) == "a whole number of at least 1 and at most 4,096"
    assert str(Number(float, 0, 10**9, above=True)) == "a number above 0 and at most 1,000,000,000"


@pytest.mark.parametrize("text", [*WRONG, "0"])
def test_numbers_within_other_options_and_in_variables_have_ranges_too(text: str) -> None:
    for read in (
        lambda: parse_size(text),
        lambda: parse_size(f"64x{text}"),
        lambda: parse_positions(f"NTKRoPE2D:{text}"),
        lambda: resources_of([f"nodes={text}"]),
        lambda: resources_of([f"cpus_per_task={text}"]),
        lambda: processes_by({"GPUS": "0", "NPROC": text or "0"}, lambda: 0),
    ):
        with pytest.raises(UserError) as raised:
            read()
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 300
