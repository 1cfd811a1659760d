"""How every command ends, and what its file in ``tools`` does."""

import argparse
import subprocess
import sys
from pathlib import Path
from pprint import PrettyPrinter

import pytest

from mmvisionllama.cli.common import execute
from mmvisionllama.errors import ConfigError, Diverged, Stopped, StudyError
from mmvisionllama.training import distributed
from tests.tools.commands import REPOSITORY

COMMANDS = sorted(x.stem for x in (REPOSITORY / "tools").glob("[!_]*.py"))


def ended(error: BaseException | None, status: int | None = None, **options: object) -> int:
    def body(args: argparse.Namespace) -> int | None:
        if error is not None:
            raise error
        return status

    return execute(body, argparse.Namespace(), **options)


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (ConfigError("no model"), 2, "error: no model\n"),
        (StudyError("a failed"), 1, "error: a failed\n"),
        (Stopped("by SIGTERM"), 75, ""),
        (Diverged("NaN again"), 65, "error: NaN again\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_each_way_to_end_has_its_status_and_says_what_the_user_needs(
    error: BaseException, status: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error) == status
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", printed)


def test_a_command_ends_with_the_status_that_it_returns() -> None:
    assert ended(None) == 0
    assert ended(None, 1) == 1


def test_an_interrupted_command_says_what_became_of_its_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(KeyboardInterrupt(), interrupted="nothing was written") == 130
    assert capsys.readouterr().err == "interrupted: nothing was written\n"


def test_a_defect_keeps_its_traceback_unless_a_command_expects_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="disk full"):
        ended(OSError("disk full"))
    assert ended(OSError("disk full"), also=(OSError,)) == 2
    assert capsys.readouterr().err == "error: disk full\n"


def test_what_libraries_print_is_not_on_the_screen_of_any_command(capsys: pytest.CaptureFixture[str]) -> None:
    def body(args: argparse.Namespace) -> None:
        PrettyPrinter().pprint("of a library")
        sys.stdout.write("of the command\n")

    assert execute(body, argparse.Namespace()) == 0
    assert capsys.readouterr().out == "of the command\n"


def test_a_library_that_an_extra_brings_is_asked_for_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(ModuleNotFoundError("No module named 'skimage'", name="skimage")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: skimage is not installed;")
    assert line.endswith(f'Fix: {sys.executable} -m pip install "mmvisionllama[toy]"')
    for module in ("skimage.io", "no_such_library"):  # a damaged library, and one of nobody's
        with pytest.raises(ModuleNotFoundError):
            ended(ModuleNotFoundError("missing", name=module))


def test_only_the_first_process_of_a_machine_prints_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert ended(ConfigError("no model")) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "left"), [(None, 1), (Stopped(), 1), (Diverged(), 1), (ConfigError("no model"), 0)]
)
def test_processes_leave_together_except_after_an_error_of_one(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, left: int
) -> None:
    calls: list[None] = []
    monkeypatch.setattr(distributed, "leave_distributed", lambda: calls.append(None))
    ended(error)
    assert len(calls) == left


def test_every_file_of_tools_answers_help_from_anywhere_without_importing_torch(tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        "for path in sys.argv[1:]:\n"
        "    sys.argv = [path, '--help']\n"
        "    try:\n"
        "        runpy.run_path(path, run_name='__main__')\n"
        "    except SystemExit as ended:\n"
        "        assert not ended.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    files = [str(REPOSITORY / "tools" / f"{name}.py") for name in COMMANDS]
    done = subprocess.run(
        [sys.executable, "-c", code, *files],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: ") == len(COMMANDS) > 12
