"""Every head, and every list of class weights, has a place for each class."""

from typing import Any

import pytest
from mmengine.config import Config
from torch import nn

from mmvisionllama.checks.head_classes import require_one_number_of_classes
from mmvisionllama.errors import ConfigError

SEG = dict(decode_head=dict(num_classes=3), auxiliary_head=dict(num_classes=3))
DET = dict(roi_head=dict(bbox_head=dict(num_classes=3), mask_head=dict(num_classes=3)))


def weighed(number: int, **options: Any) -> dict[str, Any]:
    return dict(type="CrossEntropyLoss", class_weight=[1.0] * number, **options)


def check(model: dict[str, Any]) -> None:
    require_one_number_of_classes(Config(dict(model=model)), nn.Identity(), "val_evaluator")


SOUND = {
    "segmentor": SEG,
    "detector": DET,
    "one stage": dict(bbox_head=dict(num_classes=3)),
    "no classes": dict(head=dict(type="MAEPretrainHead")),
    "one mask for all classes": dict(
        roi_head=dict(bbox_head=dict(num_classes=3), mask_head=dict(num_classes=1, class_agnostic=True))
    ),
    "weights": dict(decode_head=dict(num_classes=3, loss_decode=[weighed(3)])),
    "weights with background": dict(roi_head=dict(bbox_head=dict(num_classes=3, loss_cls=weighed(4)))),
    "weights of sigmoids": dict(
        roi_head=dict(bbox_head=dict(num_classes=3, loss_cls=weighed(3, use_sigmoid=True)))
    ),
    "weights in a file": dict(decode_head=dict(num_classes=3, loss_decode=dict(class_weight="weights.npy"))),
}


@pytest.mark.parametrize("model", SOUND.values(), ids=SOUND)
def test_heads_that_agree_are_sound(model: dict[str, Any]) -> None:
    check(model)


WRONG = {
    "auxiliary": (
        SEG | dict(auxiliary_head=dict(num_classes=2)),
        "model.auxiliary_head.num_classes=2, but the model's head for the result has 3 classes",
    ),
    "one of several": (
        SEG | dict(auxiliary_head=[dict(num_classes=3), dict(num_classes=150)]),
        "model.auxiliary_head.1.num_classes=150",
    ),
    "mask": (
        dict(roi_head=dict(bbox_head=dict(num_classes=3), mask_head=dict(num_classes=80))),
        "set model.roi_head.mask_head.num_classes=3",
    ),
    "cascade": (
        dict(roi_head=dict(bbox_head=[dict(num_classes=80), dict(num_classes=3)])),
        "model.roi_head.bbox_head.0.num_classes=80",
    ),
    "weights of a segmentor": (
        dict(decode_head=dict(num_classes=3, loss_decode=weighed(2))),
        "loss_decode.class_weight has 2 weights, but the head has 3 classes: give 3 weights",
    ),
    "weights of one of its losses": (
        dict(decode_head=dict(num_classes=3, loss_decode=[weighed(3), weighed(19)])),
        "model.decode_head.loss_decode.1.class_weight has 19 weights",
    ),
    "weights of an auxiliary head": (
        SEG | dict(auxiliary_head=dict(num_classes=3, loss_decode=weighed(1))),
        "model.auxiliary_head.loss_decode.class_weight has 1 weights",
    ),
    "weights of a classifier": (
        dict(head=dict(num_classes=3, loss=weighed(4))),
        "model.head.loss.class_weight has 4 weights, but the head has 3 classes: give 3 weights",
    ),
    "weights without background": (
        dict(roi_head=dict(bbox_head=dict(num_classes=3, loss_cls=weighed(3)))),
        "has 3 weights, but the head has 3 classes and the background: give 4 weights",
    ),
}


@pytest.mark.parametrize(("model", "error"), WRONG.values(), ids=WRONG)
def test_a_head_or_weights_of_another_number_of_classes(model: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(model)
    assert error in str(caught.value)
