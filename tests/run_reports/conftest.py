"""Work directories of a toy training: whole, resumed with NaN after a kill, and without validation."""

from pathlib import Path

import pytest

from tests.fault_tolerance.nan_injection import InjectNaN
from tests.tools.commands import TOY, run

SUMMARY = {"type": "mmvisionllama.RunSummaryHook"}
NAN = {"type": InjectNaN.__name__, "place": "loss", "steps": [3]}  # the fourth


@pytest.fixture(scope="package")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Train ``whole``, ``resumed`` and ``unvalidated``; tests must not change them.

    ``whole`` has made six steps, and validated after 2, 4 and 6. ``resumed`` was killed after step 5 while it
    wrote its log, and went on from 3; the fourth step was NaN both times.
    """
    base = tmp_path_factory.mktemp("runs")
    options = {"train_cfg.max_iters": 6, "train_cfg.val_interval": 2}
    assert run("train", TOY, "--work-dir", base / "whole", **options) == 0
    resumed = base / "resumed"
    with_nan = {**options, "custom_hooks": [SUMMARY, NAN]}
    assert run("train", TOY, "--work-dir", resumed, "--seed", "4", **with_nan) == 0
    for name in ("iter_6.pth", "iter_6.pth.json", "last_checkpoint"):
        (resumed / name).unlink()
    (scalars,) = resumed.glob("*/vis_data/scalars.json")
    (log,) = resumed.glob("*/*.log")
    scalars.write_text("".join(scalars.read_text().splitlines(keepends=True)[:-2]) + '{"loss": 0.1, "it')
    log.write_text(log.read_text().partition("[6/6]")[0])
    log.parent.rename(resumed / "20200101_000000")
    assert run("train", TOY, "--work-dir", resumed, "--resume", **with_nan) == 0
    assert run("train", TOY, "--work-dir", base / "unvalidated", **{"train_cfg.val_interval": 0}) == 0
    return {x.name: x for x in base.iterdir()}
