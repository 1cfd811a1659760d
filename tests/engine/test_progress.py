"""Progress in a log: lines with the time left."""

import pytest

from mmvisionllama.engine import progress as module
from mmvisionllama.engine.progress import progress


def test_a_log_gets_lines_now_and_then_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((0.0, 10.0, 40.0, 50.0))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress("images", 8000) as advance:
        for count in (1000, 1000, 6000):
            advance(count)
    assert capsys.readouterr().out.splitlines() == [
        "images: 2,000 of 8,000, eta 0:02:00",
        "images: 8,000 of 8,000, eta 0:00:00",
    ]


def test_processes_that_show_nothing_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("images", 2, shown=False) as advance:
        advance(2)
    assert capsys.readouterr().out == ""
