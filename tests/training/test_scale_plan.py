"""What one of many processes would do, from the dry run of one."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvisionllama.config.global_batch import GlobalBatch
from mmvisionllama.training.dry_run import DryRun
from mmvisionllama.training.scale_plan import ScalePlan, _rate
from tests.tools.commands import TOY, run

GIB = 1 << 30
HELD = dict(weights=2 * GIB, gradients=2 * GIB, optimizer=4 * GIB)
RUN = DryRun(0.5, 2.0, 10, 20 * GIB, HELD, val_seconds=1.0, val_batches=64, validations=3)


def plan(precision: dict[str, str] | None = None, accumulation: int = 2) -> list[str]:
    batch = GlobalBatch(4096, 64, 64 // accumulation, accumulation)
    return list(ScalePlan(batch, "a rate", GIB // 2, 1000, 4, precision or {}).lines(RUN))


def fact(lines: list[str], name: str) -> str:
    (line,) = [x for x in lines if x.startswith(f"  {name} ")]
    return line.partition(name)[2].strip()


def test_estimates_follow_from_what_was_measured() -> None:
    lines = plan()
    assert fact(lines, "batch") == "global batch 4096 = 64 processes x 32 x 2 accumulated"
    assert "measured: 20 GiB at its peak, of it weights 2 GiB" in fact(lines, "memory")
    assert "estimate: 22 GiB, with 2 GiB for buckets" in fact(lines, "DDP")
    # 20 - 8 held, of which a 64th stays, and the half GiB that is gathered.
    assert "estimate: 12.6 GiB, with 0.125 GiB of all that is held" in fact(lines, "sharded")
    assert fact(lines, "checkpoint").startswith("6 GiB; sharded, a file of 96 MiB from each")
    assert "DDP: 3.94 GiB sent by a process in a step, to all-reduce 2 GiB" in fact(lines, "traffic")
    passes = [x for x in lines if "to all-gather" in x]
    assert "sharded: 7.88 GiB to all-gather, 3.94 GiB to reduce-scatter, over 2 passes" in passes[0]
    assert "33 min for all 1,000" in fact(lines, "time")
    assert "about 34 min with validations" in fact(lines, "in all")  # 2000 s and 3 x 4 s


def test_weights_that_are_gathered_in_bfloat16_are_half() -> None:
    (line,) = [x for x in plan(dict(param_dtype="bfloat16"), 1) if "to all-gather" in x]
    assert "sharded: 1.97 GiB to all-gather, 1.97 GiB to reduce-scatter" in line
    assert "passes" not in line


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        (dict(base_batch_size=64), "learning rate 0.01, which the config means for 64 images"),
        (None, "learning rate 0.01, whatever the batch: the config states none"),
        (dict(base_batch_size=64, enable=True), "learning rate 0.02 = 0.01 x 128 / 64 (auto_scale_lr)"),
    ],
)
def test_the_rate_is_that_of_so_many_processes(stated: dict | None, told: str) -> None:
    loader, wrapper = dict(batch_size=4), dict(optimizer=dict(lr=0.01))
    cfg = Config(dict(train_dataloader=loader, optim_wrapper=wrapper, auto_scale_lr=stated))
    rate, batch = _rate(cfg, 32)
    assert rate.startswith(told)
    assert batch.size == (64 if stated and not stated.get("enable") else 128)


def test_one_device_tries_the_part_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    epochs = dict(_delete_=True, by_epoch=True, max_epochs=64)
    options = {"auto_scale_lr": dict(base_batch_size=128), "train_cfg": epochs}
    options["log_processor.by_epoch"] = True
    assert run("train", TOY, "--dry-run", "--gpus", "16", **options) == 0
    text = "".join(capfd.readouterr())
    assert "Dry run of one of 16 processes" in text
    assert "batch       global batch 128 = 16 processes x 4 x 2 accumulated" in text
    # 32 points make 4 steps of one process' 8 images, and 64 epochs of them a quarter step of all each.
    assert re.search(r"time        measured: \S+ s a step, .* for all 16", text)
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_cannot_be_are_refused_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where, stated = ("--work-dir", tmp_path / "run"), {"auto_scale_lr": dict(base_batch_size=256)}
    assert run("train", TOY, *where, "--dry-run", "--gpus", "60", **stated) == 2
    told = capsys.readouterr().err
    assert "60 processes cannot share 256 images evenly" in told
    assert "or take 32 or 64 processes" in told
    assert run("train", TOY, *where, "--gpus", "60") == 2
    assert "--gpus 60 says what a training on them would be: add --dry-run" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
