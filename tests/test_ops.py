"""NMS and RoIAlign against mmcv's compiled operators where they exist, and loops that define them."""

import json
import sys
from math import ceil
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmcv.ops import RoIAlign, batched_nms, nms, roi_align
from torch import Tensor

from mmvisionllama import compat, ops
from mmvisionllama.errors import UserError
from tests.detector_steps import steps_of
from tests.without_operators import python

COMPILED = compat.operators_are_compiled()
needs_compiled = pytest.mark.skipif(not COMPILED, reason="mmcv has no compiled operators here")
SHAPES = [((7, 7), 0, True), ((3, 5), 2, True), ((7, 7), 0, False), ((4, 2), 3, False)]
TINY = ["pyramid_visionllama_tiny_maskrcnn_digitscenes", "visionllama_tiny_vitdet_digitscenes"]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Let ``mmcv.ops`` call the functions under test."""
    module = SimpleNamespace(**ops.MODULE)
    for name in ("nms", "roi_align"):
        monkeypatch.setattr(sys.modules[f"mmcv.ops.{name}"], "ext_module", module)
    return module


def regions(count: int, maps: int = 2, size: float = 200, seed: int = 0) -> Tensor:
    """Draw boxes of all sizes and shapes, some of them partly or wholly outside, and one without extent."""
    generator = torch.Generator().manual_seed(seed)
    centres = (torch.rand(count, 2, generator=generator) * 1.4 - 0.2) * size
    sides = torch.exp(torch.rand(count, 2, generator=generator) * 4 - 3.5) * size
    sides[0] = 0
    of = torch.randint(maps, (count, 1), generator=generator).float()
    return torch.cat([of, centres - sides / 2, centres + sides / 2], 1)


def pooled_and_gradient(maps: Tensor, rois: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    maps = maps.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    pooled = roi_align(maps, rois, *options)
    weights = torch.linspace(-1, 1, pooled.numel()).view_as(pooled).to(pooled.dtype)
    return pooled.detach(), torch.autograd.grad(pooled, maps, weights)[0]


def sampled(plane: Tensor, y: float, x: float) -> float:
    """Interpolate a map (H, W) as mmcv defines it."""
    H, W = plane.shape
    if not (-1 <= y <= H and -1 <= x <= W):
        return 0.0
    y, x = min(max(y, 0), H - 1), min(max(x, 0), W - 1)
    low, left = int(y), int(x)
    high, right = min(low + 1, H - 1), min(left + 1, W - 1)
    v, u = y - low, x - left
    upper = plane[low, left] * (1 - u) + plane[low, right] * u
    return float(upper * (1 - v) + (plane[high, left] * (1 - u) + plane[high, right] * u) * v)


def pooled_by_loops(
    maps: Tensor, rois: Tensor, bins: tuple[int, int], scale: float, ratio: int, aligned: bool
) -> Tensor:
    out = maps.new_zeros(len(rois), 1, *bins)
    for r, (of, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (x * scale - 0.5 * aligned for x in corners)
        sides = [y2 - y1, x2 - x1]
        steps = [(side if aligned else max(side, 1)) / n for side, n in zip(sides, bins, strict=True)]
        tall, wide = (ratio or ceil(step) for step in steps)
        for p, q in ((p, q) for p in range(bins[0]) for q in range(bins[1])):
            values = [
                sampled(
                    maps[int(of), 0],
                    y1 + (p + (i + 0.5) / tall) * steps[0],
                    x1 + (q + (j + 0.5) / wide) * steps[1],
                )
                for i in range(tall)
                for j in range(wide)
            ]
            out[r, 0, p, q] = sum(values) / max(len(values), 1)
    return out


@needs_compiled
@pytest.mark.parametrize(("bins", "ratio", "aligned"), SHAPES)
def test_regions_and_their_gradient_are_those_of_the_compiled_operator(
    bins: tuple[int, int], ratio: int, aligned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    maps, rois = torch.randn(2, 8, 50, 37), regions(150)
    options = (bins, 0.25, ratio, "avg", aligned)
    theirs = pooled_and_gradient(maps, rois, *options)
    monkeypatch.setattr(sys.modules["mmcv.ops.roi_align"], "ext_module", SimpleNamespace(**ops.MODULE))
    ours = pooled_and_gradient(maps, rois, *options)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("bins", "ratio", "aligned"), SHAPES)
@pytest.mark.usefixtures("stand_in")
def test_a_region_is_the_mean_of_its_samples(bins: tuple[int, int], ratio: int, aligned: bool) -> None:
    torch.manual_seed(0)
    maps, rois = torch.randn(2, 1, 9, 6, dtype=torch.float64), regions(12, size=36).double()
    ours = roi_align(maps, rois, bins, 0.25, ratio, "avg", aligned)
    theirs = pooled_by_loops(maps, rois, bins, 0.25, ratio, aligned)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("bins", "ratio", "aligned"), SHAPES)
@pytest.mark.usefixtures("stand_in")
def test_the_gradient_passes_the_check_in_double_precision(
    bins: tuple[int, int], ratio: int, aligned: bool
) -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    rois = regions(4, size=20).double()
    assert torch.autograd.gradcheck(lambda x: roi_align(x, rois, bins, 0.25, ratio, "avg", aligned), maps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.usefixtures("stand_in")
def test_maps_in_half_precision_are_pooled_in_float32_also_under_autocast(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    maps, rois = torch.randn(2, 4, 20, 20).to(dtype), regions(30, size=80)
    exact, _ = pooled_and_gradient(maps.float(), rois, 7, 0.25)
    with torch.autocast("cpu", torch.bfloat16):
        halves, gradient = pooled_and_gradient(maps, rois, 7, 0.25)
        full, _ = pooled_and_gradient(maps.float(), rois, 7, 0.25)
    assert (halves.dtype, gradient.dtype) == (dtype, dtype)
    assert torch.equal(halves, exact.to(dtype))
    assert torch.equal(full, exact)


@pytest.mark.usefixtures("stand_in")
def test_memory_layout_of_maps_and_gradients_makes_no_difference() -> None:
    torch.manual_seed(0)
    maps, rois = torch.randn(2, 4, 20, 15), regions(30, size=80)
    expected = pooled_and_gradient(maps, rois, 7, 0.25)
    last = pooled_and_gradient(maps.to(memory_format=torch.channels_last), rois, 7, 0.25)
    turned = pooled_and_gradient(maps.mT.contiguous().mT, rois, 7, 0.25)
    torch.testing.assert_close(last, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(turned, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("stand_in")
def test_no_boxes_give_an_empty_result_and_a_gradient_of_zero() -> None:
    pooled, gradient = pooled_and_gradient(torch.randn(2, 4, 8, 8), torch.zeros(0, 5), 7, 1.0)
    assert pooled.shape == (0, 4, 7, 7)
    assert not gradient.any()
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5)[1].tolist() == []


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("samples", [0, 2])
def test_a_box_that_is_not_finite_spoils_its_own_region_alone(samples: int) -> None:
    maps, rois = torch.randn(2, 4, 20, 20), regions(6, size=20)
    expected = roi_align(maps, rois, 7, 1.0, samples)
    rois[3] = torch.tensor([0, float("nan"), 1, 5, float("inf")])
    found = roi_align(maps, rois, 7, 1.0, samples)
    others = [0, 1, 2, 4, 5]
    assert torch.equal(found[others], expected[others])
    assert found[3].isnan().all()


@pytest.mark.usefixtures("stand_in")
def test_results_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, rois = torch.randn(2, 4, 50, 50), regions(60)
    expected = pooled_and_gradient(maps, rois, 7, 0.25)
    monkeypatch.setattr(ops, "_CPU_CHUNK", 1000)
    found = pooled_and_gradient(maps, rois, 7, 0.25)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give what a process finds in which mmcv has no compiled operators."""
    code = """
import json, resource, sys
import torch
import mmvisionllama
from mmvisionllama import compat
from mmcv.ops import nms, roi_align
assert not compat.operators_are_compiled()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
maps = torch.randn(1, 64, 256, 256, requires_grad=True)
corners = torch.rand(1000, 2) * 824
boxes = torch.cat([corners, corners + torch.rand(1000, 2) * 200], 1)
roi_align(maps[..., :8, :8], torch.zeros(1, 5), 7).sum().backward()
before = peak()
nms(boxes, torch.rand(1000), 0.7)
roi_align(maps, torch.cat([torch.zeros(1000, 1), boxes], 1), 7, 0.25).sum().backward()
found = {"MiB": peak() - before}
from mmcv.utils import collect_env
found["compiler"] = collect_env()["MMCV Compiler"]
from tests.detector_steps import steps_of
found["steps"] = {name: steps_of(name) for name in sys.argv[1:]}
print(json.dumps(found))
"""
    done = python(tmp_path_factory.mktemp("without"), "-c", code, *TINY)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_mmcv_describes_itself_without_compiled_operators(without: dict[str, Any]) -> None:
    assert without["compiler"] == "none: mmcv was installed without compiled operators"


