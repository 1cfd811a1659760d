"""Models that the converter makes of released weights, against tensors of the original research code."""

import json

import pytest
import torch
from torch import nn

from mmvisionllama import PyramidVisionLLaMA, VisionLLaMA
from mmvisionllama.models.grids import grid_positions
from mmvisionllama.models.layers import VisionLLaMABlock
from mmvisionllama.models.rope import RoPE2D, summary_positions
from tests.models.released import ROOT, Case, load_case

TABLES = load_case("rope_tables")


@pytest.mark.parametrize("table", TABLES.spec["tables"], ids=lambda table: table["name"])
def test_rotary_tables_equal_the_original_ones(table: dict) -> None:
    args = table["args"]
    rows_of_width = args.get("W") or int(args["end"] ** 0.5)
    rope = RoPE2D(args["dim"], 1, cls_position=(0, 0) if "cls_pos" in args else "raster")
    hw = (-(-args["end"] // rows_of_width), rows_of_width)
    position_N2 = grid_positions(hw)
    if args.get("step", 1) > 1:
        ratio = args["step"]
        position_N2 = summary_positions(
            (args["end"] // (args["W"] // ratio) * ratio, args["W"]), ratio, "released"
        )
    if args.get("use_cls"):
        position_N2 = torch.cat((rope.class_token(hw), position_N2))
    ours = rope.table(position_N2, hw=hw, scale=args.get("scale", 1.0))
    for name, pairs in (("cos", ours.cos[:, 0, ::2]), ("sin", ours.sin[:, 0, ::2])):
        TABLES.check(f"{table['name']}_{name}", pairs)


AUTO_SCALED = dict(rope=dict(type="AS2DRoPE"))
UNSCALED = dict(rope=dict(type="RoPE2D"))


@pytest.mark.parametrize(
    ("name", "known"), [("plain_cls", {}), ("plain_cls_autoscale", AUTO_SCALED), ("plain_gap", {})]
)
def test_plain_classifier_equals_the_original(name: str, known: dict) -> None:
    check_classifier(load_case(name), known)


@pytest.mark.parametrize("suffix", ["", "_rect"])
@pytest.mark.parametrize(("name", "known"), [("pyramid_cls", {}), ("pyramid_cls_autoscale", AUTO_SCALED)])
def test_pyramid_classifier_equals_the_original(name: str, known: dict, suffix: str) -> None:
    check_classifier(load_case(name), known, suffix)


def check_classifier(case: Case, known: dict, suffix: str = "") -> None:
    model, img = case.model(**known), case.inputs[f"x{suffix}"]
    (features,) = model.extract_feat(img)
    case.check(f"features{suffix}", features)
    case.check(f"logits{suffix}", model(img))


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("dense_plain", {}),
        ("dense_plain_autoscale", AUTO_SCALED),
        ("dense_plain_clstoken_autoscale", AUTO_SCALED),
        ("mmp_featmap_nonorm", {}),
        ("mmp_featmap_norm", {}),
        ("mmp_avg_nonorm", {}),
        ("mmp_avg_norm", {}),
        ("vitdet", {}),
        ("vitdet_v1", {}),
        ("vitdet_v1_avg", dict(global_attn=dict(ratio=4, summary="mean"))),
    ],
)
def test_outputs_of_plain_backbones_equal_the_original_ones(name: str, known: dict) -> None:
    case = load_case(name)
    spec = case.spec["constructor"]
    if windowed := spec.get("window_block_indexes"):
        outside = sorted(set(range(spec["arch"]["num_layers"])) - set(windowed))
        known = dict(window=dict(size=spec["window_size"], global_blocks=outside, **known))
    model = case.model(out_indices=spec["out_indices"], **known)
    for index, output in zip(model.out_indices, model(case.inputs["x"]), strict=True):
        case.check(f"feat{index}", output)


@pytest.mark.parametrize("suffix", ["", "_rect"])
@pytest.mark.parametrize(
    ("name", "known"),
    [("pyramid_dense", UNSCALED), ("pyramid_dense_autoscale", {}), ("pyramid_dense_det", {})],
)
def test_pyramid_maps_equal_the_original(name: str, known: dict, suffix: str) -> None:
    case = load_case(name)
    for stage, map_BCHW in enumerate(case.model(**known)(case.inputs[f"x{suffix}"])):
        case.check(f"feat{stage}{suffix}", map_BCHW)


FULL_MODELS = json.loads((ROOT / "full_models.json").read_text())


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (VisionLLaMA, "deit.vit_llama_rope_small_patch16"),
        (PyramidVisionLLaMA, "deit.pllama_wols_small_patch16"),
    ],
)
def test_drop_path_rates_equal_the_original_schedule(build: type[nn.Module], name: str) -> None:
    with torch.device("meta"):
        model = build("small", drop_path_rate=0.3)
    blocks = [block for block in model.modules() if isinstance(block, VisionLLaMABlock)]
    rates = [block.drop_attn.drop_prob for block in blocks]
    assert rates == [block.drop_ffn.drop_prob for block in blocks]
    original = FULL_MODELS[name]["drop_path"]  # blocks without drop-path are not listed there
    assert [rate for rate in rates if rate] == pytest.approx(original, abs=1e-6)
