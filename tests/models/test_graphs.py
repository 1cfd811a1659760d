"""Graphs that leave sizes free, tracing, and what counts operations."""

import io
from collections.abc import Callable

import onnxruntime
import pytest
import torch
from mmengine.analysis import get_model_complexity_info

from mmvisionllama.models.backbone import RotaryBackbone
from mmvisionllama.models.grids import window_places
from tests.models.test_backbones import images, plain, seeded, short

SHALLOW = dict(embed_dims=32, num_layers=2, num_heads=2)
# Sides of one window, of less, of several, and such as no patch or window divides.
SIZES = [
    (72, 104),
    (64, 64),
    (61, 35),
    (224, 160),
    (96, 96),
    (200, 320),
    (48, 80),
    (33, 400),
    (56, 56),
    (40, 36),
]


def shallow(**options: object) -> RotaryBackbone:
    return plain(arch=SHALLOW, **options)


def windowed(**options: object) -> RotaryBackbone:
    window = dict(size=3, global_blocks=(1,), global_attn=dict(ratio=4, summary="depthwise"))
    return plain(arch=SHALLOW, out_type="featmap", window=window, **options)


def short_maps(**options: object) -> RotaryBackbone:
    return short(out_type="featmap", **options)


every = pytest.mark.parametrize("build", [shallow, windowed, short_maps])


@pytest.mark.parametrize("build", [windowed, short_maps])
def test_an_export_with_free_sides_computes_the_same_at_every_size_or_refuses_it(
    build: Callable[..., RotaryBackbone],
) -> None:
    model = seeded(build).eval()
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    program = torch.export.export(
        model,
        (images(2, 3, *SIZES[0]),),
        dynamic_shapes=(free,),
        prefer_deferred_runtime_asserts_over_guards=True,
    ).module()
    for batch, img_hw in enumerate(SIZES, 1):
        img = images(batch, 3, *img_hw)
        torch.testing.assert_close(program(img), model(img), atol=1e-5, rtol=1e-4)
    for img_hw in [(8, 200), (40, 7)]:  # a side of one token at the last stage is a case apart
        img = images(2, 3, *img_hw)
        try:
            outs = program(img)
        except (AssertionError, RuntimeError) as error:
            assert "Guard failed" in str(error) or "Runtime assertion failed" in str(error)
        else:
            torch.testing.assert_close(outs, model(img), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("build", [windowed, short_maps])
def test_two_graphs_at_most_serve_ten_sizes(build: Callable[..., RotaryBackbone]) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = seeded(build).eval()
    compiled = torch.compile(model, dynamic=True, fullgraph=True, backend="eager")
    with torch.no_grad():
        for img_hw in SIZES:
            img = images(2, 3, *img_hw)
            torch.testing.assert_close(compiled(img), model(img), atol=1e-5, rtol=1e-4)
    assert 1 <= torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2
    torch._dynamo.reset()


@pytest.mark.parametrize("hw", [(6, 9), (5, 4), (2, 3)])
def test_places_of_windows_are_those_of_a_padded_map_cut_into_windows(hw: tuple[int, int]) -> None:
    side = 3
    token_WS, place_N = window_places(hw, side)
    token_HW = torch.full((6, 9), hw[0] * hw[1])
    token_HW[: hw[0], : hw[1]] = torch.arange(hw[0] * hw[1]).view(hw)
    token_HW = token_HW[:, : -(-hw[1] // side) * side]  # two rows of windows at least
    cut = token_HW.unflatten(1, (-1, side)).unflatten(0, (-1, side)).transpose(1, 2).reshape(-1, side**2)
    torch.testing.assert_close(token_WS, cut)
    torch.testing.assert_close(token_WS.flatten()[place_N], torch.arange(hw[0] * hw[1]))


@every
def test_a_model_is_traced_and_its_operations_are_counted(build: Callable[..., RotaryBackbone]) -> None:
    model, img = seeded(build).eval(), images(2, 3, 72, 104)
    others = images(3, 3, 72, 104)
    traced = torch.jit.trace(model, img, check_trace=False)
    torch.testing.assert_close(traced(others), model(others), atol=1e-5, rtol=1e-4)
    assert get_model_complexity_info(model, input_shape=(3, 72, 104))["flops"] > 1e5


@every
def test_onnxs_tracing_exporter_leaves_the_batch_free(build: Callable[..., RotaryBackbone]) -> None:
    model, file = seeded(build).eval(), io.BytesIO()
    img, others = images(2, 3, 72, 104), images(3, 3, 72, 104)
    torch.onnx.export(model, (img,), file, dynamo=False, input_names=["img"], dynamic_axes={"img": {0: "B"}})
    outs = onnxruntime.InferenceSession(file.getvalue()).run(None, {"img": others.numpy()})
    for out, ours in zip(outs, model(others), strict=True):
        torch.testing.assert_close(torch.from_numpy(out), ours, atol=1e-5, rtol=1e-4)


@every
def test_an_empty_batch_gives_empty_maps(build: Callable[..., RotaryBackbone]) -> None:
    model = seeded(build).eval()
    one, none = model(images(1, 3, 40, 72)), model(images(0, 3, 40, 72))
    assert [x.shape for x in none] == [(0, *x.shape[1:]) for x in one]
