"""Register tokens in every use of the plain backbone."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mmvisionllama import VisionLLaMA
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.attention import SubsampledAttention, WindowAttention
from mmvisionllama.models.mae import MAEVisionLLaMA
from mmvisionllama.models.registers import Registers
from mmvisionllama.models.rope import RoPE2D
from mmvisionllama.models.simple_fpn import SimpleFPN
from tests.models.test_backbones import PLAIN_ARCH, SMALL_FFN, images, plain, seeded

STILL = dict(type="AS2DRoPE", cls_position=None)
FOUR = dict(count=4, rope=dict(type="RoPE2D", base=100.0))
WINDOW = dict(size=3, global_blocks=(1,), global_attn=dict(ratio=2, summary="mean"))


def with_registers(**options: Any) -> VisionLLaMA:
    return seeded(plain, **dict(rope=STILL, registers=FOUR) | options).eval()


def moved(model: VisionLLaMA, img: Tensor) -> float:
    """How far the last output goes if the registers change."""
    with torch.no_grad():
        before = model(img)[-1]
        torch.nn.init.normal_(model.registers.tokens)
        return float((model(img)[-1] - before).abs().max())


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        (dict(out_type="cls_token"), (2, 32)),
        (dict(out_type="cls_token", rope=dict(type="AS2DRoPE")), (2, 32)),
        (dict(out_type="cls_token", rope=None), (2, 32)),
        (dict(out_type="avg_featmap", registers=dict(count=3)), (2, 32)),
        (dict(out_type="raw", with_cls_token=True), (2, 1 + 5 * 9, 32)),
        (dict(out_type="featmap", rope=dict(type="MixedRoPE2D", cls_position=None)), (2, 32, 5, 9)),
        (dict(out_type="featmap", with_cls_token=True, pos_embed=dict(type="PEG")), (2, 32, 5, 9)),
        (dict(out_type="featmap", window=WINDOW), (2, 32, 5, 9)),
        (dict(out_type="cls_token", window=WINDOW | dict(mask_padding=False)), (2, 32)),
        (dict(out_type=dict(type="AttentionPool", num_heads=4), with_cls_token=False), (2, 32)),
    ],
)
def test_outputs_have_no_registers_but_depend_on_them(options: dict, shape: tuple[int, ...]) -> None:
    model, img = with_registers(**options), images(2, 3, 40, 72)
    assert model(img)[-1].shape == shape
    assert moved(model, img) > 1e-3


def test_a_register_that_is_not_rotated_is_a_class_token_that_nobody_reads() -> None:
    ours = with_registers(registers=dict(count=1), out_type="avg_featmap", with_cls_token=False)
    token = seeded(plain, rope=STILL, out_type="avg_featmap", with_cls_token=True).eval()
    weights = {{"registers.tokens": "cls_token"}.get(k, k): x for k, x in ours.state_dict().items()}
    token.load_state_dict(weights)
    img = images(2, 3, 64, 40)
    torch.testing.assert_close(ours(img), token(img))


def test_rows_of_registers_are_those_of_their_own_grid() -> None:
    heads = dict(head_dims=16, num_heads=2)
    registers = Registers(32, 4, dict(type="RoPE2D", base=100.0), RoPE2D(**heads), heads)
    rows = registers.rows(16)
    positions = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    torch.testing.assert_close(rows.cos, RoPE2D(**heads, base=100.0).table(positions, hw=(2, 2)).cos)


@pytest.mark.parametrize("mask_padding", [True, False])
def test_a_map_of_one_window_is_attended_as_by_a_global_block(mask_padding: bool) -> None:
    window = dict(size=4, global_blocks=(), mask_padding=mask_padding)
    given = dict(out_type="featmap", with_cls_token=True, rope=dict(type="RoPE2D", cls_position=None))
    windowed, whole = with_registers(window=window, **given), with_registers(**given)
    whole.load_state_dict(windowed.state_dict())
    img = images(2, 3, 32, 32)
    torch.testing.assert_close(windowed(img), whole(img))


def test_extra_tokens_see_every_window_and_every_window_sees_them() -> None:
    torch.manual_seed(0)
    attn = WindowAttention(32, 2, 3, extra_tokens=2).eval()
    x = torch.randn(1, 2 + 5 * 4, 32, requires_grad=True)
    for token, seen in ((0, set(range(22))), (2, {0, 1, 2, 3, 4, 6, 7, 8, 10, 11, 12})):
        (grad,) = torch.autograd.grad(attn(x, (5, 4), None)[0, token].sum(), x)
        assert set(grad[0].abs().sum(-1).nonzero().flatten().tolist()) == seen


def test_extra_tokens_are_keys_of_their_own_beside_summaries() -> None:
    torch.manual_seed(0)
    attn = SubsampledAttention(32, 2, 2, summary="mean", extra_tokens=2).eval()
    _, keys, values = attn.project_map(torch.randn(1, 2 + 4 * 4, 32), (4, 4), None)
    assert keys.shape == values.shape == (1, 2 + 4, 2, 16)


def test_a_masked_encoder_keeps_its_patches_and_shows_them_the_registers() -> None:
    torch.manual_seed(0)
    options = dict(arch=PLAIN_ARCH, img_size=32, patch_size=8, ffn=SMALL_FFN, rope=STILL)
    model = MAEVisionLLaMA(**options, registers=FOUR).eval()
    outs = []
    for _ in range(2):
        torch.manual_seed(0)
        outs.append(model(images(2, 3, 32, 32))[0])
        torch.nn.init.normal_(model.registers.tokens.detach())
    assert outs[0].shape == (2, 1 + 4, 32)
    assert (outs[0] - outs[1])[:, 1:].abs().max() > 1e-3
    fine_tuned = plain(rope=STILL, registers=FOUR, layer_scale=None, out_type="featmap")
    missing, _ = fine_tuned.load_state_dict(model.state_dict(), strict=False)
    assert missing == []


def test_vitdets_pyramid_takes_the_map_of_a_backbone_with_registers() -> None:
    maps = with_registers(out_type="featmap", window=WINDOW)(images(1, 3, 64, 64))
    assert [x.shape[-1] for x in SimpleFPN(32, out_channels=8)(maps)] == [32, 16, 8, 4, 2]


def test_registers_are_of_depth_zero_and_frozen_with_the_stem() -> None:
    model = with_registers(frozen_stages=0)
    assert model.get_layer_depth("registers.tokens") == (0, 5)
    assert not model.registers.tokens.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(registers=dict(num=4)), r"registers does not take 'num'"),
        (dict(registers=dict(count=0)), r"registers.count takes .*, got 0"),
        (dict(registers=dict(count=3, rope=dict(type="RoPE2D"))), "fill a square, got count=3"),
        (dict(registers=dict(count=4, rope=dict(type="MixedRoPE2D"))), "kind without learned frequencies"),
        (dict(registers=dict(count=4, rope=dict(type="RoPE2D", ratio=0.5))), "rotates 16 channels"),
        (dict(rope=dict(type="RoPE2D"), window=WINDOW), r"one that is not rotated .rope.cls_position=None"),
    ],
)
def test_what_does_not_fit_is_an_error(options: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        with_registers(**options)
