"""Death of the process that launched a training."""

import ctypes
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmvisionllama.fault_tolerance.launcher_death import LAUNCHER_VARIABLE, stop_with_launcher
from tests.fault_tolerance.fault_kinds import Tally
from tests.fault_tolerance.folder_faults import count_stop
from tests.fault_tolerance.trainings import STEPS, FaultBench, Heartbeat, StartedTraining

_PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>


def launcher_killed(bench: FaultBench, draw: random.Random, times: int) -> Tally:
    """Kill launchers; their processes save and end by themselves."""
    tally = Tally()
    with _adopting_orphans():
        for _ in range(times):
            started, launcher = _launched(bench, bench.new())
            step = draw.randrange(1, STEPS - 8)
            while started.step < step:
                time.sleep(0.0005)
            os.kill(launcher, signal.SIGKILL)
            os.waitpid(launcher, 0)
            struck = time.monotonic()
            assert started.ended() == [1] * bench.processes, started.output()[-5000:]  # it lets Stopped out
            tally.seconds = max(tally.seconds, time.monotonic() - struck)
            count_stop(tally, bench, started, signal.SIGTERM)
    return tally


def _launched(bench: FaultBench, work_dir: Path) -> tuple[StartedTraining, int]:
    """Start a training in processes of a process of its own, whose number is returned, too."""
    heartbeats = [Heartbeat() for _ in range(bench.processes)]
    reading, writing = os.pipe()
    launcher = os.fork()
    if launcher == 0:
        os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
        started = bench.start(work_dir, lambda runner, heartbeat: stop_with_launcher(), heartbeats)
        facts = {"outputs": list(map(str, started.outputs)), "pids": started.pids}
        os.write(writing, json.dumps(facts).encode())
        while True:
            signal.pause()
    facts = json.loads(os.read(reading, 10_000))
    for end in (reading, writing):
        os.close(end)
    return StartedTraining(work_dir, list(map(Path, facts["outputs"])), heartbeats, facts["pids"]), launcher


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Let processes whose parent is killed be children of this one, which can wait for them then."""
    libc = ctypes.CDLL(None)
    assert not libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
