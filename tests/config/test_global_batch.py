from typing import Any

import pytest
from mmengine.config import Config

from mmvisionllama.config.global_batch import remark_on_accumulation, share_batch, take_global_batch
from mmvisionllama.errors import ConfigError


def config(size: Any = 4096, most: int = 64, **more: Any) -> Config:
    return Config(
        dict(
            train_dataloader=dict(batch_size=most),
            auto_scale_lr=None if size is None else dict(base_batch_size=size),
            optim_wrapper=dict(optimizer=dict(type="AdamW", lr=2.4e-3)),
            **more,
        )
    )


@pytest.mark.parametrize(
    ("processes", "most", "line"),
    [
        (8, 64, "global batch 4096 = 8 processes x 64 x 8 accumulated"),
        (8, 512, "global batch 4096 = 8 processes x 512"),
        (1, 512, "global batch 4096 = 1 process x 512 x 8 accumulated"),
        (64, 512, "global batch 4096 = 64 processes x 64"),
        (8, 100, "global batch 4096 = 8 processes x 64 x 8 accumulated"),
    ],
)
def test_any_number_of_processes_makes_the_stated_batch(processes: int, most: int, line: str) -> None:
    assert str(share_batch(config(most=most), processes)) == line


@pytest.mark.parametrize("processes", range(1, 17))
@pytest.mark.parametrize("most", [1, 5, 7, 64])
def test_parts_make_the_whole_and_none_is_larger_than_a_device_takes(processes: int, most: int) -> None:
    batch = share_batch(config(size=720720, most=most), processes)
    assert batch.processes * batch.per_device * batch.accumulation == batch.size == 720720
    assert batch.per_device <= most


def test_a_config_that_states_no_batch_is_left_alone() -> None:
    assert share_batch(config(size=None), 8) is None


def test_a_config_that_fits_its_rate_to_any_batch_is_left_alone() -> None:
    cfg = config()
    cfg.auto_scale_lr.enable = True
    assert share_batch(cfg, 8) is None


@pytest.mark.parametrize(
    ("size", "processes", "message"),
    [
        (
            4096,
            3,
            "3 processes cannot share 4096 images evenly; they can share 4095 or 4098 "
            r"\(--global-batch 4095\), or take 2 or 4 processes",
        ),
        (4, 8, r"8 processes cannot share 4 images evenly; they can share 8 \(.*\), or take 4 processes"),
        (0, 1, "expected a whole number of images, got 0"),
        (2.5, 1, "expected a whole number of images, got 2.5"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_an_error_with_both_numbers(
    size: Any, processes: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        share_batch(config(size=size), processes)


def test_an_accumulation_beside_a_stated_batch_is_an_error() -> None:
    cfg = config()
    cfg.optim_wrapper.accumulative_counts = 2
    with pytest.raises(ConfigError, match=r"2 contradicts auto_scale_lr\.base_batch_size=4096"):
        share_batch(cfg, 8)


def test_another_batch_takes_the_rate_with_it() -> None:
    cfg = config()
    line = take_global_batch(cfg, 1024)
    assert line == "--global-batch 1024: learning rate 0.0006 = 0.0024 x 1024 / 4096"
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(6e-4)
    assert str(share_batch(cfg, 8)) == "global batch 1024 = 8 processes x 64 x 2 accumulated"


def test_another_batch_of_a_config_that_states_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"auto_scale_lr\.base_batch_size: is missing"):
        take_global_batch(config(size=None), 1024)


def test_iterations_that_are_no_steps_are_remarked_on() -> None:
    cfg = config(size=None)
    assert remark_on_accumulation(cfg) == []
    cfg.optim_wrapper.accumulative_counts = 2
    (line,) = remark_on_accumulation(cfg)
    assert "2 iterations make a step" in line
