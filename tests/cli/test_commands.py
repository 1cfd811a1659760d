"""The command mmvisionllama: what it lists, starts and refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmvisionllama import __version__
from mmvisionllama.cli import commands
from mmvisionllama.cli.commands import COMMANDS, main
from tests.tools.commands import REPOSITORY

# Files of cli/ that are no commands.
PARTS = {"__init__", "commands", "common", "launch", "numbers", "threads", "torchrun"}


def test_every_command_is_listed_with_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    listing = capsys.readouterr().out
    for name, file in COMMANDS.items():
        first = (REPOSITORY / "mmvisionllama" / "cli" / f"{file}.py").read_text().splitlines()[0]
        assert listing.count(f"  {name} ") == 2
        assert first.strip('"') in listing


def test_every_file_of_the_command_line_is_a_command() -> None:
    files = {path.stem for path in (REPOSITORY / "mmvisionllama" / "cli").glob("*.py")}
    assert files - PARTS == set(COMMANDS.values())


def test_every_tool_is_a_command() -> None:
    tools = {path.stem for path in (REPOSITORY / "tools").glob("[!_]*.py")}
    assert tools <= set(COMMANDS.values())


def test_an_unknown_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tran"]) == 2
    assert "no command 'tran'; did you mean 'train'?" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mmvisionllama {__version__}\n"


def test_the_help_of_a_command_calls_it_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "check-data"):
        try:
            main([name, "--help"])
        except SystemExit as ended:
            assert not ended.code
        assert f"usage: mmvisionllama {name} " in capsys.readouterr().out


def test_a_process_that_was_launched_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(*args: object, **kwargs: object) -> int:
        raise AssertionError("launched again")

    monkeypatch.setattr(commands, "launch", launch)
    for option in (["--launcher", "none"], ["--launcher=none"]):
        assert main(["train", "no_such_config.py", *option]) == 2
    with pytest.raises(AssertionError, match="launched again"):
        main(["train", "no_such_config.py"])


def test_help_and_the_listing_import_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from mmvisionllama.cli.commands import main\n"
        "assert main([]) == main(['train', '--help']) == 0\n"
        "assert not {'torch', 'mmengine', 'numpy'} & set(sys.modules)\n"
    )
    environ = {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