def test_memory_is_bounded_for_a_thousand_boxes_on_an_image_of_1024_pixels(without: dict[str, Any]) -> None:
    # Result and gradient take 12 and 16 MiB each; the boxes' windows together would take 150.
    assert without["MiB"] < 100


def greedy(boxes: Tensor, scores: Tensor, threshold: float, offset: int) -> list[int]:
    kept: list[int] = []
    x1, y1, x2, y2 = boxes.T
    area = (x2 - x1 + offset) * (y2 - y1 + offset)
    for i in scores.sort(descending=True).indices.tolist():
        w = (torch.minimum(x2[i], x2[kept]) - torch.maximum(x1[i], x1[kept]) + offset).clamp(min=0)
        h = (torch.minimum(y2[i], y2[kept]) - torch.maximum(y1[i], y1[kept]) + offset).clamp(min=0)
        if not (w * h / (area[i] + area[kept] - w * h) > threshold).any():
            kept.append(i)
    return kept


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_the_boxes_that_stay_are_those_of_a_greedy_pass(threshold: float, offset: int) -> None:
    # Whole numbers, so that boxes repeat, scores tie, and overlaps equal the threshold.
    boxes = regions(700, size=60)[:, 1:].round()
    scores = torch.rand(700, generator=torch.Generator().manual_seed(0)).round(decimals=2)
    assert ops.nms(boxes, scores, threshold, offset).tolist() == greedy(boxes, scores, threshold, offset)
    found = ops.nms(boxes.double(), scores.double(), threshold, offset).tolist()
    assert found == greedy(boxes.double(), scores.double(), threshold, offset)


