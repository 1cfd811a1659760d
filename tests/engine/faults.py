"""Faults that strike trainings, and what came of each: the table in docs/resume.md.

    python -m tests.engine.faults [--kills 100] [--saves 50] [--times 10] [--seed 0] [--only WORD] [--out F]

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

from mmvisionllama.checkpoint.manifest import examine, manifest_of
from tests.engine import blows
from tests.engine.blows import IMAGES, PICTURES, TIMEOUT, At, Blow, Tally, hanging_points, pictures
from tests.engine.small_disk import fill, make_room, on_small_disk
from tests.engine.victims import EVERY, STEPS, Beacon, Lab, Victim, saved_step

_DISK_BYTES = 4 << 20


def kills(lab: Lab, draw: random.Random, times: int, *, during_saves: bool) -> Tally:
    """Kill trainings again and again, and see what each kill leaves, until there were ``times``."""
    tally = Tally()
    while tally.times < times:
        work_dir, behind, waiting = lab.new(), 0, 0
        while tally.times < times:
            victim = lab.start(work_dir)
            (_in_a_save if during_saves else _anywhere)(lab, victim, draw)
            victim.kill()
            (status,), (beacon,) = victim.ended(), victim.beacons
            if beacon.first >= 0:
                assert beacon.first == behind, f"it went on at {beacon.first}, not at {behind}"
                tally.resumed, waiting = tally.resumed + waiting, 0
            step = saved_step(work_dir)
            if status == 0:
                behind = step
                break
            assert status == -signal.SIGKILL, victim.output()[-5000:]
            assert step >= behind, f"step {behind} was saved, and now {step} is the newest good one"
            if not during_saves or beacon.saving:
                tally.count(max(beacon.step, behind) - step)
                waiting += 1
            behind = step
        tally.finish(lab, work_dir, behind)
        tally.resumed += waiting
        shutil.rmtree(work_dir.parent)
    return tally


def _in_a_save(lab: Lab, victim: Victim, draw: random.Random) -> None:
    beacon, saves = victim.beacons[0], draw.randint(1, 3)
    while victim.is_alive() and beacon.saves < saves:
        time.sleep(0.0005)
    time.sleep(draw.uniform(0, lab.save_seconds))


def _anywhere(lab: Lab, victim: Victim, draw: random.Random) -> None:
    if draw.random() < 0.2:
        time.sleep(draw.uniform(0, 0.3))  # most of these fall into the start
        return
    while victim.is_alive() and victim.beacons[0].first < 0:
        time.sleep(0.0005)
    time.sleep(draw.uniform(0, 8 * lab.save_seconds))


def damage(lab: Lab, draw: random.Random, times: int, *, kind: str) -> Tally:
    """Damage the newest checkpoint of a training that was killed right after it had saved."""
    tally, step = Tally(), 4 * EVERY
    victim = lab.start(lab.new(), lambda runner, beacon: runner.register_hook(_killed_before(step, beacon)))
    assert victim.ended() == [-signal.SIGKILL]
    for _ in range(times):
        work_dir = lab.new()
        shutil.copytree(victim.work_dir, work_dir)
        newest = work_dir / f"iter_{step}.pth"
        _DAMAGES[kind](newest, draw)
        assert saved_step(work_dir) == step - EVERY
        tally.count(EVERY)
        resumed = tally.finish(lab, work_dir, step - EVERY)
        tally.resumed += 1
        assert f"Not resumed from {newest}: BAD, " in resumed.log(0)
        shutil.rmtree(work_dir.parent)
    return tally


def _killed_before(step: int, beacon: Beacon) -> At:
    return At("before_train_iter", step, beacon, lambda: os.kill(os.getpid(), signal.SIGKILL))


def _truncate(path: Path, draw: random.Random) -> None:
    os.truncate(path, draw.randrange(path.stat().st_size))


def _flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def _poison(path: Path, draw: random.Random) -> None:
    """Put NaN into one value, and make size and checksums fit."""
    content = torch.load(path, weights_only=False)
    part = content[draw.choice(["state_dict", "ema_state_dict"])]
    values = part[draw.choice([name for name, x in part.items() if x.is_floating_point()])]
    values.view(-1)[draw.randrange(values.numel())] = float("nan")
    torch.save(content, path)
    manifest_of(path).write_text(examine(path).as_json())


_DAMAGES = {"truncated": _truncate, "flipped": _flip, "poisoned": _poison}


def full_disk(lab: Lab, draw: random.Random, times: int, *, at: str) -> Tally:
    """Let a disk be full during one save: the first, the last, or one between, after which there is room."""
    folder = lab.new().parent

    def on_disk() -> Tally:
        small, tally = copy.copy(lab), Tally()
        small.folder = folder
        for _ in range(times):
            between = draw.randrange(2 * EVERY, STEPS, EVERY)
            step = {"first": EVERY, "last": STEPS, "between": between}[at]
            _full_once(small, tally, draw, step, ends=at != "between")
        return tally

    return on_small_disk(folder, _DISK_BYTES, on_disk)


def _full_once(lab: Lab, tally: Tally, draw: random.Random, step: int, *, ends: bool) -> None:
    def prepare(runner: Runner, beacon: Beacon) -> None:
        save = runner.save_checkpoint

        def save_on_full_disk(out_dir: str, filename: str, **kwargs: object) -> None:
            if filename != f"iter_{step}.pth":
                save(out_dir, filename, **kwargs)
                return
            beacon.strikes()
            fill(lab.folder, free=draw.randrange(lab.checkpoint_bytes // 2))
            save(out_dir, filename, **kwargs)
            if not ends:
                make_room(lab.folder)

        runner.save_checkpoint = save_on_full_disk

    victim = lab.start(lab.new(), prepare)
    assert victim.ended() == [int(ends)], victim.output()[-5000:]
    assert f"CHECKPOINT NOT SAVED: {victim.work_dir}/iter_{step}.pth: " in victim.output()
    assert "No space left on device" in victim.output()
    if ends:
        make_room(lab.folder)
        tally.count(step - saved_step(victim.work_dir))
        tally.finish(lab, victim.work_dir, step - EVERY)
        tally.resumed += 1
    else:
        tally.count(0)
        tally.compare(lab, victim)
    shutil.rmtree(victim.work_dir.parent)


def struck(lab: Lab, draw: random.Random, times: int, *, blow: Callable[[Lab, random.Random], Blow]) -> Tally:
    """Let a blow end trainings."""
    tally = Tally()
    for _ in range(times):
        blow(lab, draw).strike(lab, tally)
    return tally


def skipped(lab: Lab, draw: random.Random, times: int, *, gone: bool) -> Tally:
    """Let a picture be damaged or disappear that the config allows to skip; the training goes on."""
    tally = Tally()
    for _ in range(times):
        file = lab.folder / PICTURES / f"{draw.randrange(IMAGES)}.png"
        whole, step = file.read_bytes(), draw.randrange(STEPS - 13)
        act = file.unlink if gone else lambda file=file: file.write_bytes(b"")
        victim = lab.start(
            lab.new(),
            lambda runner, beacon, step=step, act=act: runner.register_hook(
                At("before_train_iter", step, beacon, act)
            ),
        )
        assert victim.ended() == [0], victim.output()[-5000:]
        assert f"Skipped a corrupt image (1 of at most 1): {file}: " in victim.log(0)
        file.write_bytes(whole)
        assert saved_step(victim.work_dir) == STEPS
        tally.count(0)
    return tally


@dataclass(frozen=True)
class Fault:
    """A line of the table.

    Attributes:
        lab: Kind of training that it strikes.
        strike: Does it so many times and returns what came of it.
        comes: What a user sees.
    """

    lab: str
    strike: Callable[..., Tally]
    options: dict[str, object]
    comes: str


LABS: dict[str, Callable[[Path], dict]] = {
    "plain": lambda folder: {},
    "with workers": lambda folder: {"workers": 2},
    "hanging": lambda folder: {"dataset": hanging_points(folder), "timeout": TIMEOUT},
    "hanging workers": lambda folder: {"dataset": hanging_points(folder), "timeout": TIMEOUT, "workers": 2},
    "two ranks": lambda folder: {"processes": 2, "timeout": TIMEOUT},
    "pictures": lambda folder: {"dataset": pictures(folder, max_corrupt=0)},
    "pictures to skip": lambda folder: {"dataset": pictures(folder, max_corrupt=1)},
}
_REJECTED = "`--resume` says why it rejects it, and takes the one before"
_ERROR = "ends with the error; rank, step, phase and stack are in the log"
_STALL = "ends with status 69; rank, step, phase and stacks are in the log"
_SKIP = "goes on with another image; a warning names the file"


def _struck(lab: str, blow: Callable[[Lab, random.Random], Blow], comes: str) -> Fault:
    return Fault(lab, struck, {"blow": blow}, comes)


FAULTS: dict[str, Fault] = {
    "SIGKILL during a save": Fault("plain", kills, {"during_saves": True}, "the save before counts"),
    "SIGKILL at any moment": Fault("plain", kills, {"during_saves": False}, "the last save counts"),
    "disk full during one save": Fault("plain", full_disk, {"at": "between"}, "goes on; an error in the log"),
    "disk full during the first save": Fault("plain", full_disk, {"at": "first"}, "ends with an error"),
    "disk full during the last save": Fault("plain", full_disk, {"at": "last"}, "ends with an error"),
    "newest checkpoint cut off": Fault("plain", damage, {"kind": "truncated"}, _REJECTED),
    "newest checkpoint with a flipped bit": Fault("plain", damage, {"kind": "flipped"}, _REJECTED),
    "newest checkpoint with a NaN": Fault("plain", damage, {"kind": "poisoned"}, _REJECTED),
    "loading process killed": _struck("with workers", blows.worker_killed, _ERROR),
    "loading process hangs": _struck("hanging workers", blows.loading_hangs, _STALL),
    "loading hangs, without processes of its own": _struck("hanging", blows.loading_hangs, _STALL),
    "one of two ranks killed": _struck("two ranks", blows.rank_killed, f"the other {_ERROR}"),
    "one of two ranks hangs": _struck("two ranks", blows.rank_hangs, f"it {_STALL}; the other ends too"),
    "one of two ranks hangs, holding Python's lock": _struck(
        "two ranks", blows.rank_holds_the_interpreter, "both end; its stacks are in the log"
    ),
    "image becomes corrupt": _struck("pictures", blows.image_corrupt, f"{_ERROR}, with the file"),
    "image file disappears": _struck("pictures", blows.image_gone, f"{_ERROR}, with the file"),
    "corrupt image within `max_corrupt`": Fault("pictures to skip", skipped, {"gone": False}, _SKIP),
    "missing image within `max_corrupt`": Fault("pictures to skip", skipped, {"gone": True}, _SKIP),
}


def strike(name: str, labs: dict[str, Lab], folder: Path, draw: random.Random, times: int) -> Tally:
    """Let a fault strike ``times`` times; ``labs`` keeps the labs that were needed, by kind."""
    fault = FAULTS[name]
    if fault.lab not in labs:
        place = folder / fault.lab.replace(" ", "_")
        place.mkdir(parents=True)
        labs[fault.lab] = Lab(place, **LABS[fault.lab](place))
    return fault.strike(labs[fault.lab], draw, times, **fault.options)


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
    counts = {"SIGKILL during a save": args.saves, "SIGKILL at any moment": args.kills - args.saves}
    lines = [
        "| fault | times | steps lost | resumed | ends as undisturbed | ended within | what happens |",
        "|---|---|---|---|---|---|---|",
    ]
    labs: dict[str, Lab] = {}
    with tempfile.TemporaryDirectory(prefix="faults_") as folder:
        for name in FAULTS:
            if args.only in name:
                start = time.monotonic()
                draw = random.Random(f"{args.seed} {name}")
                tally = strike(name, labs, Path(folder), draw, counts.get(name, args.times))
                lines.append(line(name, tally))
                sys.stderr.write(f"{lines[-1]} {time.monotonic() - start:.0f} s\n")
    if args.out is None:
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    from mmvisionllama import compat

    compat.prepare()
    main(sys.argv[1:])
