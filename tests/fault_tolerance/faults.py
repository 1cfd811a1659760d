"""Faults that strike trainings, and what came of each: the table in docs/resume.md.

    python -m tests.fault_tolerance.faults [--kills 100] [--saves 50] [--times 10] [--seed 0] [--only WORD]

Every fault is a real one, in processes of their own, as often as the arguments say and at moments that are
drawn. What must come of it is asserted each time; the table counts.
"""

import argparse
import copy
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.runner import Runner

from mmvisionllama.checkpoint.manifest import examine, manifest_of, verify
from mmvisionllama.reports.summary import read_summary
from mmvisionllama.training.runner import Saved
from tests.fault_tolerance import fault_kinds, folder_faults, launcher_faults
from tests.fault_tolerance.fault_kinds import (
    IMAGES,
    PICTURES,
    TIMEOUT,
    At,
    InjectedFault,
    Tally,
    hanging_points,
    pictures,
)
from tests.fault_tolerance.small_disk import fill, make_room, on_small_disk
from tests.fault_tolerance.trainings import EVERY, STEPS, FaultBench, Heartbeat, StartedTraining, saved_step

_DISK_BYTES = 4 << 20
VALIDATED = 5  # steps between the validations of ``training``
BFLOAT16 = "mmvisionllama.BFloat16OptimWrapper"


def kills(
    bench: FaultBench,
    draw: random.Random,
    times: int,
    *,
    during_saves: bool,
    moment: Callable[[FaultBench, StartedTraining, random.Random], None],
) -> Tally:
    """Kill trainings again and again, and see what each kill leaves, until there were ``times``."""
    tally = Tally()
    while tally.times < times:
        work_dir, behind, waiting = bench.new(), 0, 0
        while tally.times < times:
            started = bench.start(work_dir)
            moment(bench, started, draw)
            started.kill()
            statuses, heartbeat = started.ended(), started.heartbeats[0]
            if heartbeat.first >= 0:
                assert heartbeat.first == behind, f"it went on at {heartbeat.first}, not at {behind}"
                tally.resumed, waiting = tally.resumed + waiting, 0
            step = saved_step(work_dir)
            if not any(statuses):
                behind = step
                break
            # Of several processes one may find the other dead before it is killed.
            assert -signal.SIGKILL in statuses, started.output()[-5000:]
            assert read_summary(work_dir).get("status") != "running"
            assert step >= behind, f"step {behind} was saved, and now {step} is the newest good one"
            if not during_saves or heartbeat.saving:
                tally.count(max(heartbeat.step, behind) - step)
                waiting += 1
            behind = step
        tally.finish(bench, work_dir, behind)
        tally.resumed += waiting
        shutil.rmtree(work_dir.parent)
    return tally


def _in_a_save(bench: FaultBench, started: StartedTraining, draw: random.Random) -> None:
    heartbeat, saves = started.heartbeats[0], draw.randint(1, 3)
    while started.is_alive() and heartbeat.saves < saves:
        time.sleep(0.0005)
    time.sleep(draw.uniform(0, bench.save_seconds))


def _after_a_checkpoint(bench: FaultBench, started: StartedTraining, draw: random.Random) -> None:
    first = started.heartbeats[0]
    while started.is_alive() and (first.saves < 1 or first.saving):
        time.sleep(0.0005)
    time.sleep(draw.uniform(0, 8 * bench.save_seconds))


def _anywhere(bench: FaultBench, started: StartedTraining, draw: random.Random) -> None:
    if draw.random() < 0.2:
        time.sleep(draw.uniform(0, 0.3))  # most of these fall into the start
        return
    while started.is_alive() and started.heartbeats[0].first < 0:
        time.sleep(0.0005)
    time.sleep(draw.uniform(0, 8 * bench.save_seconds))


def damage(bench: FaultBench, draw: random.Random, times: int, *, kind: str) -> Tally:
    """Damage the newest checkpoint of a training that was killed right after it had saved."""
    tally, step = Tally(), 4 * EVERY
    started = bench.start(
        bench.new(), lambda runner, heartbeat: runner.register_hook(_killed_before(step, heartbeat))
    )
    assert started.ended() == [-signal.SIGKILL]
    for _ in range(times):
        work_dir = bench.new()
        shutil.copytree(started.work_dir, work_dir)
        newest = work_dir / f"iter_{step}.pth"
        _DAMAGES[kind](newest, draw)
        assert saved_step(work_dir) == step - EVERY
        tally.count(EVERY)
        resumed = tally.finish(bench, work_dir, step - EVERY)
        tally.resumed += 1
        assert f"Not resumed from {newest}: BAD, " in resumed.log(0)
        shutil.rmtree(work_dir.parent)
    return tally


