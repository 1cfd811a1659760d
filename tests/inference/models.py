"""Tiny models of every task, trained for a step on tiny data by the shipped recipes."""

from pathlib import Path

import mmvisionllama
from mmvisionllama.datasets.digitscenes import write_digitscenes

CONFIGS = {
    "classification": "configs/toy/visionllama_tiny_digitscenes.py",
    "segmentation": "configs/toy/visionllama_tiny_upernet_digitscenes.py",
    "detection": "configs/toy/pyramid_visionllama_tiny_maskrcnn_digitscenes.py",
    "reconstruction": "configs/toy/visionllama_tiny_mae_digitscenes.py",
    "generation": "configs/toy/sit_visionllama_tiny_digits.py",
}
FOLDERS = {
    "classification": "cls/val",
    "segmentation": "seg/images/validation",
    "detection": "det/images/val",
    "reconstruction": "cls/val",
}
_ALONE = {
    f"{loader}_dataloader.{key}": value
    for loader in ("train", "val", "test")
    for key, value in (("num_workers", 0), ("persistent_workers", False))
}


def write_data(base: Path) -> None:
    """Write a few scenes of every layout below ``base``, which $MMVISIONLLAMA_DATA names."""
    write_digitscenes(base / "digitscenes", num_train=8, num_val=6, layouts=["cls", "seg", "det"], workers=1)


def options(task: str) -> dict[str, object]:
    """Return what shortens a training to a step."""
    short = {
        **_ALONE,
        "train_dataloader.batch_size": 4,
        "test_dataloader.batch_size": 4,
        "param_scheduler": [],
    }
    if task == "reconstruction":
        return short | {"train_cfg.max_epochs": 1, "val_dataloader.batch_size": 4}
    if task == "generation":
        short["val_dataloader.dataset.indices"] = 4
    if task == "detection":  # finds something after a step
        return short | {
            "train_cfg.max_epochs": 1,
            "model.test_cfg.rcnn.score_thr": 0.0,
            "train_dataloader.dataset.indices": 4,
            "val_dataloader.batch_size": 4,
        }
    return short | {"train_cfg.max_iters": 1, "train_cfg.val_interval": 1, "val_dataloader.batch_size": 4}


def train(task: str, work_dir: Path) -> Path:
    """Train for a step and return the checkpoint."""
    mmvisionllama.train(CONFIGS[task], work_dir=work_dir, cfg_options=options(task))
    return Path((work_dir / "last_checkpoint").read_text())
