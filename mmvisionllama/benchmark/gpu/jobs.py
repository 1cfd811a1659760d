"""Jobs in processes of their own, each with a limit of time: what they find, or how they failed."""

import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

Record = dict[str, Any]
_LAST = 2_000  # characters of an error that are kept


@dataclass(frozen=True)
class Job:
    """A function that finds something.

    Args:
        part: Of the report.
        name: Of its log file and in the report.
        work: Importable by its name; returns a record, or several.
        limit: Seconds that it may take.
    """

    part: str
    name: str
    work: Callable[..., Record | list[Record]]
    options: Mapping[str, Any] = field(default_factory=dict)
    limit: float = 120


def run_jobs(
    jobs: Sequence[Job], *, at_once: int, until: float, logs: Path, write: Callable[[Record], None]
) -> None:
    """Run jobs in their order, and write each one's records as soon as it has ended.

    One that fails, dies or takes too long gives a record with ``error``; the others go on.

    Args:
        until: When the last one must have ended, by ``time.monotonic``; what has not begun is written as
            left out.
        logs: Folder of what they print.
    """
    logs.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mmvisionllama.benchmark.gpu.parts"])
    waiting, running = list(jobs), []
    while waiting or running:
        while waiting and len(running) < at_once and time.monotonic() < until:
            running.append(_Running(context, waiting.pop(0), logs, until))
        if not running:
            break
        wait([one.answers for one in running], timeout=0.5)
        for one in [x for x in running if x.has_ended()]:
            running.remove(one)
            for record in one.records():
                write(record)
    for job in waiting:
        write(dict(part=job.part, name=job.name, error="left out: no time was left"))


class _Running:
    """A job whose process has been started."""

    def __init__(self, context: Any, job: Job, logs: Path, until: float) -> None:
        self.job, self.started = job, time.monotonic()
        self.end = min(self.started + job.limit, until)
        self.answers, theirs = context.Pipe(duplex=False)
        log = logs / f"{job.part} {job.name}.log".replace("/", "_").replace(" ", "_")
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, job, log))
        self.process.start()
        theirs.close()

    def has_ended(self) -> bool:
        """Whether there is an answer, the process has died, or its time is over."""
        return self.answers.poll() or not self.process.is_alive() or time.monotonic() > self.end

    def records(self) -> list[Record]:
        """End the process, and return what it found."""
        found: list[Record] = [dict(error=f"ended after {self.end - self.started:.0f} s, its limit")]
        try:
            if self.answers.poll():
                found = self.answers.recv()
            elif not self.process.is_alive():
                found = [dict(error=f"its process died with status {self.process.exitcode}")]
        except EOFError:
            self.process.join(1)
            found = [dict(error=f"its process died with status {self.process.exitcode}")]
        self.process.join(5)
        self.process.kill()
        named = dict(part=self.job.part, name=self.job.name, took=round(time.monotonic() - self.started, 1))
        return [named | record for record in found]


def _serve(answers: Connection, job: Job, log: Path) -> None:
    """Work, print into the log, and answer with records."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    try:
        found = job.work(**job.options)
        answers.send(found if isinstance(found, list) else [found])
    except BaseException as error:
        traceback.print_exc()
        sys.stderr.flush()
        text = " ".join(str(error).split())
        answers.send([dict(error=f"{type(error).__name__}: {text}"[:_LAST])])
