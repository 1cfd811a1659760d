"""Class activation maps: shapes, ranges, classes and layers of all tasks."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mmvisionllama.analysis.attention_maps import head_maps
from mmvisionllama.analysis.class_maps import METHODS, class_map, plot
from mmvisionllama.checks.run import build_model
from mmvisionllama.errors import InputError
from mmvisionllama.inference.input_images import InputImage
from mmvisionllama.inference.trained_model import TrainedModel

Tiny = Callable[[str], TrainedModel]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_map_of_the_image_in_0_to_1(
    method: str, tiny: Tiny, photo: InputImage, wide_grey: InputImage
) -> None:
    for image, hw in ((photo, (64, 64)), (wide_grey, (40, 100))):
        found = class_map(tiny("classification"), image, method=method)
        assert found.heat.shape == found.image.shape[:2] == hw
        assert found.heat.dtype == np.float32
        assert 0 <= found.heat.min() <= found.heat.max() <= 1
        assert (found.label is None) == (method == "eigencam")


def test_a_map_follows_the_class_and_leaves_the_model_as_it_is(tiny: Tiny, photo: InputImage) -> None:
    model = tiny("classification")
    before = model.predict(photo).scores
    first = class_map(model, photo)
    assert (first.label, first.class_name) == (0, "0")  # which the image shows
    assert first.score == pytest.approx(float(before[0]))
    other = class_map(model, photo, wanted="7")
    assert (other.label, other.class_name) == (7, "7")
    assert np.abs(first.heat - other.heat).max() > 0.1
    np.testing.assert_array_equal(model.predict(photo).scores, before)
    assert all(x.grad is None for x in model.module.parameters())
    assert not any(x._forward_hooks for x in model.module.backbone.modules())
    assert len(plot([first, other]).axes) == 4


def test_a_gradcam_is_what_the_definition_says(tiny: Tiny, photo: InputImage) -> None:
    """Channels of the layer, weighed by the mean gradient of the logit, summed, negative ones cut off."""
    model = tiny("classification")
    kept: list[torch.Tensor] = []
    layer = model.module.backbone.blocks[7].norm1

    def keep(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    hook = layer.register_forward_hook(keep)
    x = model.inputs_of([photo])["inputs"].requires_grad_()
    model.module(x, mode="tensor")[0, 0].backward()
    hook.remove()
    model.module.zero_grad(set_to_none=True)
    (tokens,) = kept
    heat = (tokens * tokens.grad.mean(dim=1, keepdim=True)).sum(dim=-1).clamp(min=0).reshape(8, 8)
    place = divmod(int(heat.argmax()), 8)
    peak = class_map(model, photo).peak
    assert (peak[0] // 8, peak[1] // 8) == place


def test_a_class_token_attends_has_its_own_share_and_is_no_place_of_a_map(
    tiny: Tiny, photo: InputImage, wide_grey: InputImage
) -> None:
    torch.manual_seed(0)
    cfg = copy.deepcopy(tiny("classification").cfg)
    cfg.model.backbone |= dict(out_type="cls_token", arch=dict(embed_dims=96, num_layers=2, num_heads=3))
    module = build_model(cfg)
    module.init_weights()
    model = TrainedModel(module, cfg, tiny("classification").metainfo, "own")
    for image, hw in ((photo, (8, 8)), (wide_grey, (5, 13))):
        found = head_maps(model, image)
        assert (found.query, found.maps.shape) == ("class", (3, *hw))
        np.testing.assert_allclose(found.maps.sum((1, 2)) + found.class_shares, 1, atol=1e-5)
        assert (found.class_shares > 0).all()
        heat = class_map(model, image, wanted="3", method="layercam").heat
        assert heat.shape == found.image.shape[:2]
        assert heat.max() == pytest.approx(1, abs=1e-5)


def test_segmentation_detection_and_a_pyramid_have_maps(tiny: Tiny, photo: InputImage) -> None:
    found = class_map(tiny("segmentation"), photo, wanted="0")
    assert (found.heat.shape, found.class_name) == ((64, 64), "0")
    assert 0 < found.score < 1
    found = class_map(tiny("detection"), photo, layer="stages.2.blocks.3.norm1")
    assert (found.class_name, found.heat.shape) == ("0", (64, 64))
    assert found.heat[16:56, 24:56].mean() > 2 * found.heat[:, :16].mean()  # the digit against its left
    assert class_map(tiny("detection"), photo, method="eigencam").heat.max() == pytest.approx(1, abs=1e-5)
    assert class_map(tiny("reconstruction"), photo, method="eigencam").label is None


@pytest.mark.parametrize(
    ("task", "given", "told"),
    [
        ("classification", dict(method="gradcan"), "Did you mean 'gradcam'"),
        ("classification", dict(wanted="10"), "knows the classes 0 to 9"),
        ("classification", dict(wanted="zero"), "no such class.* Classes are 0, 1"),
        ("classification", dict(layer="blocks.8"), "no such module"),
        ("classification", dict(layer="blocks.0.ffn.silu"), "no such module"),
        ("classification", dict(method="eigencam", wanted="1"), "at no class: leave it out"),
        ("detection", dict(layer="stages.0.blocks.0.attn.qkv"), "is no map of the image"),
        ("detection", dict(wanted="9"), "no 9 was found there"),
        ("reconstruction", {}, "predicts no class.*eigencam"),
        ("generation", {}, "generates images"),
    ],
)
def test_what_makes_no_map_is_refused(
    task: str, given: dict, told: str, tiny: Tiny, photo: InputImage
) -> None:
    with pytest.raises(InputError, match=told):
        class_map(tiny(task), photo, **given)
