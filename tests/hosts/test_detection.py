"""Detectors under mixed precision and activation checkpointing."""

from typing import Any

import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mmvisionllama.hosts.detection import SingleRoIExtractor
from tests.configs.shipped import load

TINY = ["pyramid_visionllama_tiny_maskrcnn_digitscenes", "visionllama_tiny_vitdet_digitscenes"]


def build(name: str, **backbone: Any) -> nn.Module:
    cfg = load(f"configs/toy/{name}.py")
    cfg.model.backbone.update(backbone)
    init_default_scope("mmdet")
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


def batch(model: nn.Module) -> dict[str, Any]:
    data = demo_mm_inputs(2, (3, 64, 64), [3, 3], num_classes=10, with_mask=True)
    return model.data_preprocessor(data, training=True)


def total_loss(model: nn.Module) -> Tensor:
    torch.manual_seed(1)  # regions are drawn
    return model.parse_losses(model(**batch(model), mode="loss"))[0]


@pytest.mark.parametrize("name", TINY)
def test_a_detector_trains_and_predicts_under_bfloat16_autocast_as_in_float32(name: str) -> None:
    model = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        loss = total_loss(model)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    torch.testing.assert_close(loss, total_loss(model), rtol=0.05, atol=0)
    model.eval()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        found = model(**batch(model), mode="predict")[0].pred_instances
    assert found.bboxes.dtype == torch.float32
    assert len(found.masks) == len(found.bboxes) > 0


def test_features_of_regions_do_not_depend_on_how_a_map_lies_in_memory() -> None:
    torch.manual_seed(0)
    layer = dict(type="RoIAlign", output_size=3, sampling_ratio=0)
    extractor = SingleRoIExtractor(layer, out_channels=4, featmap_strides=[4])
    map_BCHW, rois = (
        torch.randn(2, 4, 8, 8),
        torch.tensor([[0, 4.0, 6.0, 20.0, 30.0], [1, 1.0, 1.0, 31.0, 9.0]]),
    )
    permuted = map_BCHW.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(extractor([map_BCHW], rois), extractor([permuted], rois))


@pytest.mark.parametrize("name", TINY)
def test_a_detector_that_recomputes_activations_has_the_same_gradients(name: str) -> None:
    models = build(name), build(name, with_cp=True)
    models[1].load_state_dict(models[0].state_dict())
    losses = [total_loss(model) for model in models]
    for loss in losses:
        loss.backward()
    assert torch.equal(*losses)
    for (key, ours), theirs in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=key)
