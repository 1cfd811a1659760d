"""Damage files of a work directory at random, and require a reason, no hang, and the next good checkpoint.

python -m tests.fault_tolerance.fuzz --cases 10000 --seed 0
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from mmvisionllama.checkpoint.as_saved import manifest_of
from mmvisionllama.checkpoint.manifest import Manifest
from mmvisionllama.config import load_config
from mmvisionllama.errors import UserError
from mmvisionllama.files import sha256_of
from tests.fault_tolerance.damages import SPECIAL
from tests.fault_tolerance.fuzz_targets import TARGETS, Target, chosen, fill
from tests.foreign_code import forged

LONGEST = 20  # seconds after which a case hangs


class Hang(BaseException):
    """A case that took too long."""


@dataclass
class Report:
    """What became of all cases.

    Attributes:
        rejected: Readings that ended with a reason.
        read: Readings that gave something all the same: the damage is harmless, or none is promised there.
        failures: Descriptions of cases that went wrong.
    """

    cases: int = 0
    rejected: int = 0
    read: int = 0
    kinds: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.cases:,} cases: {self.rejected:,} readings rejected with a reason, {self.read:,} read"
        ]
        lines += [f"  {count:6,}  {kind}" for kind, count in self.kinds.most_common()]
        return "\n".join([*lines, f"{len(self.failures)} failures", *self.failures[:20]])


def fuzz(cases: int, seed: int) -> Report:
    """Damage each file once, then drawn ones; a case follows from the seed and its number alone."""
    report, weights = Report(), [x.weight for x in TARGETS]
    with tempfile.TemporaryDirectory() as name, _alarm():
        folder = Path(name)
        fill(folder)
        with suppress(UserError):
            load_config(folder / "run" / "config.py")  # the hosts are imported once, before any case
        for number in range(cases):
            draw = random.Random(f"{seed} {number}")
            target = TARGETS[number] if number < len(TARGETS) else draw.choices(TARGETS, weights)[0]
            with _damaged(folder, target, draw) as what:
                _judge(folder, target, f"case {number}: {what}", report)
            report.cases += 1
            report.kinds[what] += 1
    return report


def _judge(folder: Path, target: Target, what: str, report: Report) -> None:
    victim = folder / target.file
    top = folder / Path(target.file).parts[0]
    for reader in target.readers:
        signal.alarm(LONGEST)
        try:
            reader(top, victim)
            report.read += 1
        except target.reasons as error:
            if reader is chosen:
                report.failures.append(f"{what}: {error}")
            elif str(error).strip():
                report.rejected += 1
            else:
                report.failures.append(f"{what}: no reason in {error!r}")
        except (Exception, Hang) as error:
            report.failures.append(f"{what}: {type(error).__name__}: {error!s:.200}")
        finally:
            signal.alarm(0)


@contextmanager
def _damaged(folder: Path, target: Target, draw: random.Random) -> Iterator[str]:
    """Damage a file in this block, and put it back."""
    victim = folder / target.file
    sharded = victim.parent.suffix == ".sharded" and victim.name != "manifest.json"
    data, beside = victim.read_bytes(), manifest_of(victim.parent if sharded else victim)
    promised = beside.read_bytes() if beside.is_file() else None
    if draw.random() < 0.15:
        damage = draw.choice(SPECIAL)
        victim.unlink()
        damage(victim)
    else:
        damage = draw.choice(target.kinds + target.odd)
        spoilt = damage(data, draw)
        victim.write_bytes(spoilt)
        if promised is not None and draw.random() < 0.7:  # else the manifest alone would be tried
            _forge(victim, beside, draw)
    try:
        yield f"{target.file}: {damage.__name__.replace('_', ' ')}"
    finally:
        if victim.is_dir() and not victim.is_symlink():
            shutil.rmtree(victim)
        else:
            victim.unlink(missing_ok=True)
        victim.write_bytes(data)
        if promised is not None:
            beside.write_bytes(promised)


def _forge(victim: Path, manifest: Path, draw: random.Random) -> None:
    """Take the manifest away, or let it promise the damaged bytes."""
    if draw.random() < 0.5:
        manifest.unlink()
        return
    if manifest.parent == victim.parent and manifest.name == "manifest.json":
        forged(victim.parent, victim.name)
        return
    told = json.loads(manifest.read_text())
    told |= {"bytes": victim.stat().st_size, "sha256": sha256_of(victim)}
    manifest.write_text(Manifest.of_content(told).as_json())


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {LONGEST} s")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    started = time.monotonic()
    report = fuzz(args.cases, args.seed)
    sys.stdout.write(f"{report}\n{time.monotonic() - started:.0f} s\n")
    return int(bool(report.failures))


if __name__ == "__main__":
    raise SystemExit(main())
