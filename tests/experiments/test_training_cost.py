"""FLOPs of trainings: as published, and the same when they are counted again; GPU-hours of rows."""

import pytest

from mmvisionllama.errors import ReproductionError
from mmvisionllama.experiments.paper import load_table, trainings
from mmvisionllama.experiments.training_cost import (
    cost_of,
    counted,
    flops_of_row,
    gpu_hours,
    hours_of_row,
    settings_hash,
)

# Multiplications with their additions for an image, in 10^9: the paper's of DiT, Swin's own at 224 px.
PUBLISHED = {
    "configs/gen/dit_base_p4_in1k_256.py": 5.56,
    "configs/gen/dit_xlarge_p2_in1k_256.py": 118.64,
    "configs/cls/swin_tiny_in1k.py": 4.5,
}


def test_every_training_of_a_table_was_counted_as_it_is_today() -> None:
    """Where this fails: tools/reproduce.sh --count-flops"""
    assert [x for x in trainings() if counted(x).settings != settings_hash(x)] == []


@pytest.mark.parametrize(("config", "giga"), PUBLISHED.items())
def test_a_network_has_the_flops_that_are_published(config: str, giga: float) -> None:
    assert counted(config).forward / 2e9 == pytest.approx(giga, rel=0.02)


@pytest.mark.parametrize(
    "config",
    [
        "configs/cls/visionllama_small_in1k.py",
        "configs/pretrain/visionllama_mae_in1k_800e.py",
        "configs/seg/visionllama_upernet_ade20k.py",
        "configs/det/pyramid_visionllama_maskrcnn_coco_3x.py",
        "configs/gen/sit_small_p2_in1k_256.py",
    ],
)
def test_counting_again_gives_what_is_written(config: str) -> None:
    assert cost_of(config) == counted(config)


def test_a_step_is_about_three_times_the_forward_pass_but_one_for_a_frozen_encoder() -> None:
    cost = counted("configs/cls/visionllama_small_in1k.py")
    assert cost.step / cost.forward == pytest.approx(3, rel=0.02)
    probe = counted("configs/cls/visionllama_mae_linear_in1k.py")
    assert probe.step / probe.forward == pytest.approx(1, rel=0.001)


def test_images_are_those_of_all_epochs_or_of_all_steps() -> None:
    assert counted("configs/cls/visionllama_small_in1k.py").images == 800 * 1_281_167
    assert counted("configs/gen/sit_small_p2_in1k_256.py").images == 400_000 * 256
    assert counted("configs/seg/visionllama_upernet_ade20k.py").images == 160_000 * 16


def test_a_row_adds_up_its_trainings_each_once_and_what_it_samples() -> None:
    both = flops_of_row(load_table("table3").row("visionllama"))
    assert sorted(both) == [
        *("visionllama_mae_finetune_in1k", "visionllama_mae_in1k_800e", "visionllama_mae_linear_in1k"),
    ]
    table = load_table("table1")
    plain, guided = (flops_of_row(table.row(f"dit_base_p4{x}"))["samples"] / 50_000 for x in ("", "_guided"))
    cost = counted("configs/gen/dit_base_p4_in1k_256.py")
    assert plain == 250 * cost.forward + cost.decoding
    assert guided == 500 * cost.forward + cost.decoding


def test_hours_are_flops_at_the_rate_that_is_given() -> None:
    assert gpu_hours(3600 * 150e12, 150) == 1
    row = load_table("table4").row("visionllama")
    slow, fast = (float(hours_of_row(row, rate).partition(" ")[0]) for rate in (150, 300))
    assert slow == pytest.approx(2 * fast, abs=2)


def test_samples_of_a_solver_that_chooses_its_steps_are_said_not_to_be_counted() -> None:
    text = hours_of_row(load_table("table9").row("sit_small"), 150)
    assert "without the samples, whose solver chooses its steps" in text
    assert "sit_small_p2_in1k_256 " in text


def test_a_training_that_was_never_counted_is_an_error_that_says_what_counts_it() -> None:
    with pytest.raises(ReproductionError, match="no FLOPs were counted for configs/toy/x"):
        counted("configs/toy/x.py")
