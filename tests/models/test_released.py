"""The backbones against tensors of the original research code."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmvisionllama import PyramidVisionLLaMA, VisionLLaMA
from mmvisionllama.models.layers import VisionLLaMABlock
from mmvisionllama.models.rope import RoPE2D, grid_positions, summary_positions
from tests.models.released import ROOT, Case, load_case

RELEASED_KEYS = dict(key_positions="released")
TABLES = load_case("rope_tables")


def plain(case: Case, **options: object) -> VisionLLaMA:
    spec = case.spec["constructor"]
    arch = dict(embed_dims=spec["embed_dim"], num_layers=spec["depth"], num_heads=spec["num_heads"])
    model = VisionLLaMA(arch, img_size=spec["img_size"], patch_size=spec["patch_size"], **options)
    model.load_state_dict(case.weights, strict=True)
    return model.eval()


def pyramid(case: Case, **options: object) -> PyramidVisionLLaMA:
    arch = {key: case.spec["constructor"][key] for key in ("embed_dims", "depths", "num_heads")}
    model = PyramidVisionLLaMA(arch, window=dict(mask_padding=False), **options)
    weights = {key.replace("norms.all.", "norms.3."): value for key, value in case.weights.items()}
    model.load_state_dict(weights, strict=True)
    return model.eval()


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


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain_cls", dict(out_type="cls_token")),
        ("plain_cls_autoscale", dict(out_type="cls_token", rope=dict(type="AS2DRoPE", anchor=14))),
        ("plain_gap", dict(out_type="avg_featmap")),
    ],
)
def test_plain_classifier_equals_the_original(name: str, options: dict) -> None:
    case = load_case(name)
    (features,) = plain(case, **options)(case.inputs["x"])
    case.check("features", features)
    case.check("logits", F.linear(features, case.head["head.weight"], case.head["head.bias"]))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dense_plain", {}),
        ("dense_plain_autoscale", dict(rope=dict(type="AS2DRoPE", anchor=14))),
        (
            "dense_plain_clstoken_autoscale",
            dict(rope=dict(type="AS2DRoPE", anchor=14), with_cls_token=True),
        ),
    ],
)
def test_plain_maps_equal_the_original(name: str, options: dict) -> None:
    case = load_case(name)
    indices = case.spec["constructor"]["out_indices"]
    maps = plain(case, out_type="featmap", out_indices=indices, **options)(case.inputs["x"])
    for index, map_BDHW in zip(indices, maps, strict=True):
        case.check(f"feat{index}", map_BDHW)


@pytest.mark.parametrize("name", ["mmp_featmap_nonorm", "vitdet"])
def test_maps_equal_the_original_mae_and_vitdet_encoders(name: str) -> None:
    case = load_case(name)
    spec = case.spec["constructor"]
    window = None
    if "window_size" in spec:
        inside = set(range(spec["arch"]["num_layers"])) - set(spec["window_block_indexes"])
        window = dict(size=spec["window_size"], global_blocks=sorted(inside), mask_padding=False)
    model = VisionLLaMA(
        {key: spec["arch"][key] for key in ("embed_dims", "num_layers", "num_heads")},
        img_size=spec["img_size"],
        patch_size=spec["patch_size"],
        ffn=dict(type="SwiGLU", hidden_dims=256, bias=True),
        layer_scale=None,
        window=window,
        out_type="featmap",
        out_indices=spec["out_indices"],
    )
    model.load_state_dict(case.weights, strict=True)
    for index, map_BDHW in zip(spec["out_indices"], model.eval()(case.inputs["x"]), strict=True):
        case.check(f"feat{index}", map_BDHW)


@pytest.mark.parametrize(("name", "summary"), [("vitdet_v1", "depthwise"), ("vitdet_v1_avg", "mean")])
def test_maps_equal_the_original_vitdet_encoders_with_sub_sampled_keys(name: str, summary: str) -> None:
    case = load_case(name)
    spec = case.spec["constructor"]
    arch = {key: spec["arch"][key] for key in ("embed_dims", "num_layers", "num_heads")}
    outside = sorted(set(range(arch["num_layers"])) - set(spec["window_block_indexes"]))
    model = VisionLLaMA(
        arch,
        img_size=spec["img_size"],
        patch_size=spec["patch_size"],
        rope=dict(type="RoPE2D", key_positions="released"),
        ffn=dict(type="SwiGLU", hidden_dims=256, bias=True),
        layer_scale=None,
        window=dict(
            size=spec["window_size"],
            global_blocks=outside,
            mask_padding=False,
            global_attn=dict(ratio=4, summary=summary),
        ),
        out_type="featmap",
        out_indices=spec["out_indices"],
    )
    weights = dict(case.weights)
    for index in outside:
        for part in ("weight", "bias"):
            fused, dims = weights.pop(f"blocks.{index}.attn.qkv.{part}"), arch["embed_dims"]
            weights[f"blocks.{index}.attn.q.{part}"] = fused[:dims]
            weights[f"blocks.{index}.attn.kv.{part}"] = fused[dims:]
    model.load_state_dict(weights, strict=True)
    for index, map_BDHW in zip(spec["out_indices"], model.eval()(case.inputs["x"]), strict=True):
        case.check(f"feat{index}", map_BDHW)


@pytest.mark.parametrize(
    ("name", "out_norm"),
    [("mmp_avg_nonorm", "shared"), ("mmp_avg_norm", "both"), ("mmp_featmap_norm", "last")],
)
def test_normed_outputs_equal_those_of_the_original_mae_encoder(name: str, out_norm: str) -> None:
    case = load_case(name)
    spec = case.spec["constructor"]
    model = VisionLLaMA(
        {key: spec["arch"][key] for key in ("embed_dims", "num_layers", "num_heads")},
        img_size=spec["img_size"],
        patch_size=spec["patch_size"],
        ffn=dict(type="SwiGLU", hidden_dims=256, bias=True),
        layer_scale=None,
        out_type=spec["out_type"],
        out_norm=out_norm,
        out_indices=spec["out_indices"],
    )
    norms = {"shared": {"ln2": "all"}, "both": {"ln1": "last", "ln2": "all"}, "last": {"ln1": "all"}}[
        out_norm
    ]
    weights = {}
    for key, value in case.weights.items():
        name, _, rest = key.partition(".")
        weights[f"norms.{norms[name]}.{rest}" if name in norms else key] = value
    model.load_state_dict(weights, strict=True)
    for index, features in zip(model.out_indices, model.eval()(case.inputs["x"]), strict=True):
        case.check(f"feat{index}", features)


@pytest.mark.parametrize("suffix", ["", "_rect"])
@pytest.mark.parametrize("autoscale", [False, True])
def test_pyramid_classifier_equals_the_original(autoscale: bool, suffix: str) -> None:
    case = load_case("pyramid_cls_autoscale" if autoscale else "pyramid_cls")
    rope = dict(type="AS2DRoPE", anchor=14, scale_side="rows") if autoscale else dict(type="RoPE2D")
    (features,) = pyramid(case, rope=rope | RELEASED_KEYS, out_norm="twice")(case.inputs[f"x{suffix}"])
    case.check(f"features{suffix}", features)
    logits = F.linear(features, case.head["head.weight"], case.head["head.bias"])
    case.check(f"logits{suffix}", logits)


@pytest.mark.parametrize("suffix", ["", "_rect"])
@pytest.mark.parametrize("name", ["pyramid_dense", "pyramid_dense_autoscale", "pyramid_dense_det"])
def test_pyramid_maps_equal_the_original(name: str, suffix: str) -> None:
    case = load_case(name)
    autoscale = case.spec["constructor"].get("auto_scale")
    rope = dict(type="AS2DRoPE", anchor=14, scale_side="rows") if autoscale else dict(type="RoPE2D")
    model = pyramid(
        case, rope=rope | RELEASED_KEYS, out_type="featmap", out_norm="each_fed_on", out_indices=range(4)
    )
    for stage, map_BCHW in enumerate(model(case.inputs[f"x{suffix}"])):
        case.check(f"feat{stage}{suffix}", map_BCHW)


FULL_MODELS = json.loads((ROOT / "full_models.json").read_text())


@pytest.mark.parametrize("size", ["small", "base", "large"])
@pytest.mark.parametrize("kind", ["vit_llama_rope", "pllama_wols"])
def test_parameters_with_a_1000_way_head_equal_the_original_count(kind: str, size: str) -> None:
    with torch.device("meta"):
        model = VisionLLaMA(size) if kind == "vit_llama_rope" else PyramidVisionLLaMA(size)
        width = model.embed_dims if kind == "vit_llama_rope" else model.embed_dims[-1]
        parts = nn.ModuleList([model, nn.Linear(width, 1000)])
    count = sum(parameter.numel() for parameter in parts.parameters())
    assert count == FULL_MODELS[f"deit.{kind}_{size}_patch16"]["num_params"]


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_dense_pyramid_parameters_equal_the_original_count(size: str) -> None:
    with torch.device("meta"):
        model = PyramidVisionLLaMA(size, out_type="featmap", out_indices=range(4))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == FULL_MODELS[f"mmseg_backbone.pllama_wols_{size}_patch16"]["num_params"]


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
