"""The screen shows what this package and the user say; what libraries say is in the log file alone."""

import logging
import sys
import warnings
from pathlib import Path

import pytest
from mmengine.logging import MMLogger, print_log

from mmvisionllama.reports import screen as screens
from mmvisionllama.reports.screen import screen_of, show_log, shown

LIBRARY = {"__name__": "mmdet.pretended"}


def by_library(code: str) -> None:
    """Run code as a module of an installed library would."""
    exec(code, {**LIBRARY, "warnings": warnings, "print_log": print_log, "logging": logging})


def logger_in(folder: Path) -> MMLogger:
    return show_log(MMLogger(f"screen_{folder}", log_file=str(folder / "run.log")))


def test_what_libraries_say_is_in_the_log_file_also_what_they_said_before_it_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "print('{0} printed')\nwarnings.warn('{0} warned')\nprint_log('{0} logged', 'current')\n"
    code += "logging.getLogger('lib').warning('{0} by logging')\n"
    code += "logging.getLogger('lib').warning('%s by template', '{0}')"
    with shown():
        by_library(code.format("early"))
        logger = logger_in(tmp_path)
        by_library(code.format("late"))
        by_library("print('half', end='')")
        by_library("print(' and half')")
        logger.info("ours")
    log, output = (tmp_path / "run.log").read_text(), "".join(capsys.readouterr())
    for when in ("early", "late"):
        for how in ("printed", "warned", "by logging", "by template"):
            assert log.count(f"{when} {how}") == 1, how
    assert "early logged" in log
    assert "half and half" in log
    assert output == "ours\n"
    assert "INFO - ours" in log


def test_warnings_and_prints_of_the_user_and_errors_of_anyone_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with shown():
        logger_in(tmp_path)
        print("a shape")  # noqa: T201 (what is tested)
        warnings.warn("mine", stacklevel=1)
        by_library("logging.getLogger('lib').error('broken')")
    output = "".join(capsys.readouterr())
    assert "a shape\n" in output
    assert "warning: " in output
    assert "mine" in output
    assert "error: broken\n" in output


def test_verbose_shows_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with shown(verbose=True):
        logger_in(tmp_path)
        by_library("print('printed')\nwarnings.warn('warned')\nprint_log('logged', 'current')")
    output = "".join(capsys.readouterr())
    for what in ("printed", "warned", "logged"):
        assert what in output


def test_all_processes_but_the_first_show_errors_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(first=False):
        print_log("a fact", "current")
        print_log("a fault", "current", logging.ERROR)
    assert capsys.readouterr().out == "error: a fault\n"


def test_what_is_for_the_log_alone_is_there_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with shown():
        logger_in(tmp_path).info("a table", extra={"in_log_alone": True})
    assert capsys.readouterr().out == ""
    assert "a table" in (tmp_path / "run.log").read_text()


def test_afterwards_everything_is_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    root, current = logging.getLogger(), MMLogger.get_current_instance()
    before = [*root.handlers], [*current.handlers], sys.stdout, sys.stderr, warnings.showwarning
    with shown(), shown(verbose=True):
        assert screen_of(root).is_live is False
    assert ([*root.handlers], [*current.handlers], sys.stdout, sys.stderr, warnings.showwarning) == before


def test_a_logger_outside_a_command_stays_as_mmengine_made_it(tmp_path: Path) -> None:
    logger = MMLogger("screen_outside", log_file=str(tmp_path / "run.log"))
    before = [*logger.handlers]
    assert show_log(logger).handlers == before


def test_a_reader_that_leaves_silences_the_screen_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        encoding, errors = "utf-8", "strict"

        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

        flush = isatty = lambda self: False

    monkeypatch.setattr(sys, "stdout", Gone())
    with shown() as screen:
        MMLogger.get_current_instance().info("one")
        assert screen.quiet
        MMLogger.get_current_instance().info("two")


def test_closed_streams_are_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with shown():
        print("nowhere")  # noqa: T201 (what is tested)
        MMLogger.get_current_instance().info("nowhere")


@pytest.mark.parametrize(
    ("module", "expected"),
    [("mmengine.runner", True), ("logging", True), ("torch", True), ("mmvisionllama.files", False),
     ("__main__", False), (__name__, False), ("builtins", True)],
)  # fmt: skip
def test_what_is_installed_is_a_library_and_the_users_files_are_not(module: str, expected: bool) -> None:
    assert screens.is_library(module) is expected
