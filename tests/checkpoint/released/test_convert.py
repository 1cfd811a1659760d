"""What the converter makes of every published model, and what it refuses."""

import gzip
import json
from argparse import Namespace
from functools import cache

import pytest
import torch
from torch import Tensor

from mmvisionllama.checkpoint import Converted, convert_released
from mmvisionllama.checkpoint.released import FAMILIES
from mmvisionllama.checkpoint.released.rotary_family import ROTARY_FAMILY
from mmvisionllama.errors import CheckpointError
from mmvisionllama.registry import MODELS
from tests.models.released import ROOT, load_case

with gzip.open(ROOT / "released_models.json.gz") as file:
    PUBLISHED = json.load(file)
PLAIN = load_case("plain_cls")


def on_meta(name: str) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in PUBLISHED[name]["weights"]}


@cache
def converted(name: str, family: str | None = None) -> Converted:
    return convert_released(on_meta(name), family)


def asked_for(name: str) -> list[str | None]:
    return [None, name[:3]] if name.startswith(("dit.", "sit.")) else [None]


EVERY = [(name, family) for name in PUBLISHED for family in asked_for(name)]


@pytest.mark.parametrize(("name", "family"), EVERY)
def test_every_published_model_is_covered_to_the_last_weight(name: str, family: str | None) -> None:
    given, result = on_meta(name), converted(name, family)
    with torch.device("meta"):
        model = MODELS.build(result.model)
    model.load_state_dict(result.state_dict, strict=True)
    assert set(result.report) <= set(given)
    left_out = sum(given[key].numel() for key in result.report)
    ours = sum(parameter.numel() for parameter in model.parameters())
    assert ours + left_out == PUBLISHED[name]["num_params"]
    assert {key.rpartition(".")[2] for key in result.report} <= {"pos_embed"}


def test_every_family_is_found_or_asked_for() -> None:
    own = set(FAMILIES) - set(ROTARY_FAMILY)
    assert {converted(*entry).family for entry in EVERY} == own


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("mmpretrain.VisionLLaMA.base.featmap", 8192),
        ("mmpretrain.VisionLLaMA.large.featmap", 11008),
        ("deit.vit_llama_rope_base_patch16", None),  # the paper's rule
    ],
)
def test_the_width_of_the_feed_forward_is_read_off(name: str, hidden: int | None) -> None:
    model = converted(name).model
    assert model.get("backbone", model)["ffn"].get("hidden_dims") == hidden


@pytest.mark.parametrize(("blocks", "indices"), [("base", (3, 5, 7, 11)), ("large", (7, 11, 15, 23))])
def test_a_segmentor_returns_the_maps_of_the_release(blocks: str, indices: tuple[int, ...]) -> None:
    name = f"mmseg_config_backbone.lama-{blocks}_upernet_8xb2-800-amp-160k_ade20k-512x512"
    assert converted(name).model["out_indices"] == indices


def test_a_detector_has_the_windows_of_the_release() -> None:
    model = converted("mmdet_config_backbone.lamadet_mask-rcnn_vit-b-mae_lsj-800-36e").model
    assert model["window"] == dict(size=14, global_blocks=(2, 5, 8, 11), mask_padding=False)


def test_global_blocks_with_summaries_are_read_off() -> None:
    window = converted("mmdet_config_backbone.lamadetv1_mask-rcnn_vit-b-mae_lsj-100e").model["window"]
    assert window["global_blocks"] == (2, 5, 8, 11)
    assert window["global_attn"] == dict(ratio=4, summary="depthwise")


def test_a_probe_keeps_its_statistics() -> None:
    result = converted("mmpretrain_config.lama-base-p16_8xb2048-linear-coslr-800-90e_in1k")
    assert result.model["neck"] == dict(type="mmpretrain.ClsBatchNormNeck", input_features=768)
    assert "neck.bn.running_mean" in result.state_dict
    assert result.state_dict["head.fc.weight"].shape == (1000, 768)


def test_a_network_without_learned_variance_is_told_from_one_with_it() -> None:
    with_it, without = (converted(f"sit.SiTLLaMA_B_2{x}").model for x in ("", ".learn_sigma_False"))
    assert (with_it["learn_sigma"], without["learn_sigma"]) == (True, False)


