"""A metric that no evaluator gives cannot decide the best checkpoint: said before the run."""

from typing import Any

import mmseg.evaluation  # noqa: F401  (registers metrics)
import pytest
from mmengine.registry import DefaultScope

from mmvisionllama.checks.watched_metric import require_watched_metric
from mmvisionllama.errors import ConfigError

CLS = dict(type="mmpretrain.Accuracy", topk=(1, 5))
SEG = dict(type="mmseg.IoUMetric", iou_metrics=["mIoU"])
DET = dict(type="mmdet.CocoMetric", metric=["bbox", "segm"], ann_file="x.json")
OWN = dict(type="mmvisionllama.MeanLoss", prefix="denoising")


def config(evaluator: Any, name: Any) -> dict[str, Any]:
    checkpoint = dict(type="CheckpointHook", save_best=name)
    return dict(val_evaluator=evaluator, default_hooks=dict(checkpoint=checkpoint, timer=None))


@pytest.mark.parametrize(
    ("evaluator", "name"),
    [
        (CLS, "accuracy/top5"),
        (SEG, "mIoU"),
        (DET, "coco/segm_mAP"),
        (OWN, "denoising/loss"),
        ([CLS, SEG], ["mIoU", "accuracy/top1"]),
        (dict(type="Evaluator", metrics=[SEG]), "mAcc"),
        (CLS, "auto"),
        (CLS, None),
        (None, "mIoU"),
        (dict(type="mmdet.CocoMetric", metric="bbox", classwise=True, ann_file="x"), "coco/car_precision"),
    ],
)
def test_what_an_evaluator_gives_may_be_watched(evaluator: Any, name: Any) -> None:
    require_watched_metric(config(evaluator, name))


@pytest.mark.parametrize(
    ("evaluator", "name", "given"),
    [
        (CLS, "mIoU", "accuracy/top1, accuracy/top5"),
        (CLS, "accuracy/top3", "accuracy/top1, accuracy/top5. Did you mean"),
        (SEG, "accuracy/top1", "aAcc, mIoU, mAcc"),
        (SEG, "IoU", "Did you mean 'mIoU'"),
        (DET, "coco/mask_mAP", "coco/bbox_mAP"),
        (dict(type="mmdet.CocoMetric", metric="bbox", ann_file="x"), "coco/segm_mAP", "coco/bbox_mAP"),
        (OWN, "mIoU", "denoising/..."),
    ],
)
def test_what_it_does_not_give_is_an_error_with_what_it_does(evaluator: Any, name: str, given: str) -> None:
    with pytest.raises(ConfigError, match=r"default_hooks\.checkpoint\.save_best") as error:
        require_watched_metric(config(evaluator, name))
    assert given in str(error.value)


def test_what_writes_predictions_alone_gives_nothing_to_watch() -> None:
    with pytest.raises(ConfigError, match="val_evaluator gives no metric"):
        require_watched_metric(config({**SEG, "format_only": True, "output_dir": "x"}, "mIoU"))


@pytest.mark.parametrize("length", [dict(max_epochs=3), dict(max_iters=3)])
def test_a_validation_after_the_end_gives_nothing(length: dict[str, int]) -> None:
    cfg = config(SEG, "mIoU")
    require_watched_metric({**cfg, "train_cfg": {**length, "val_begin": 3}})
    with pytest.raises(ConfigError, match="val_begin=4 is after the end of the training, 3"):
        require_watched_metric({**cfg, "train_cfg": {**length, "val_begin": 4}})


def test_a_metric_is_found_in_the_default_scope() -> None:
    plain = {**CLS, "type": "Accuracy"}
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        require_watched_metric(config(plain, "accuracy/top5"))
        with pytest.raises(ConfigError, match="val_evaluator gives accuracy/top1, accuracy/top5"):
            require_watched_metric(config(plain, "mIoU"))


def test_early_stopping_watches_likewise() -> None:
    cfg = dict(val_evaluator=SEG, custom_hooks=[dict(type="EarlyStoppingHook", monitor="top1")])
    with pytest.raises(ConfigError, match=r"custom_hooks.0.monitor='top1'"):
        require_watched_metric(cfg)
