"""What can end a training from within: a process that dies or hangs, a file that is damaged or gone."""

import ctypes
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, TRANSFORMS
from mmengine.runner import Runner

from mmvisionllama.errors import ExitStatus
from tests.fault_tolerance.resume_cases import POINTS, JitteredPoints
from tests.fault_tolerance.trainings import EVERY, STEPS, FaultBench, Heartbeat, StartedTraining, saved_step

TIMEOUT = 8  # seconds: env_cfg.dist_cfg.timeout of the trainings that hang
IMAGES = 23
FLAG, PICTURES = "hang", "pictures"
_FOREVER = 100_000


@dataclass
class Tally:
    """What came of a fault.

    Attributes:
        times: How often it struck.
        lost: Training iterations after the newest good checkpoint, at most.
        resumed: Faults after which the next start went on exactly there.
        equal: Trainings that ended as an undisturbed one, bit for bit.
        trainings: All that were compared.
        seconds: From the fault to the end of all processes, at most.
    """

    times: int = 0
    lost: int = 0
    resumed: int = 0
    equal: int = 0
    trainings: int = 0
    seconds: float = 0.0

    def count(self, lost: int) -> None:
        """Count one fault; it may cost what came after the last checkpoint, but no checkpoint more."""
        assert 0 <= lost <= EVERY, f"{lost} iterations are lost, but checkpoints are {EVERY} apart"
        self.times += 1
        self.lost = max(self.lost, lost)

    def finish(self, bench: FaultBench, work_dir: Path, step: int) -> StartedTraining:
        """Go on with a training to its end, exactly from ``step``."""
        started = bench.start(work_dir)
        assert started.ended() == [0] * bench.processes, started.output()[-5000:]
        for heartbeat in started.heartbeats:
            assert heartbeat.first == (step if step < STEPS else -1), (
                f"it went on at {heartbeat.first}, not at {step}"
            )
        self.compare(bench, started)
        return started

    def compare(self, bench: FaultBench, started: StartedTraining) -> None:
        """Require that a training has ended as an undisturbed one."""
        self.trainings += 1
        assert bench.is_as_undisturbed(started), f"not as undisturbed: {started.work_dir}"
        self.equal += 1