@needs_compiled
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("count", [1, 1000, 5000])
def test_the_boxes_that_stay_are_those_of_the_compiled_operator(count: int, offset: int) -> None:
    boxes, scores = regions(count)[:, 1:].round(decimals=1), torch.rand(count).round(decimals=3)
    theirs = nms(boxes, scores, 0.5, offset=offset)[1]
    assert torch.equal(ops.nms(boxes, scores, 0.5, offset), theirs)


@needs_compiled
def test_suppression_class_by_class_is_that_of_the_compiled_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boxes, scores = regions(500)[:, 1:], torch.rand(500)
    call = (boxes, scores, torch.arange(500) % 7, dict(type="nms", iou_threshold=0.5, max_num=40))
    theirs = batched_nms(*call)
    monkeypatch.setattr(sys.modules["mmcv.ops.nms"], "ext_module", SimpleNamespace(**ops.MODULE))
    torch.testing.assert_close(batched_nms(*call), theirs, rtol=0, atol=0)


def test_a_chain_of_boxes_that_each_overlap_the_next_loses_every_second() -> None:
    start = torch.arange(500.0)
    boxes = torch.stack([start, start * 0, start + 2, start * 0 + 1], 1)  # neighbours: one third
    assert ops.nms(boxes, -start, 0.3, 0).tolist() == list(range(0, 500, 2))


@pytest.mark.usefixtures("stand_in")
def test_torchvision_gets_the_work_where_its_operators_serve_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    maps, rois = torch.randn(1, 1, 6, 5, dtype=torch.float64), regions(8, maps=1, size=24)
    scores = torch.rand(8).round(decimals=1)
    options = ((3, 2), 0.25, 2, "avg", False)
    expected = pooled_and_gradient(maps, rois, *options)
    kept = ops.nms(rois[:, 1:], scores, 0.5, 0)
    each_cell = torch.eye(30, dtype=torch.float64).view(30, 1, 1, 6, 5)
    matrix = torch.stack([roi_align(cell, rois, *options).flatten() for cell in each_cell], 1)

    def tv_roi_align(maps: Tensor, rois: Tensor, *arguments: Any) -> Tensor:
        assert (arguments, rois.dtype) == ((0.25, 3, 2, 2, False), torch.float64)
        return (matrix @ maps.flatten()).view(8, 1, 3, 2)

    def tv_nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
        assert scores.diff().max() < 0  # no ties that torchvision could break in its own way
        return torch.tensor(greedy(boxes, scores, threshold, 0))

    monkeypatch.setattr(ops, "backend", lambda device: "torchvision")
    monkeypatch.setattr(torch.ops.torchvision, "roi_align", tv_roi_align, raising=False)
    monkeypatch.setattr(torch.ops.torchvision, "nms", tv_nms)
    torch.testing.assert_close(pooled_and_gradient(maps, rois, *options), expected)
    assert torch.equal(ops.nms(rois[:, 1:], scores, 0.5, 0), kept)


def test_a_torchvision_without_operators_leaves_the_work_to_torch() -> None:
    present = hasattr(torch.ops.torchvision, "roi_align")
    assert present != compat.torchvision_is_patched()
    assert ops.backend("cpu") == ("torchvision" if present else "torch")


def test_max_pooling_says_that_it_needs_compiled_operators(stand_in: SimpleNamespace) -> None:
    with pytest.raises(UserError, match=r"pool_mode='max'.*allowed without them: 'avg'.*--no-binary"):
        RoIAlign(7, pool_mode="max")(torch.zeros(1, 1, 8, 8), torch.zeros(1, 5))


def test_any_other_operator_names_itself_and_how_to_compile_it() -> None:
    operator = ops.MODULE["__getattr__"]("deform_conv_forward")
    with pytest.raises(UserError, match=r"'deform_conv_forward'.*not installed.*pip install") as raised:
        operator(torch.zeros(1), groups=1)
    assert str(raised.value).endswith(ops.compile_command())
    assert "nms, roi_align_forward, roi_align_backward" in str(raised.value)


def test_detectors_train_and_predict_without_compiled_operators_as_in_this_environment(
    without: dict[str, Any],
) -> None:
    for name, steps in without["steps"].items():
        here = steps_of(name)
        assert steps["objects"] == here["objects"] > 0
        for ours, theirs in zip(steps["losses"], here["losses"], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4)
