"""Progress: lines in a log at once and every 30 s, a bar on a terminal of any kind."""

import re
import time

import pytest

from mmvisionllama.reports import progress as module
from mmvisionllama.reports.progress import Status, display, progress
from mmvisionllama.reports.screen import Screen, shown
from tests.reports.terminals import on_terminal

STATUS = Status("step", 210, 600, 131.0, ["loss 0.83", "mIoU 45.2", "38 images/s", "4 % waiting for data"])


def test_a_log_gets_a_line_after_the_first_item_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("images", 8000) as advance:
        for count in (1000, 1000, 6000):
            advance(count)
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("images 1,000 of 8,000, 0:00:0")
    assert lines[1] == "images 8,000 of 8,000, 0:00:00 left"
    assert len(lines) == 2


def test_a_log_gets_lines_though_nothing_moves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINE_SECONDS", 0.05)
    with display(Screen(), lambda: STATUS):
        time.sleep(0.5)
    lines = capsys.readouterr().out.splitlines()
    assert 3 <= len(lines) <= 12
    assert lines[0].endswith(
        "step 210 of 600, loss 0.83, mIoU 45.2, 38 images/s, 4 % waiting for data, 0:02:11 left"
    )


def test_a_line_is_due_within_half_a_minute() -> None:
    assert module.LINE_SECONDS <= 30


def test_processes_that_show_nothing_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("images", 2, shown=False) as advance:
        advance(2)
    assert capsys.readouterr().out == ""


def show_bar_and_message() -> None:
    with shown() as screen, display(screen, lambda: STATUS):
        time.sleep(0.55)
        print("a message of the user \u2192")  # noqa: T201 (what is tested)
        time.sleep(0.55)


def plain(text: str) -> str:
    """Return what is written on a terminal without how it is written."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@pytest.mark.parametrize("columns", [40, 100])
def test_a_terminal_gets_a_bar_that_messages_do_not_tear(columns: int) -> None:
    sent = on_terminal(show_bar_and_message, columns=columns)
    lines = re.split(r"[\r\n]+", plain(sent))
    assert "a message of the user \u2192" in lines
    bars = [line for line in lines if line.startswith("step ")]
    assert len(bars) >= 3
    assert all(re.fullmatch(r"step .*━.* 210/600 0:02:11( left)?\s*", line) for line in bars)
    assert max(len(line.rstrip()) for line in lines) <= columns
    for fact in STATUS.facts:
        assert fact.split()[0] in plain(sent)
    assert sent.count("\x1b[?25l") == sent.count("\x1b[?25h") > 0  # the cursor comes back


def test_a_terminal_without_colours_gets_none() -> None:
    sent = on_terminal(show_bar_and_message, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7][0-9;]*m", sent)
    assert "210/600" in sent


def test_a_terminal_that_cannot_redraw_gets_lines() -> None:
    sent = on_terminal(show_bar_and_message, TERM="dumb")
    assert "\x1b" not in sent
    assert "a message of the user" in sent


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_of_another_encoding_gets_a_bar_of_its_own_letters(encoding: str) -> None:
    sent = on_terminal(show_bar_and_message, encoding=encoding)
    assert re.search(r"step -[- ]+ 210/600", plain(sent))
    assert "a message of the user \\u2192\r\n" in plain(sent)


def test_an_error_in_the_block_leaves_the_terminal_in_order() -> None:
    def fail() -> None:
        with pytest.raises(RuntimeError), shown() as screen, display(screen, lambda: STATUS):
            time.sleep(0.1)
            raise RuntimeError("a bug")

    sent = on_terminal(fail)
    assert sent.count("\x1b[?25l") == sent.count("\x1b[?25h") > 0