def _killed_before(step: int, heartbeat: Heartbeat) -> At:
    return At("before_train_iter", step, heartbeat, lambda: os.kill(os.getpid(), signal.SIGKILL))


def _truncate(path: Path, draw: random.Random) -> None:
    os.truncate(path, draw.randrange(path.stat().st_size))


def _flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def _put_nan(path: Path, draw: random.Random) -> None:
    """Put NaN into one value, and make size and checksums fit."""
    content = torch.load(path, weights_only=False)
    part = content[draw.choice(["state_dict", "ema_state_dict"])]
    values = part[draw.choice([name for name, x in part.items() if x.is_floating_point()])]
    values.view(-1)[draw.randrange(values.numel())] = float("nan")
    torch.save(content, path)
    manifest_of(path).write_text(examine(path).as_json())


_DAMAGES = {"truncated": _truncate, "flipped": _flip, "with NaN": _put_nan}


def full_disk(bench: FaultBench, draw: random.Random, times: int, *, at: str) -> Tally:
    """Let a disk be full during one save: the first, the last, or one between, after which there is room.

    Or across a validation, with what is saved and reported then.
    """
    folder = bench.new().parent

    def on_disk() -> Tally:
        small, tally = copy.copy(bench), Tally()
        small.folder = folder
        for _ in range(times):
            if at == "validation":
                _full_across(small, tally, draw.randrange(2 * VALIDATED, STEPS, VALIDATED))
                continue
            between = draw.randrange(2 * EVERY, STEPS, EVERY)
            step = {"first": EVERY, "last": STEPS, "between": between}[at]
            _full_once(small, tally, draw, step, ends=at != "between")
        return tally

    return on_small_disk(folder, _DISK_BYTES, on_disk)


def _full_across(bench: FaultBench, tally: Tally, step: int) -> None:
    """Let a disk be full from before the step that a validation follows until after the next one."""
    work_dir, found = bench.new(), bench.folder / "best"

    def best(runner: Runner) -> Path:
        path = Path(runner.message_hub.get_info("best_ckpt"))
        assert verify(path).problem is None, path
        return path

    def prepare(runner: Runner, heartbeat: Heartbeat) -> None:
        before = []

        def full() -> None:
            before.append(best(runner))
            fill(bench.folder, free=0)

        def room() -> None:
            make_room(bench.folder)
            found.write_text(f"{before[0].name} {best(runner).name}")

        runner.register_hook(At("before_train_iter", step - 1, heartbeat, full))
        runner.register_hook(At("before_train_iter", step + 1, heartbeat, room))

    started = bench.start(work_dir, prepare)
    assert started.ended() == [0], started.output()[-5000:]
    before, after = found.read_text().split()
    assert before == after, "what could not be saved is called the best"
    assert "RunSummaryHook at after_val: [Errno 28] No space left on device" in started.output()
    assert saved_step(work_dir) == STEPS
    assert read_summary(work_dir)["status"] == "finished"
    tally.count(0)
    tally.trainings += 1
    assert bench.has_undisturbed_weights(started)
    tally.equal += 1
    shutil.rmtree(work_dir.parent)