class At(Hook):
    """Do something once, at a hook's method ``point`` with ``step`` training iterations done."""

    priority = "ABOVE_NORMAL"

    def __init__(self, point: str, step: int, heartbeat: Heartbeat, act: Callable[[], None]) -> None:
        self._step, self._beacon, self._act = step, heartbeat, act
        setattr(self, point, self._do)

    def _do(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if runner.iter == self._step:
            self._step = -1
            self._beacon.strikes()
            self._act()


@dataclass
class InjectedFault:
    """A fault that ends a training.

    Attributes:
        act: What is done, inside of the process.
        step, point, rank: Where.
        statuses: How each process may end.
        said: What the log of each must say.
        mend: What removes the cause.
    """

    act: Callable[[], None]
    step: int
    statuses: list[set[int]]
    said: list[list[str]]
    point: str = "before_train_iter"
    rank: int = 0
    mend: Callable[[], None] = lambda: None

    def strike(self, bench: FaultBench, tally: Tally) -> None:
        """End a training, see that it ended as it must, mend the cause, and go on with it to its end."""

        def prepare(runner: Runner, heartbeat: Heartbeat) -> None:
            if runner.rank == self.rank:
                runner.register_hook(At(self.point, self.step, heartbeat, self.act))

        started = bench.start(bench.new(), prepare)
        found = started.ended()
        tally.seconds = max(tally.seconds, time.monotonic() - started.heartbeats[self.rank].struck)
        for rank, status in enumerate(found):
            assert status in self.statuses[rank], (
                f"rank {rank} ended by {status}:\n{started.output()[-5000:]}"
            )
            for text in self.said[rank]:
                log = started.log(rank)
                assert re.search(text, log, re.DOTALL), f"no {text!r} in the log of {rank}:\n{log[-5000:]}"
        self.mend()
        step = saved_step(started.work_dir)
        tally.count(started.step - step)
        tally.finish(bench, started.work_dir, step)
        tally.resumed += 1
        shutil.rmtree(started.work_dir.parent)


def where(rank: int, processes: int, step: str | int = r"\d+", phase: str = r"\w") -> str:
    """Return the pattern of what a log must say about a process that ends."""
    return rf"rank {rank} of {processes} \([^)]+, pid \d+\), after step {step} of {STEPS}, phase: {phase}"


def worker_killed(bench: FaultBench, draw: random.Random) -> InjectedFault:
    told = r"RuntimeError: DataLoader worker .*(is killed by|exited unexpectedly)"
    taking_a_batch_from_it = r"(Connection\w+|EOF|FileNotFound)Error"
    said = [rf"ENDED by ({told}|{taking_a_batch_from_it})", where(0, 1), "Traceback"]

    def kill() -> None:
        os.kill(draw.choice(active_children()).pid, signal.SIGKILL)

    return InjectedFault(kill, draw.randrange(1, STEPS - 8), [{1}], [said])


def loading_hangs(bench: FaultBench, draw: random.Random) -> InjectedFault:
    flag = bench.folder / FLAG
    said = ["STALLED: nothing has moved for", where(0, 1, phase="loading of training data"), "hang_here"]
    return InjectedFault(
        flag.touch, draw.randrange(1, STEPS - 8), [{ExitStatus.STALLED}], [said], mend=flag.unlink
    )


def rank_killed(bench: FaultBench, draw: random.Random) -> InjectedFault:
    step, rank, point = _moment(draw)
    statuses, said = [{1}, {1}], [[], []]
    statuses[rank] = {-signal.SIGKILL}
    said[1 - rank] = ["ENDED by RuntimeError", where(1 - rank, 2, step), "Traceback"]
    return InjectedFault(lambda: os.kill(os.getpid(), signal.SIGKILL), step, statuses, said, point, rank)


def rank_hangs(bench: FaultBench, draw: random.Random) -> InjectedFault:
    step, rank, point = _moment(draw)
    act = draw.choice([hang_here, hang_in_c_code])
    statuses = [{1, ExitStatus.STALLED}, {1, ExitStatus.STALLED}]
    said = [[f"(STALLED|ENDED).*{where(x, 2, step)}", "(Stack of MainThread|Traceback)"] for x in range(2)]
    statuses[rank] = {ExitStatus.STALLED}
    said[rank] = [
        "STALLED",
        where(rank, 2, step, phase=f"hooks at {point}"),
        "Stack of MainThread",
        act.__name__,
    ]
    return InjectedFault(act, step, statuses, said, point, rank)


def rank_holds_the_interpreter(bench: FaultBench, draw: random.Random) -> InjectedFault:
    """Hang where no other thread of Python can run, in the process whose log C code then writes into."""
    step, rank, point = draw.randrange(STEPS), 0, "before_train_iter"
    said = [["hold_the_interpreter"], [where(1, 2, step), "(Stack of MainThread|Traceback)"]]
    return InjectedFault(hold_the_interpreter, step, [{1}, {1, ExitStatus.STALLED}], said, point, rank)


def image_corrupt(bench: FaultBench, draw: random.Random) -> InjectedFault:
    file = bench.folder / PICTURES / f"{draw.randrange(IMAGES)}.png"
    whole = file.read_bytes()

    def cut() -> None:
        file.write_bytes(whole[: draw.randrange(len(whole) - 20)])

    said = [rf"ENDED by CorruptImageError.*{re.escape(str(file))}: ", where(0, 1), "Traceback"]
    return InjectedFault(cut, draw.randrange(STEPS - 13), [{1}], [said], mend=lambda: file.write_bytes(whole))


def image_gone(bench: FaultBench, draw: random.Random) -> InjectedFault:
    file = bench.folder / PICTURES / f"{draw.randrange(IMAGES)}.png"
    aside = file.with_suffix(".aside")
    said = [
        rf"ENDED by CorruptImageError.*{re.escape(str(file))}: FileNotFoundError",
        where(0, 1),
        "Traceback",
    ]
    step = draw.randrange(STEPS - 13)
    return InjectedFault(lambda: file.rename(aside), step, [{1}], [said], mend=lambda: aside.rename(file))


def _moment(draw: random.Random) -> tuple[int, int, str]:
    """Draw step, rank and point: a training step, or the middle of a save, which the first process makes."""
    if draw.random() < 0.5:
        return draw.randrange(STEPS), draw.randrange(2), "before_train_iter"
    return draw.randrange(EVERY, STEPS, EVERY), 0, "before_save_checkpoint"


def hang_here() -> None:
    time.sleep(_FOREVER)


def hang_in_c_code() -> None:
    while True:  # a signal interrupts it
        ctypes.CDLL(None).sleep(_FOREVER)


def hold_the_interpreter() -> None:
    ctypes.PyDLL(None).sleep(_FOREVER)


@TRANSFORMS.register_module()
class Hanging:
    """Hang while there is a file ``flag``."""

    def __init__(self, flag: str) -> None:
        self.flag = Path(flag)

    def __call__(self, results: dict) -> dict:
        if self.flag.exists():
            hang_here()
        return results


@DATASETS.register_module()
class JitteredPictures(JitteredPoints):
    """Tiny pictures from files; four of their pixels are what the model gets."""

    def __init__(self, folder: str, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        points = super().load_data_list()
        return [{**point, "img_path": f"{self.folder}/{i}.png"} for i, point in enumerate(points)]


@TRANSFORMS.register_module()
class Corners:
    def __call__(self, results: dict) -> dict:
        corners = torch.from_numpy(results["img"][::4, ::4, 0].astype(np.float32).ravel() / 255)
        return {
            "inputs": corners,
            "target": corners.prod(),
            "width": results["width"],
            "height": results["height"],
        }


def hanging_points(folder: Path) -> dict[str, Any]:
    """Return a data set that hangs while the flag is in ``folder``."""
    return {
        **POINTS,
        "pipeline": [*POINTS["pipeline"], {"type": "mmengine.Hanging", "flag": str(folder / FLAG)}],
    }


def pictures(folder: Path, max_corrupt: int) -> dict[str, Any]:
    """Draw pictures in ``folder`` and return a data set of them."""
    generator = np.random.default_rng(0)
    (folder / PICTURES).mkdir(parents=True)
    for index in range(IMAGES):
        image = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / PICTURES / f"{index}.png"), image)
    load = {"type": "mmvisionllama.LoadImageFromFile", "max_corrupt": max_corrupt}
    pipeline = [load, {"type": "mmengine.Corners"}, {"type": "mmengine.Jitter"}]
    return {
        "type": "mmengine.JitteredPictures",
        "count": IMAGES,
        "folder": str(folder / PICTURES),
        "pipeline": pipeline,
    }