def test_a_network_that_never_saw_the_class_any_has_a_label_less() -> None:
    model = convert_released(on_meta("dit.DiTLLaMA_B_4"), label_dropout=0).model
    assert model["num_classes"] == 1001


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: {"model": x},
        lambda x: {"state_dict": x, "meta": {}},
        lambda x: {"model": x, "model_ema": {key: 0 * value for key, value in x.items()}},
        lambda x: {"ema": x, "model": {key: 0 * value for key, value in x.items()}},
        lambda x: {f"module.{key}": value for key, value in x.items()},
        lambda x: {"model": {f"module._orig_mod.{key}": value for key, value in x.items()}},
        lambda x: {"state_dict": {"model": x}},
        lambda x: {f"backbone.{key}" if "head" not in key else key: value for key, value in x.items()},
    ],
)
def test_weights_are_found_wherever_trainings_put_them(wrap: object) -> None:
    result = convert_released(wrap(PLAIN.weights), num_heads=4)
    expected = convert_released(PLAIN.weights, num_heads=4)
    assert result.model == expected.model
    assert all(torch.equal(result.state_dict[key], x) for key, x in expected.state_dict.items())


def test_what_lies_beside_the_weights_is_reported() -> None:
    report = convert_released({"model": PLAIN.weights | {"epoch": 3}, "optimizer": {}}, num_heads=4).report
    assert report == {"optimizer": "beside the weights, which 'model' holds", "epoch": "no weight"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_fewer_bits_become_float32(dtype: torch.dtype) -> None:
    result = convert_released({key: x.to(dtype) for key, x in PLAIN.weights.items()}, num_heads=4)
    assert {x.dtype for x in result.state_dict.values()} == {torch.float32}
    assert torch.equal(result.state_dict["head.fc.weight"], PLAIN.weights["head.weight"].to(dtype).float())


def test_the_options_that_a_training_saved_tell_what_weights_do_not() -> None:
    large = on_meta("deit.vit_llama_rope_large_patch16")
    scaled = Namespace(model="vit_llama_rope_large_as_patch16")
    rope = convert_released({"model": large, "args": scaled}).model["backbone"]["rope"]
    assert rope == dict(type="AS2DRoPE", anchor=14, cls_position="raster")
    network = on_meta("sit.SiTLLaMA_XL_2")
    assert convert_released({"ema": network, "args": Namespace(model="SiTLLaMA_XL_2")}).family == "sit"


@pytest.mark.parametrize(("patch", "anchor"), [(14, 16), (16, 14), (32, 7)])
def test_auto_scaled_classifiers_span_224_pixels_whatever_their_patches_are(patch: int, anchor: int) -> None:
    weights = dict(PLAIN.weights)
    weights["patch_embed.proj.weight"] = torch.zeros(
        *weights["patch_embed.proj.weight"].shape[:2], patch, patch
    )
    result = convert_released(weights, num_heads=4, rope=dict(type="AS2DRoPE"))
    rope = MODELS.build(result.model).backbone.rope
    assert rope.anchor == anchor
    # The release's factor: 224 over the height in pixels.
    assert rope.scale((384 // patch, 384 // patch), (1, 1)) * (384 // patch * patch) == pytest.approx(224)


def test_a_dense_pyramid_without_norms_of_its_outputs_is_recognised_and_feeds_on_what_it_returns() -> None:
    case = load_case("pyramid_dense")
    weights = {key: x for key, x in case.weights.items() if not key.startswith("norm_list.")}
    result = convert_released(weights, num_heads=case.num_heads)
    assert (result.family, result.model["out_norm"]) == ("pyramid_dense", "none")
    backbone = MODELS.build(result.model)
    backbone.load_state_dict(result.state_dict, strict=True)
    with_norms = case.model()
    img = case.inputs["img"] if "img" in case.inputs else next(iter(case.inputs.values()))
    bare, normed = backbone.eval()(img)[0], with_norms(img)[0]
    norm = with_norms.norms["0"]
    torch.testing.assert_close(norm(bare.movedim(1, -1)).movedim(-1, 1), normed)


def test_changing_a_converted_model_changes_no_other_one() -> None:
    first = convert_released(on_meta("dit.DiTLLaMA_B_4"), "dit").model
    first["guidance"]["scale"] = 7.0
    first["data_preprocessor"]["mean"].clear()
    second = convert_released(on_meta("dit.DiTLLaMA_B_4"), "dit").model
    assert second["guidance"]["scale"] == 1.0
    assert second["data_preprocessor"]["mean"] == [127.5] * 3


def test_a_head_can_be_left_out() -> None:
    result = convert_released(PLAIN.weights, num_heads=4, head=None)
    assert result.model["type"] == "mmvisionllama.VisionLLaMA"
    assert result.report == dict.fromkeys(("head.weight", "head.bias"), "left out as asked for")


@pytest.mark.parametrize("given", [None, dict(type="mmseg.FCNHead", num_convs=0, concat_input=False)])
def test_a_hosts_head_is_left_out_or_taken_whole_as_asked(given: dict | None) -> None:
    layer = {"weight": torch.ones(2, 32, 1, 1), "bias": torch.ones(2)}
    weights = {f"backbone.{key}": x for key, x in load_case("dense_plain").weights.items()}
    weights |= {f"decode_head.conv_seg.{key}": x for key, x in layer.items()}
    head = given and given | dict(in_channels=32, channels=32, num_classes=2, in_index=0)
    result = convert_released(weights, num_heads=4, decode_head=head)
    model = MODELS.build({**result.model, "_scope_": "mmseg"})
    model.load_state_dict(result.state_dict, strict=True)
    if given:
        assert torch.equal(model.decode_head.conv_seg.weight, layer["weight"])
    else:
        assert set(result.report) == {f"decode_head.conv_seg.{key}" for key in layer}


def changed(drop: str = "", **more: Tensor) -> dict[str, Tensor]:
    kept = {key: x for key, x in PLAIN.weights.items() if key != drop}
    return kept | {key.replace("__", "."): x for key, x in more.items()}


@pytest.mark.parametrize(
    ("weights", "known", "message"),
    [
        (changed("blocks.1.attn.proj.bias"), {}, r"only in the model: backbone\.blocks\.1\.attn\.proj\.bias"),
        (changed(blocks__0__rogue=torch.ones(1)), {}, r"only in the checkpoint: .*blocks\.0\.rogue"),
        (changed(head_dist__weight=torch.ones(10, 32)), {}, r"only in the checkpoint: .*head_dist\.weight"),
        (changed(norm__weight=torch.ones(7)), {}, r"norms\.all\.weight \(32,\) here, \(7,\) there"),
        (changed(decode_head__w=torch.ones(1)), {}, r"has a decode_head .*decode_head=None to leave it out"),
        (changed(), dict(num_heads=5), "cannot be built: embed_dims 32 is not divisible by num_heads 5"),
        (changed(), dict(num_head=4), "does not take 'num_head'. Did you mean 'num_heads'"),
        (changed(), dict(neck=dict(type="x")), "neck was given, but the checkpoint has no weights of it"),
        (changed(), dict(head="no"), "head must be options of a part, or None, got 'no'"),
        (changed(), dict(family="plane"), "unknown family 'plane'. Did you mean 'plain'"),
        (changed(), dict(family="pyramid"), r"(?s)weights of 'pyramid'.*cls_token.*patch_embeds\.0\.proj"),
        ({"layer1.conv.weight": torch.ones(1)}, {}, r"(?s)no released weights.*layer1.*patch_embed\.proj"),
        ({}, {}, "no weights in the checkpoint; it has nothing"),
        ({"model": {}, "epoch": 3}, {}, "no weights in the checkpoint; it has model, epoch"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_it(weights: dict, known: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        convert_released(weights, **dict(num_heads=4) | known)


def test_a_pyramid_needs_heads_for_every_stage() -> None:
    with pytest.raises(CheckpointError, match=r"must be one for each of \(8, 16, 24, 32\), got 4"):
        convert_released(load_case("pyramid_cls").weights, num_heads=4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plain_cls", "width 32 and depth 3: give num_heads"),
        ("pyramid_cls", r"widths \(8, 16, 24, 32\): give num_heads"),
        ("mae", "no published decoder has width 16: give neck=dict.decoder_num_heads"),
    ],
)
def test_heads_at_widths_that_were_not_published_must_be_given(name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        convert_released(load_case(name).weights)