def _full_once(bench: FaultBench, tally: Tally, draw: random.Random, step: int, *, ends: bool) -> None:
    def prepare(runner: Runner, heartbeat: Heartbeat) -> None:
        save = runner.save_checkpoint

        def save_on_full_disk(out_dir: str, filename: str, **kwargs: object) -> Saved:
            if filename != f"iter_{step}.pth":
                return save(out_dir, filename, **kwargs)
            heartbeat.strikes()
            fill(bench.folder, free=draw.randrange(bench.checkpoint_bytes // 2))
            saved = save(out_dir, filename, **kwargs)
            if not ends:
                make_room(bench.folder)
            return saved

        runner.save_checkpoint = save_on_full_disk

    started = bench.start(bench.new(), prepare)
    assert started.ended() == [int(ends)], started.output()[-5000:]
    assert f"CHECKPOINT NOT SAVED: {started.work_dir}/iter_{step}.pth: " in started.output()
    assert "No space left on device" in started.output()
    if ends:
        make_room(bench.folder)
        tally.count(step - saved_step(started.work_dir))
        tally.finish(bench, started.work_dir, step - EVERY)
        tally.resumed += 1
    else:
        tally.count(0)
        tally.compare(bench, started)
    shutil.rmtree(started.work_dir.parent)


def struck(
    bench: FaultBench,
    draw: random.Random,
    times: int,
    *,
    injected: Callable[[FaultBench, random.Random], InjectedFault],
) -> Tally:
    """Let a injected end trainings."""
    tally = Tally()
    for _ in range(times):
        injected(bench, draw).strike(bench, tally)
    return tally


def skipped(bench: FaultBench, draw: random.Random, times: int, *, gone: bool) -> Tally:
    """Let a picture be damaged or disappear that the config allows to skip; the training goes on."""
    tally = Tally()
    for _ in range(times):
        file = bench.folder / PICTURES / f"{draw.randrange(IMAGES)}.png"
        whole, step = file.read_bytes(), draw.randrange(STEPS - 13)
        act = file.unlink if gone else lambda file=file: file.write_bytes(b"")
        started = bench.start(
            bench.new(),
            lambda runner, heartbeat, step=step, act=act: runner.register_hook(
                At("before_train_iter", step, heartbeat, act)
            ),
        )
        assert started.ended() == [0], started.output()[-5000:]
        assert f"Skipped a corrupt image (1 of at most 1): {file}: " in started.log(0)
        file.write_bytes(whole)
        assert saved_step(started.work_dir) == STEPS
        tally.count(0)
    return tally


@dataclass(frozen=True)
class Fault:
    """A line of the table.

    Attributes:
        bench: Kind of training that it strikes.
        strike: Does it so many times and returns what came of it.
        comes: What a user sees.
    """

    bench: str
    strike: Callable[..., Tally]
    options: dict[str, object]
    comes: str


BENCHES: dict[str, Callable[[Path], dict]] = {
    "plain": lambda folder: {},
    "with workers": lambda folder: {"workers": 2},
    "hanging": lambda folder: {"dataset": hanging_points(folder), "timeout": TIMEOUT},
    "hanging workers": lambda folder: {"dataset": hanging_points(folder), "timeout": TIMEOUT, "workers": 2},
    "two ranks, bfloat16": lambda folder: {"processes": 2, "accumulate": 2, "optim": BFLOAT16},
    "two ranks": lambda folder: {"processes": 2, "timeout": TIMEOUT},
    "pictures": lambda folder: {"dataset": pictures(folder, max_corrupt=0)},
    "pictures to skip": lambda folder: {"dataset": pictures(folder, max_corrupt=1)},
}
_REJECTED = "`--resume` says why it rejects it, and takes the one before"
_ERROR = "ends with the error; rank, step, phase and stack are in the log"
_STALL = "ends with status 69; rank, step, phase and stacks are in the log"
_SKIP = "goes on with another image; a warning names the file"


def _struck(bench: str, injected: Callable[[FaultBench, random.Random], InjectedFault], comes: str) -> Fault:
    return Fault(bench, struck, {"injected": injected}, comes)


FAULTS: dict[str, Fault] = {
    "SIGKILL during a save": Fault(
        "plain", kills, {"during_saves": True, "moment": _in_a_save}, "the save before counts"
    ),
    "SIGKILL at any moment": Fault(
        "plain", kills, {"during_saves": False, "moment": _anywhere}, "the last save counts"
    ),
    "SIGKILL of two ranks: averages, accumulation, bfloat16": Fault(
        "two ranks, bfloat16",
        kills,
        {"during_saves": False, "moment": _after_a_checkpoint},
        "the last save counts",
    ),
    "SIGHUP at any moment": Fault(
        "plain", folder_faults.terminal_closes, {}, "stops; all is saved, also without the terminal"
    ),
    "SIGKILL beside later checkpoints of another run": Fault(
        "plain", folder_faults.beside_another_run, {}, "its own last save counts; the other's files stay"
    ),
    "SIGKILL, then clocks and file times jump": Fault(
        "plain", folder_faults.clocks_jump, {}, "the save after most steps counts"
    ),
    "second start in the folder of a run": Fault(
        "plain", folder_faults.second_start, {}, "the second is refused; the first goes on"
    ),
    "disk full during one save": Fault("plain", full_disk, {"at": "between"}, "goes on; an error in the log"),
    "disk full during the first save": Fault("plain", full_disk, {"at": "first"}, "ends with an error"),
    "disk full during the last save": Fault("plain", full_disk, {"at": "last"}, "ends with an error"),
    "disk full across a validation": Fault(
        "plain", full_disk, {"at": "validation"}, "goes on; errors in the log; the best one before stays"
    ),
    "newest checkpoint cut off": Fault("plain", damage, {"kind": "truncated"}, _REJECTED),
    "newest checkpoint with a flipped bit": Fault("plain", damage, {"kind": "flipped"}, _REJECTED),
    "newest checkpoint with a NaN": Fault("plain", damage, {"kind": "with NaN"}, _REJECTED),
    "loading process killed": _struck("with workers", fault_kinds.worker_killed, _ERROR),
    "loading process hangs": _struck("hanging workers", fault_kinds.loading_hangs, _STALL),
    "loading hangs, without processes of its own": _struck("hanging", fault_kinds.loading_hangs, _STALL),
    "one of two ranks killed": _struck("two ranks", fault_kinds.rank_killed, f"the other {_ERROR}"),
    "one of two ranks hangs": _struck(
        "two ranks", fault_kinds.rank_hangs, f"it {_STALL}; the other ends too"
    ),
    "one of two ranks hangs, holding Python's lock": _struck(
        "two ranks", fault_kinds.rank_holds_the_interpreter, "both end; its stacks are in the log"
    ),
    "launcher of two ranks killed": Fault(
        "two ranks", launcher_faults.launcher_killed, {}, "both stop as after SIGTERM; all is saved"
    ),
    "image becomes corrupt": _struck("pictures", fault_kinds.image_corrupt, f"{_ERROR}, with the file"),
    "image file disappears": _struck("pictures", fault_kinds.image_gone, f"{_ERROR}, with the file"),
    "corrupt image within `max_corrupt`": Fault("pictures to skip", skipped, {"gone": False}, _SKIP),
    "missing image within `max_corrupt`": Fault("pictures to skip", skipped, {"gone": True}, _SKIP),
}


def strike(name: str, benches: dict[str, FaultBench], folder: Path, draw: random.Random, times: int) -> Tally:
    """Let a fault strike ``times`` times; ``benches`` keeps the benches that were needed, by kind."""
    fault = FAULTS[name]
    if fault.bench not in benches:
        place = folder / fault.bench.replace(" ", "_")
        place.mkdir(parents=True)
        benches[fault.bench] = FaultBench(place, **BENCHES[fault.bench](place))
    return fault.strike(benches[fault.bench], draw, times, **fault.options)


def line(name: str, tally: Tally) -> str:
    """Return a line of the table."""
    resumed = f"{tally.resumed} of {tally.times}" if tally.resumed else "-"
    equal = f"{tally.equal} of {tally.trainings}" if tally.trainings else "-"
    ended = f"{tally.seconds:.1f} s" if tally.seconds else "-"
    return f"| {name} | {tally.times} | {tally.lost} | {resumed} | {equal} | {ended} | {FAULTS[name].comes} |"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Let faults strike trainings and count what comes of them.")
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs in all")
    parser.add_argument("--saves", type=int, default=50, help="of these, during a save")
    parser.add_argument("--times", type=int, default=10, help="how often every other fault strikes")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--only", default="", help="only faults with this in their names")
    parser.add_argument("--out", type=Path, help="file for the table (default: standard output)")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what nohup starts is deaf to it, its children too
    counts = {"SIGKILL during a save": args.saves, "SIGKILL at any moment": args.kills - args.saves}
    lines = [
        "| fault | times | steps lost | resumed | ends as undisturbed | ended within | what happens |",
        "|---|---|---|---|---|---|---|",
    ]
    benches: dict[str, FaultBench] = {}
    with tempfile.TemporaryDirectory(prefix="faults_") as folder:
        for name in FAULTS:
            if args.only in name:
                start = time.monotonic()
                draw = random.Random(f"{args.seed} {name}")
                tally = strike(name, benches, Path(folder), draw, counts.get(name, args.times))
                lines.append(line(name, tally))
                sys.stderr.write(f"{lines[-1]} {time.monotonic() - start:.0f} s\n")
    if args.out is None:
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
