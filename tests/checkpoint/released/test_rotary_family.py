"""Models that the converter makes of weights of ViT-5 and of timm's rotary transformers, against theirs."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmvisionllama import VisionLLaMA
from mmvisionllama.checkpoint import Converted, convert_file, convert_released
from mmvisionllama.checkpoint.released import family_of
from mmvisionllama.checkpoint.released.head_channels import columns_first, rows_first, rows_first_in_halves
from mmvisionllama.checkpoint.released.public import PUBLIC
from mmvisionllama.checkpoint.released.rotary_family import ROTARY_FAMILY
from mmvisionllama.errors import CheckpointError
from mmvisionllama.registry import MODELS
from tests.checkpoint.released.timm_models import TIMM, tiny
from tests.models.released import load_case

GRIDS = [(4, 4), (3, 6)]
every = pytest.mark.parametrize("name", TIMM)


def convert(name: str, weights: dict[str, Tensor], **known: Any) -> Converted:
    family = TIMM[name].family if TIMM[name].family == "rope_vit_ape" else None
    return convert_released(weights, family, accept_license="dinov3", **dict(num_heads=2) | known)


def built(converted: Converted) -> nn.Module:
    model = MODELS.build({**converted.model, "_scope_": "mmpretrain"})
    model.load_state_dict(converted.state_dict, strict=True)
    return model.eval()


@cache
def both(name: str) -> tuple[nn.Module, nn.Module]:
    theirs = tiny(name)
    converted = convert(name, theirs.state_dict())
    assert converted.family == TIMM[name].family
    return theirs, built(converted)


def images(model: nn.Module, hw: tuple[int, int]) -> Tensor:
    side = model.patch_embed.patch_size[0]
    return torch.randn(2, 3, hw[0] * side, hw[1] * side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("hw", GRIDS)
@every
def test_features_and_logits_equal_timms_at_every_size(name: str, hw: tuple[int, int]) -> None:
    theirs, ours = both(name)
    img = images(theirs, hw)
    with torch.no_grad():
        tokens = theirs.forward_features(img)
        if theirs.num_classes:
            (feature,) = ours.extract_feat(img)
            expected = theirs.forward_head(tokens, pre_logits=True)
            torch.testing.assert_close(ours(img), theirs(img), atol=1e-4, rtol=0)
        else:
            (feature,) = ours(img)
            expected = tokens[:, 0]
            if feature.ndim == 4:
                expected = tokens[:, theirs.num_prefix_tokens :].transpose(1, 2).unflatten(2, hw)
    torch.testing.assert_close(feature, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["rope", "mixed ape", "dinov3", "gap", "eva02"])
def test_dense_maps_are_timms_patches_and_hold_no_other_token(name: str) -> None:
    theirs, _ = both(name)
    given = dict(out_type="featmap") | (dict(head=None) if theirs.num_classes else {})
    ours, img = built(convert(name, theirs.state_dict(), **given)), images(theirs, (3, 6))
    with torch.no_grad():
        tokens = theirs.fc_norm(theirs.forward_features(img))[:, theirs.num_prefix_tokens :]
        (map_BDHW,) = ours(img)
    torch.testing.assert_close(map_BDHW, tokens.transpose(1, 2).unflatten(2, (3, 6)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["vit5", "vit5_no_ape", "vit5_no_registers"])
def test_vit5_equals_the_original(name: str) -> None:
    case = load_case(name)
    assert family_of(case.weights) == "vit5"
    heads = case.spec["constructor"]["num_heads"]
    converted = convert_released(case.weights, img_size=case.inputs["x"].shape[-1])
    assert converted.model["backbone"]["arch"]["num_heads"] == heads  # told by the norms of queries and keys
    model = built(converted)
    case.check("features", model.extract_feat(case.inputs["x"])[0])
    case.check("logits", model(case.inputs["x"]))


@pytest.mark.parametrize("order", [rows_first, columns_first, rows_first_in_halves])
def test_reordered_channels_are_all_of_a_head_in_pairs_of_column_and_row(order: Any) -> None:
    channels = order(16)
    assert sorted(channels) == list(range(16))
    assert channels != list(range(16))


@pytest.mark.parametrize("name", ["rope", "dinov3", "eva02"])
def test_rows_of_queries_and_keys_in_another_order_would_give_other_outputs(name: str) -> None:
    theirs, ours = both(name)
    converted = convert(name, theirs.state_dict())
    prefix = "backbone." if "backbone" in converted.model else ""
    given = converted.state_dict[f"{prefix}blocks.0.attn.qkv.weight"]
    qkv = theirs.state_dict().get("blocks.0.attn.qkv.weight")
    if qkv is None:
        qkv = torch.cat([theirs.state_dict()[f"blocks.0.attn.{x}_proj.weight"] for x in "qkv"])
    assert not torch.equal(given, qkv)
    wrong = built(converted)
    wrong.load_state_dict(converted.state_dict | {f"{prefix}blocks.0.attn.qkv.weight": qkv})
    img = images(theirs, (4, 4))
    outs = [(x.backbone if prefix else x)(img)[-1] for x in (ours, wrong)]
    assert (outs[0] - outs[1]).abs().max() > 1e-2


def test_deit_iii_is_not_taken_for_rope_vit_whose_names_it_has() -> None:
    weights = tiny("rope ape").state_dict()
    assert family_of(weights) is None
    with pytest.raises(CheckpointError, match=r"if that is what they are, give --family rope_vit_ape"):
        convert_released(weights, num_heads=2)


@pytest.mark.parametrize(
    ("name", "weight", "told"),
    [
        ("mixed", "rope.freqs", r"rope.freqs must be a weight of 4 axes, it is"),
        ("eva02", "blocks.0.attn.k_proj.weight", r"k_proj.weight must be a weight of 2 axes, it is"),
        ("dinov3", "reg_token", r"registers.tokens must be a weight of 3 axes, it is"),
    ],
)
def test_a_weight_with_an_axis_too_few_is_named(name: str, weight: str, told: str) -> None:
    weights = both(name)[0].state_dict()
    with pytest.raises(CheckpointError, match=told):
        convert(name, weights | {weight: weights[weight][0]})


def test_eva_without_rotary_positions_is_refused() -> None:
    weights = tiny("eva02 packed", swiglu_mlp=False, use_rot_pos_emb=False).state_dict()
    with pytest.raises(CheckpointError, match=r"EVA \(2022\), which has no rotary positions"):
        convert_released(weights, num_heads=2)


def test_heads_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(CheckpointError, match=r"qkv.* is not that of 32 heads"):
        convert_released(tiny("rope").state_dict(), num_heads=32)


def test_the_licence_of_dinov3_is_shown_until_it_is_accepted(tmp_path: Path) -> None:
    theirs, ours = both("dinov3")
    source, target = tmp_path / "timm.safetensors", tmp_path / "ours.safetensors"
    save_file(theirs.state_dict(), source)
    known = dict(num_heads=2)
    for accepted in (None, "apache"):
        with pytest.raises(CheckpointError, match=r"(?s)DINOv3 License.*--accept-license dinov3"):
            convert_file(source, target, accept_license=accepted, known=known)
    assert [x.name for x in tmp_path.iterdir()] == [source.name]
    convert_file(source, target, accept_license="dinov3", known=known)
    assert all(torch.equal(x, ours.state_dict()[key]) for key, x in load_file(target).items())


# One of each family, and the sizes whose heads a table tells.
PUBLISHED = [
    "vit_base_patch16_rope_mixed_ape_224",
    "vit_betwixt_patch16_rope_reg4_gap_256",
    "vit_huge_plus_patch16_dinov3",
    "eva02_tiny_patch14_336",
    "vit_pe_core_large_patch14_336",
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_are_covered_to_the_last_weight(name: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name)
        converted = convert_released(theirs.state_dict(), accept_license="dinov3")
        ours = MODELS.build({**converted.model, "_scope_": "mmpretrain"})
    assert converted.report == {}
    table = theirs.pos_embed  # the class token's place in it is part of the token
    merged = 0 if table is None or theirs.no_embed_class or theirs.cls_token is None else table.shape[-1]
    assert count(ours) == count(theirs) - merged
    backbone = getattr(ours, "backbone", ours)
    assert backbone.blocks[0].attn.heads[0] == (theirs.blocks[0].attn.num_heads)


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        ("small", 22_039_144),
        ("base", 86_543_080),
        ("large", 304_258_024),
        (dict(embed_dims=1152, num_layers=28, num_heads=16), 448_505_128),
    ],
)
def test_vit5_has_the_parameters_that_its_authors_name(arch: str | dict, expected: int) -> None:
    backbone = convert_released(load_case("vit5").weights).model["backbone"]
    sized = backbone | dict(arch=arch, patch_size=16, img_size=224, ffn=dict(type="GELUFFN"))
    with torch.device("meta"):
        model = MODELS.build(sized)
    assert isinstance(model, VisionLLaMA)
    assert count(model) + 1000 * (model.embed_dims + 1) == expected


def count(model: nn.Module) -> int:
    return sum(x.numel() for x in model.parameters())


@pytest.mark.parametrize("name", [name for name, x in PUBLIC.items() if "/timm/" in x.address])
def test_public_names_are_timms_with_its_licence(name: str) -> None:
    published = timm.get_pretrained_cfg(name)
    assert (published.hf_hub_id, published.license) == (f"timm/{name}", PUBLIC[name].licence)
    assert PUBLIC[name].family in ROTARY_FAMILY
