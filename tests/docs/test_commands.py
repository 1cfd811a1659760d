"""Every command line in the documents is understood: commands, options, configs, files, targets of make."""

import argparse
import contextlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from mmvisionllama.cli.commands import COMMANDS
from mmvisionllama.config.config_files import find_config
from mmvisionllama.errors import UserError
from tests.docs.documents import PAGES, blocks
from tests.house import ROOT
from tests.tools.commands import parser_of

# What stands for a value: capitals, a variable, a pattern, SLURM's number of a job in an array.
PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_./]*|\$.*|.*[*{].*|%a|\.\.\.")
UNSAID = ("the following arguments are required", "expected one argument")  # running text may leave these out


@dataclass(frozen=True)
class Line:
    """A command line of a page.

    Attributes:
        line: Of its block or of itself, from 1.
        in_text: Whether it stands in running text, which may name options alone.
    """

    page: Path
    line: int
    text: str
    in_text: bool = False


def lines_of(page: Path) -> Iterator[Line]:
    """Yield the commands of the shell blocks of a page, and those in its running text."""
    text = page.read_text()
    for block in blocks(page):
        if block.language == "shell":
            joined = re.sub(r"\\\n|\n(?=    )", " ", block.text)  # a synopsis goes on in indented lines
            for line in joined.splitlines():
                for part in re.split(r" && | \| |; |<<", re.sub(r"(^|\s)#.*", "", line)):
                    yield Line(page, block.line, part.strip())
    fences = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
    prose = fences.sub(lambda block: "\n" * block[0].count("\n"), text)
    for found in re.finditer(
        r"`((?:mmvisionllama|tools/|make|\S*python) [^`]*)`|`(tools/[^` ]+ [^`]*)`", prose
    ):
        line = prose[: found.start()].count("\n") + 1
        yield Line(page, line, " ".join((found[1] or found[2]).split()), in_text=True)


# The commands of that page end with the messages that it explains; `test_messages.py` runs them.
UNDERSTOOD = [page for page in PAGES if page.name != "messages.md"]
LINES = [line for page in UNDERSTOOD for line in lines_of(page)]


def variants(text: str) -> Iterator[str]:
    """Yield what a synopsis allows: with every optional part, and with each of its alternatives."""
    text = re.sub(r"\[(-[^][]*(?:\[[^][]*\][^][]*)*)\]", r"\1", text)  # [--seed N], [--resume [auto|PATH]]
    text = re.sub(r"\s*(?:\[[\w ]*\.\.\.\]|\[options\]|\.\.\.)", "", text)
    text = re.sub(r"\[([^][=\s]*)\](?=\s|$)", r"\1", text)
    parts = re.split(r"(?<=\s)(\S*\w\|\S*\w)(?=\s|$)", text)
    choices = [x.split("|") if "|" in x and "=" not in x else [x] for x in parts]
    return ("".join(x) for x in product(*choices))


def command_of(words: list[str]) -> tuple[str, list[str]] | None:
    """Return the file in ``mmvisionllama/cli/`` and its arguments, None if this starts none of ours."""
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if words and re.fullmatch(r"\S*python[\d.]*", words[0]):
        words = words[1:]
        if words[:2] == ["-m", "mmvisionllama"]:
            words = ["mmvisionllama", *words[2:]]
        elif words[:2] == ["-m", "mmvisionllama.checkpoint"]:
            return "checkpoint", words[2:]
    if not words:
        return None
    if Path(words[0]).name == "mmvisionllama" and len(words) > 1 and not words[1].startswith("-"):
        assert words[1] in COMMANDS or PLACEHOLDER.fullmatch(words[1]), f"no command {words[1]}"
        return (COMMANDS[words[1]], words[2:]) if words[1] in COMMANDS else None
    if re.fullmatch(r"(\S*/)?tools/\w+\.(sh|py)", words[0]):
        script = Path(words[0])
        assert (ROOT / "tools" / script.name).is_file(), f"no {words[0]}"
        name = script.stem.removeprefix("slurm_")
        if name == "make_env" or name.startswith("_"):
            return None
        return name, words[1:]
    return None


@cache
def lenient(command: str) -> argparse.ArgumentParser:
    """Return the parser of a command, which takes a word in capitals for any value."""
    parser = parser_of(command)
    parsers = [parser]
    for one in parsers:
        for action in one._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
                continue
            if action.choices is not None:
                action.choices = _Choices(action.choices)
            if action.type is not None:
                action.type = _lenient(action.type)
    return parser


class _Choices(list):
    def __contains__(self, value: object) -> bool:
        return super().__contains__(value) or PLACEHOLDER.fullmatch(str(value)) is not None


def _lenient(convert: object) -> object:
    return lambda text: text if PLACEHOLDER.fullmatch(text) else convert(text)


def configs_in(arguments: list[str]) -> Iterator[str]:
    """Yield the configs of this repository that arguments name."""
    for word in arguments:
        if re.fullmatch(
            r"(configs/|mmvisionllama::|(?:cls|seg|det|gen|toy|pretrain|ablation)/)[\w/.*{},]+", word
        ):
            yield word


@pytest.mark.parametrize("page", UNDERSTOOD, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for line in [x for x in LINES if x.page == page]:
        for text in variants(line.text):
            try:
                _understand(text)
            except (AssertionError, SystemExit, ValueError, UserError) as error:
                told = f"{error} {capsys.readouterr().err.strip()[-200:]}"
                if not (line.in_text and any(x in told for x in UNSAID)):
                    wrong.append(f"line {line.line}: {text}: {told}")
    assert wrong == []


def _understand(text: str) -> None:
    words = shlex.split(text)
    if words[:1] == ["make"]:
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {x for x in words[1:] if "=" not in x} <= targets, "no such target"
    for word in words:
        if re.fullmatch(r"(docs|tests)/[\w/]+\.py", word):
            assert (ROOT / word).is_file(), f"no {word}"
    found = command_of(words)
    if found is None:
        return
    command, arguments = found
    for config in configs_in(arguments):
        if "*" not in config and "{" not in config:
            find_config(config)
    if arguments and not all(PLACEHOLDER.fullmatch(x) for x in arguments):
        args = [x for x in arguments if x != "..."]
        if "--help" not in args and "-h" not in args:
            _parse(lenient(command), args)


def _parse(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Parse what stands for any of the parser's own commands as the first of them that takes it."""
    own = next((x.choices for x in parser._actions if isinstance(x, argparse._SubParsersAction)), None)
    if own is None or not PLACEHOLDER.fullmatch(arguments[0]):
        parser.parse_args(arguments)
        return
    for name in own:
        with contextlib.suppress(SystemExit):
            parser.parse_args([name, *arguments[1:]])
            return
    raise AssertionError(f"none of {', '.join(own)} takes this")


def test_there_are_commands_of_every_kind() -> None:
    found = [x.text.partition(" ")[0] for x in LINES]
    assert len(LINES) > 150
    assert {"make", "mmvisionllama", "tools/train.sh", "tools/reproduce.sh"} <= set(found)
