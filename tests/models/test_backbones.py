"""Facts that hold for both backbones."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmvisionllama import PyramidVisionLLaMA, VisionLLaMA
from mmvisionllama.models.backbone import RotaryBackbone

PLAIN_ARCH = dict(embed_dims=32, num_layers=3, num_heads=2)
PYRAMID_ARCH = dict(embed_dims=(32, 32, 64, 64), depths=(2, 2, 2, 2), num_heads=(2, 2, 4, 4))
SMALL_FFN = dict(type="SwiGLU", hidden_dims=48)


def plain(**options: object) -> VisionLLaMA:
    return VisionLLaMA(
        **dict(arch=PLAIN_ARCH, img_size=32, patch_size=8, ffn=SMALL_FFN, layer_scale=0.5) | options
    )


def pyramid(**options: object) -> PyramidVisionLLaMA:
    return PyramidVisionLLaMA(
        **dict(arch=PYRAMID_ARCH, img_size=64, ffn=SMALL_FFN, layer_scale=0.5) | options
    )


def short(**options: object) -> PyramidVisionLLaMA:
    """Build a pyramid with few blocks, of both kinds of attention: compilers take seconds for each."""
    return pyramid(arch=PYRAMID_ARCH | dict(depths=(2, 1, 1, 1)), **options)


def seeded(build: Callable[..., RotaryBackbone], **options: object) -> RotaryBackbone:
    torch.manual_seed(0)
    return build(**options)


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


both = pytest.mark.parametrize("build", [plain, pyramid])

COMPONENTS = {
    "gelu": dict(ffn=dict(type="GELUFFN", hidden_dims=48)),
    "rms norm": dict(norm_cfg=dict(type="RMSNorm", eps=1e-6)),
    "no positions": dict(rope=None),
    "learned positions": dict(rope=None, pos_embed=dict(type="LearnedPosEmbed")),
    "sin-cos positions": dict(rope=None, pos_embed=dict(type="SinCosPosEmbed")),
    "peg": dict(pos_embed=dict(type="PEG")),
    "rope 1d": dict(rope=dict(type="RoPE1D")),
    "rope 2d": dict(rope=dict(type="RoPE2D")),
    "ntk": dict(rope=dict(type="NTKRoPE2D", alpha=5.0)),
    "each axis scaled": dict(rope=dict(type="AS2DRoPE", scale_side="each", first=1.0)),
    "normalised coordinates": dict(rope=dict(type="NormalisedRoPE2D", augment=dict(shift=0.5, jitter=2.0))),
    "learned frequencies": dict(rope=dict(type="MixedRoPE2D")),
    "quarter rotated": dict(rope=dict(type="AS2DRoPE", ratio=0.25)),
    "half rotated": dict(rope=dict(type="AS2DRoPE", ratio=0.5)),
    "other base": dict(rope=dict(type="AS2DRoPE", base=100)),
    "table per head": dict(rope=dict(type="AS2DRoPE", shared=False)),
    "grouped queries": dict(attn=dict(num_kv_heads=1)),
    "normed queries and keys": dict(attn=dict(qk_norm=dict(type="RMSNorm", eps=1e-6), num_kv_heads=1)),
    "no bias of keys": dict(attn=dict(qkv_bias="qv")),
    "inner norms": dict(
        attn=dict(inner_norm=dict(type="LN")), ffn=SMALL_FFN | dict(norm_cfg=dict(type="LN"))
    ),
    "mean pooling": dict(out_type="avg_featmap"),
    "attention pooling": dict(out_type=dict(type="AttentionPool", num_heads=4)),
    "no layer scale": dict(layer_scale=None),
    "drop-path": dict(drop_path_rate=0.2, drop_path_schedule="linear"),
    "raw tokens": dict(out_type="raw"),
    "maps": dict(out_type="featmap", out_indices=(0, -1), out_norm="each"),
}
GRIDS = [(64, 64), (40, 72), (61, 33)]  # square, oblong, and sides that no patch divides


@both
@pytest.mark.parametrize("options", COMPONENTS.values(), ids=COMPONENTS)
@pytest.mark.parametrize("img_hw", GRIDS)
def test_every_component_trains_every_parameter_at_any_size(
    build: Callable[..., RotaryBackbone], options: dict, img_hw: tuple[int, int]
) -> None:
    model = seeded(build, **options)
    torch.manual_seed(0)
    outs = model(images(4, 3, *img_hw))
    sum((out * images(*out.shape)).sum() for out in outs).backward()
    unused = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    assert unused == []


@both
@pytest.mark.parametrize(
    "name", ["gelu", "rms norm", "no positions", "learned positions", "peg", "rope 1d", "quarter rotated"]
)
def test_a_component_changes_the_output(build: Callable[..., RotaryBackbone], name: str) -> None:
    img = images(1, 3, 64, 64)
    (default,), (changed,) = seeded(build).eval()(img), seeded(build, **COMPONENTS[name]).eval()(img)
    assert not torch.allclose(default, changed, atol=1e-4)


@both
@pytest.mark.parametrize("img_hw", [(64, 64), (48, 80)])
def test_maps_have_the_stride_of_their_block_or_stage(
    build: Callable[..., RotaryBackbone], img_hw: tuple[int, int]
) -> None:
    maps = build(out_type="featmap", out_indices=(0, 2))(images(2, 3, *img_hw))
    strides = (8, 8) if build is plain else (4, 16)
    widths = (32, 32) if build is plain else (32, 64)
    for map_BCHW, stride, width in zip(maps, strides, widths, strict=True):
        assert map_BCHW.shape == (2, width, img_hw[0] // stride, img_hw[1] // stride)


@both
def test_more_pixels_than_the_patches_cover_are_padded_with_zeros(
    build: Callable[..., RotaryBackbone],
) -> None:
    model = seeded(build, out_type="featmap").eval()
    img = images(1, 3, 61, 90)
    side = 8 if build is plain else 4
    padded = nn.functional.pad(img, (0, -90 % side, 0, -61 % side))
    torch.testing.assert_close(model(img), model(padded))


@both
def test_training_size_needs_no_scale_and_another_size_does(build: Callable[..., RotaryBackbone]) -> None:
    scaled, unscaled = seeded(build).eval(), seeded(build, rope=dict(type="RoPE2D")).eval()
    at_home, away = images(1, 3, *scaled.img_hw), images(1, 3, 96, 96)
    torch.testing.assert_close(scaled(at_home), unscaled(at_home))
    assert not torch.allclose(scaled(away)[0], unscaled(away)[0], atol=1e-5)


@both
def test_checkpointing_changes_no_gradient(build: Callable[..., RotaryBackbone]) -> None:
    grads = []
    for with_cp in (False, True):
        model = seeded(build, with_cp=with_cp)
        model(images(2, 3, 64, 64))[0].square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*grads)


@both
@pytest.mark.parametrize("stages", [-1, 0, 2])
def test_frozen_stages_freeze_the_first_groups_alone(
    build: Callable[..., RotaryBackbone], stages: int
) -> None:
    model = build(frozen_stages=stages, drop_path_rate=0.5).train()
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    group = "blocks." if build is plain else "stages."
    stem = ("patch_embed", "cls_token") if build is plain else ("stages.0.patch_embed",)
    prefixes = (() if stages < 0 else stem) + tuple(f"{group}{i}." for i in range(stages))
    assert frozen == {name for name, _ in model.named_parameters() if prefixes and name.startswith(prefixes)}
    assert not any(
        m.training for name, m in model.named_modules() if prefixes and name.startswith(prefixes[1:] or stem)
    )
    assert model.norms.training


@both
def test_freezing_all_groups_freezes_everything(build: Callable[..., RotaryBackbone]) -> None:
    model = build(frozen_stages=3 if build is plain else 4)
    assert not any(p.requires_grad for p in model.parameters())


@both
def test_layer_depth_grows_from_the_patches_to_the_norms(build: Callable[..., RotaryBackbone]) -> None:
    model = build()
    depths = [model.get_layer_depth(f"backbone.{name}", "backbone.") for name, _ in model.named_parameters()]
    count = 3 + 2 if build is plain else 8 + 2
    assert {total for _, total in depths} == {count}
    assert {depth for depth, _ in depths} == set(range(count))
    assert model.get_layer_depth("decode_head.conv.weight", "backbone.") == (count - 1, count)


def test_layer_depth_of_a_block_counts_through_the_stages() -> None:
    model = pyramid()
    assert model.get_layer_depth("stages.1.blocks.0.attn.q.weight")[0] == 3
    assert model.get_layer_depth("stages.1.patch_embed.projection.weight")[0] == 2


@both
def test_init_weights_follows_the_recipe(build: Callable[..., RotaryBackbone]) -> None:
    model = seeded(build, layer_scale=1e-4)
    model.init_weights()
    linears = torch.cat([m.weight.flatten() for m in model.modules() if isinstance(m, nn.Linear)])
    assert linears.std().item() == pytest.approx(0.02, rel=0.02)
    assert not any(m.bias.any() for m in model.modules() if isinstance(m, nn.Linear) and m.bias is not None)
    assert all((p == 1e-4).all() for name, p in model.named_parameters() if "gamma" in name)


def test_init_weights_keeps_what_the_constructor_drew_where_the_recipe_names_nothing() -> None:
    model = seeded(plain)
    drawn = model.patch_embed.projection.weight.clone()
    model.init_weights()
    assert torch.equal(model.patch_embed.projection.weight, drawn)


@both
def test_a_pretrained_checkpoint_is_loaded_over_the_initial_weights(
    build: Callable[..., RotaryBackbone], tmp_path: Path
) -> None:
    source = seeded(build)
    torch.save(
        {"state_dict": {f"backbone.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "a.pth"
    )
    torch.manual_seed(7)
    model = build(init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "a.pth"), prefix="backbone."))
    model.init_weights()
    torch.testing.assert_close(model.state_dict(), source.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(arch="bsae"), "Did you mean 'base'"),
        (dict(arch=dict(embed_dims=32)), "an arch dict has exactly the keys"),
        (dict(out_indices=(0, 9)), r"out_indices \[0, 9\]: need distinct indices of"),
        (dict(out_type="fmap"), "out_type takes .* or 'raw'.*, got 'fmap'"),
        (dict(out_norm="first"), "out_norm takes .* or None, got 'first'"),
        (dict(rope=dict(type="AS2DRope")), "Did you mean 'AS2DRoPE'"),
        (
            dict(rope=dict(type="RoPE2D", bsae=1)),
            r"does not take \['bsae'\]; it takes \['augment', 'base'",
        ),
        (dict(ffn=dict(type="SwiGLU", embed_dims=3)), r"SwiGLU does not take \['embed_dims'\]"),
        (dict(rope=dict(type="GELUFFN")), r"GELUFFN needs \['embed_dims'\], but this place gives \['depth'"),
        (dict(attn=dict(qk_norm=dict(type="BN"))), r"BN needs \['num_features'\], but this place gives"),
        (dict(img_size=(64, 3)), r"img_size .64, 3. .height, width. is smaller than a patch of [48] pixels"),
        (dict(window=dict(sise=7)), r"window does not take 'sise'. Did you mean 'size'"),
        (dict(frozen_stages=9), "frozen_stages must be in -1 .."),
        (dict(drop_path_rate=1.0), r"drop_path_rate takes a number in \[0, 1\), got 1.0"),
        (dict(drop_path_schedule="cosine"), "drop_path_schedule takes 'constant' or 'linear', got 'cosine'"),
        (
            dict(drop_path_branches=("atn",)),
            "drop_path_branches takes a list with 'attn' or 'ffn' as each item, got .'atn',.",
        ),
        (dict(attn=dict(num_kv_heads=3)), "not divisible by num_kv_heads 3"),
    ],
)
@both
def test_a_wrong_argument_is_an_error_that_says_what_is_allowed(
    build: Callable[..., RotaryBackbone], options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_a_width_that_heads_do_not_divide_is_an_error() -> None:
    with pytest.raises(ValueError, match="embed_dims 30 is not divisible by num_heads 4"):
        plain(arch=dict(embed_dims=30, num_layers=1, num_heads=4))


def test_a_class_token_output_without_class_token_is_an_error() -> None:
    with pytest.raises(ValueError, match="contradicts with_cls_token=False"):
        plain(out_type="cls_token", with_cls_token=False)


@both
def test_a_copy_computes_the_same(build: Callable[..., RotaryBackbone]) -> None:
    model, img = seeded(build).eval(), images(1, 3, 40, 72)
    torch.testing.assert_close(copy.deepcopy(model)(img), model(img), atol=0, rtol=0)


@both
def test_forward_changes_no_state(build: Callable[..., RotaryBackbone]) -> None:
    model = seeded(build)
    before = {name: copy.copy(vars(m)) for name, m in model.named_modules()}
    weights = copy.deepcopy(model.state_dict())
    model(images(1, 3, 40, 72))
    assert all(vars(m).keys() == before[name].keys() for name, m in model.named_modules())
    assert all(vars(m)[k] is v for name, m in model.named_modules() for k, v in before[name].items())
    torch.testing.assert_close(model.state_dict(), weights, atol=0, rtol=0)
