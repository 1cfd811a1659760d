"""DigitScenes detection end to end, on data that the preparing command writes."""

from pathlib import Path

import pytest

from tests.recipes.digitscenes import LOGGED, written
from tests.tools.commands import logged_losses, run, summary

MODELS = ["pyramid_visionllama_tiny_maskrcnn", "visionllama_tiny_vitdet"]
SHORTENED = [
    *LOGGED,
    "train_dataloader.batch_size=4",
    "val_dataloader.batch_size=10",
    "train_cfg.max_epochs=3",
    "train_cfg.val_interval=3",
    "default_hooks.checkpoint.interval=3",
    "param_scheduler.0.end=2",
    "param_scheduler.1.end=3",
    "model.train_cfg.rcnn.sampler.num=32",
    "model.roi_head.bbox_head.fc_out_channels=64",
    "model.roi_head.mask_head.num_convs=1",
    "model.train_cfg.rpn_proposal.max_per_img=100",
    "model.test_cfg.rpn.max_per_img=100",
    "model.test_cfg.rcnn.max_per_img=20",
    "model.test_cfg.rcnn.score_thr=0.0",  # so that a detector of a few steps finds something
]


data = written("det", num_train=16)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_detector_trains_is_evaluated_and_drawn_and_its_curves_are_shown(
    model: str, tmp_path: Path
) -> None:
    config = f"configs/toy/{model}_digitscenes.py"
    assert run("train", config, "--work-dir", tmp_path / "train", "--cfg-options", *SHORTENED) == 0
    losses = list(logged_losses(tmp_path / "train").values())
    facts = summary(tmp_path / "train")
    assert len(losses) == 3 * 4
    assert max(losses[-4:]) < losses[0]
    assert facts["status"] == "finished"
    assert {"coco/bbox_mAP_50", "coco/segm_mAP_50"} <= set(facts["last"])
    assert (tmp_path / "train/predictions.png").is_file()

    test = ["--work-dir", tmp_path / "test", "--cfg-options", *SHORTENED]
    assert run("test", config, facts["last_checkpoint"], *test) == 0
    assert (tmp_path / "test/precision_recall.png").is_file()
