"""The links of a chain: order, commands, checkpoints, folders, and what decides their outcome."""

from pathlib import Path

import pytest

from mmvisionllama.checks.schedules import check_schedules
from mmvisionllama.config import load_config
from mmvisionllama.config.option_values import parse_options
from mmvisionllama.experiments.paper import load_table
from mmvisionllama.experiments.reproduction import INCEPTION, Link, Profile, data_in, plan
from mmvisionllama.experiments.tiny_profile import TinyProfile


def planned(table: str, row: str, out: Path, profile: Profile | None = None, seed: int = 0) -> list[Link]:
    return plan(load_table(table).row(row), out, seed=seed, profile=profile)


def option(link: Link, name: str) -> str:
    return link.command[link.command.index(name) + 1]


def test_each_training_starts_from_the_last_checkpoint_of_the_one_before(tmp_path: Path) -> None:
    pretraining, segmentation, test = planned("table4", "visionllama", tmp_path, seed=3)
    assert [pretraining.kind, segmentation.kind, test.kind] == ["train", "train", "test"]
    assert not any(x.startswith("load_from=") for x in pretraining.command)
    mae = tmp_path / "visionllama_mae_in1k_800e_seed3" / "epoch_800.pth"
    assert segmentation.command[-1] == f"load_from={mae}"
    assert mae in pretraining.results
    assert test.command[2] == str(segmentation.folder / "iter_160000.pth")
    for link in (pretraining, segmentation):
        assert link.command[0] == "tools/train.sh" or link.command[0].endswith("/tools/train.sh")
        assert (option(link, "--seed"), option(link, "--resume")) == ("3", "auto")
        assert "--amp" in link.command


def test_rows_and_branches_share_the_trainings_that_they_have_in_common(tmp_path: Path) -> None:
    both = planned("table3", "visionllama", tmp_path)
    assert [link.kind for link in both] == ["train", "train", "test", "train", "test"]
    first = {links[0].folder for links in (both, planned("table4", "visionllama", tmp_path))}
    assert first == {tmp_path / "visionllama_mae_in1k_800e_seed0"}


def test_fine_tunings_after_different_pretrainings_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = [planned("table4", row, tmp_path)[1].folder for row in ("visionllama", "visionllama_1600e")]
    assert len(set(folders)) == 2


def test_samples_are_drawn_by_the_tables_sampler_and_scored_against_adms_batch(tmp_path: Path) -> None:
    with data_in(tmp_path):
        _, sample, score = planned("table1", "visionllama_base_p4_guided", tmp_path / "out")
        (tmp_path / INCEPTION).touch()
        with_weights = planned("table1", "visionllama_base_p4_guided", tmp_path / "out")[-1]
    assert option(sample, "--num") == "50000" and "--npz" in sample.command
    assert (option(sample, "--sampler"), option(sample, "--steps")) == ("ddpm", "250")
    assert option(sample, "--cfg-scale") == "1.5"
    assert "model.guidance.channels=first_three" in sample.command
    assert sample.command[2].endswith("_seed0/iter_400000.pth")
    assert score.command[2] == option(sample, "--out") + "/samples.npz"
    assert option(score, "--reference") == str(tmp_path / "VIRTUAL_imagenet256_labeled.npz")
    assert option(score, "--features") == "inception"
    assert option(with_weights, "--features") == f"inception:{tmp_path / INCEPTION}"


def test_checkpoints_on_the_way_are_evaluated_and_the_last_one_once_for_two_tables(tmp_path: Path) -> None:
    links = planned("table10", "visionllama_small", tmp_path)
    drawn = [link for link in links if link.kind == "sample"]
    assert [Path(link.command[2]).name for link in drawn] == [
        f"iter_{step}.pth" for step in (100_000, 200_000, 300_000, 400_000)
    ]
    assert planned("table9", "visionllama_small", tmp_path)[1].folder == drawn[-1].folder
    assert planned("table8", "visionllama_small", tmp_path)[1].folder != drawn[-1].folder


def test_one_model_is_evaluated_at_the_sizes_of_the_table_with_the_rows_positions(tmp_path: Path) -> None:
    sweep = planned("table12", "ntk5", tmp_path)[-1]
    start, end = sweep.command.index("--sizes"), sweep.command.index("--positions")
    assert sweep.command[start + 1 : end] == ("224", "448", "512")
    assert sweep.command[end + 1] == "NTKRoPE2D:5"
    assert planned("table12", "ntk2", tmp_path)[0].folder == planned("table12", "rope2d", tmp_path)[0].folder


def test_what_decides_an_outcome_holds_all_links_before_but_no_place(tmp_path: Path) -> None:
    requests = []
    for name in ("here", "there"):
        with data_in(tmp_path / name):
            requests.append(planned("table4", "visionllama", tmp_path / f"out_{name}")[-1].request)
    assert requests[0] == requests[1]
    assert requests[0]["from"]["from"]["config"] == "configs/pretrain/visionllama_mae_in1k_800e.py"
    other = planned("table4", "visionllama", tmp_path, seed=1)[-1].request
    assert other != requests[0]
    assert planned("table4", "visionllama", tmp_path, TinyProfile())[-1].request != requests[0]


# One of every task and backbone.
SHRUNK = [
    "cls/deit3_in1k_pre192",
    "cls/pyramid_visionllama_small_in1k_released",
    "cls/swin_tiny_in1k",
    "cls/twins_svt_large_in1k",
    "cls/visionllama_large_mae_linear_in1k",
    "cls/vit_large_mae_linear_in1k",
    "ablation/visionllama_large_in1k_rope_ratio25",
    "det/pyramid_visionllama_maskrcnn_coco_3x_released",
    "det/swin_small_maskrcnn_coco_3x",
    "det/twins_svt_maskrcnn_coco_3x",
    "det/visionllama_vitdet_coco_released",
    "det/vit_vitdet_coco_100e",
    "gen/dit_visionllama_xlarge_p2_in1k_256",
    "pretrain/vit_large_mae_in1k_800e",
    "seg/pyramid_visionllama_large_upernet_ade20k",
    "seg/twins_svt_upernet_ade20k",
    "seg/vit_upernet_ade20k",
]


@pytest.mark.parametrize("name", SHRUNK)
def test_the_tiny_profile_shrinks_every_kind_of_recipe(name: str) -> None:
    from mmvisionllama.checks.run import build_model

    config = f"configs/{name}.py"
    cfg = load_config(config, parse_options(TinyProfile().options(config)))
    check_schedules(cfg)
    assert (cfg.train_cfg.get("max_epochs") or cfg.train_cfg.max_iters) <= 4
    parameters = sum(x.numel() for x in build_model(cfg).parameters())
    assert parameters < 16e6
