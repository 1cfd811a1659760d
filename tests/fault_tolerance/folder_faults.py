"""What can go wrong with a run's folder and its place: other runs there, clocks, a terminal that closes."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

from mmengine.runner import Runner

from mmvisionllama.checkpoint.manifest import checkpoints_in, manifest_of
from tests.fault_tolerance.fault_kinds import At, Tally
from tests.fault_tolerance.trainings import EVERY, STEPS, FaultBench, Heartbeat, StartedTraining, saved_step


def beside_another_run(bench: FaultBench, draw: random.Random, times: int) -> Tally:
    """Kill trainings in whose folder another run has left a later checkpoint, and a best one."""
    other = bench.start(bench.new())
    assert other.ended() == [0], other.output()[-5000:]
    foreign = [x for x in other.work_dir.iterdir() if ".pth" in x.name and str(STEPS - EVERY) not in x.name]
    tally = Tally()
    for _ in range(times):
        step = draw.randrange(EVERY, STEPS - 2)
        started = _killed(bench, step, lambda folder: [shutil.copy2(x, _beside(folder, x)) for x in foreign])
        before = {x.name: _beside(started.work_dir, x).read_bytes() for x in foreign}
        saved = saved_step(started.work_dir)
        tally.count(started.step - saved)
        tally.finish(bench, started.work_dir, saved)
        tally.resumed += 1
        after = {x.name: _beside(started.work_dir, x).read_bytes() for x in foreign}
        assert after == before, "another run's files were touched"
        shutil.rmtree(started.work_dir.parent)
    return tally


def _beside(folder: Path, file: Path) -> Path:
    return folder / file.name.replace("iter_", "iter_9")  # later ones, which the run does not write itself


def clocks_jump(bench: FaultBench, draw: random.Random, times: int) -> Tally:
    """Kill trainings, and give their checkpoints times of saving that say nothing, or the opposite."""
    tally = Tally()
    for _ in range(times):
        started = _killed(bench, draw.randrange(2 * EVERY, STEPS))
        saved = saved_step(started.work_dir)
        for path in checkpoints_in(started.work_dir):
            seconds = draw.randrange(2 * 10**9)
            os.utime(path, (seconds, seconds))
            facts = json.loads(manifest_of(path).read_text())
            manifest_of(path).write_text(json.dumps({**facts, "saved_ns": draw.randrange(2 * 10**18)}))
        tally.count(started.step - saved)
        tally.finish(bench, started.work_dir, saved)
        tally.resumed += 1
        shutil.rmtree(started.work_dir.parent)
    return tally


def _killed(bench: FaultBench, step: int, before: object = lambda folder: None) -> StartedTraining:
    """Train until a process kills itself before a step; just before, something happens in its folder."""
    work_dir = bench.new()

    def strike() -> None:
        before(work_dir)
        os.kill(os.getpid(), signal.SIGKILL)

    def prepare(runner: Runner, heartbeat: Heartbeat) -> None:
        runner.register_hook(At("before_train_iter", step, heartbeat, strike))

    started = bench.start(work_dir, prepare)
    assert started.ended() == [-signal.SIGKILL], started.output()[-5000:]
    return started


def terminal_closes(bench: FaultBench, draw: random.Random, times: int) -> Tally:
    """Send SIGHUP to trainings; each saves where it is, and ends."""
    tally = Tally()
    for _ in range(times):
        started, step = bench.start(bench.new()), draw.randrange(1, STEPS - 2)
        while started.is_alive() and started.step < step:
            time.sleep(0.0005)
        os.kill(started.pids[0], signal.SIGHUP)
        assert started.ended() == [1], started.output()[-5000:]  # the bench lets Stopped out
        count_stop(tally, bench, started, signal.SIGHUP)
    return tally


def count_stop(tally: Tally, bench: FaultBench, started: StartedTraining, by: signal.Signals) -> None:
    """Count a training that a signal has stopped, let it go on to its end, and remove its folder."""
    saved = saved_step(started.work_dir)
    assert f"Stopped by {by.name} after step {saved} of {STEPS}" in started.log(0)
    tally.count(started.step - saved)
    tally.finish(bench, started.work_dir, saved)
    tally.resumed += 1
    shutil.rmtree(started.work_dir.parent)


def second_start(bench: FaultBench, draw: random.Random, times: int) -> Tally:
    """Start a second training in the folder of one that is going on."""
    tally = Tally()
    for _ in range(times):
        work_dir = bench.new()
        refused, step = work_dir.parent / "refused", draw.randrange(1, STEPS)

        def wait(refused: Path = refused) -> None:
            while not refused.exists():
                time.sleep(0.01)

        def prepare(runner: Runner, heartbeat: Heartbeat, step: int = step, wait: object = wait) -> None:
            runner.register_hook(At("before_train_iter", step, heartbeat, wait))

        first = bench.start(work_dir, prepare)
        while first.is_alive() and not first.heartbeats[0].struck:
            time.sleep(0.005)
        second = bench.start(work_dir)
        assert second.ended() == [1], second.output()[-5000:]
        assert f"{work_dir} is in use by the run of " in second.output()
        refused.touch()
        assert first.ended() == [0], first.output()[-5000:]
        tally.count(0)
        tally.compare(bench, first)
        shutil.rmtree(work_dir.parent)
    return tally
