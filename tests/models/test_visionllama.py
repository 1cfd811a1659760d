"""The plain backbone with components of ViT-5 and of the Perception Encoder: graphs, copies, precision."""

import copy
from typing import Any

import pytest
import torch

from tests.models.test_backbones import images, plain, seeded

STILL = dict(cls_position=None)
VIT5 = dict(
    rope=dict(type="AS2DRoPE", scale_side="each", **STILL),
    registers=dict(count=4, rope=dict(type="RoPE2D", base=100.0)),
    attn=dict(qk_norm=dict(type="RMSNorm", eps=1e-6), qkv_bias="qv"),
    out_type="featmap",
    with_cls_token=True,
    window=dict(size=3, global_blocks=(1,), global_attn=dict(ratio=2, summary="mean")),
)
PE = dict(
    rope=dict(type="MixedRoPE2D", **STILL),
    registers=dict(count=2),
    attn=dict(inner_norm=dict(type="LN")),
    out_type=dict(type="AttentionPool", num_heads=4),
    out_norm="tokens",
    with_cls_token=True,
    pre_norm=True,
)
both_kinds = pytest.mark.parametrize("options", [VIT5, PE], ids=["vit5", "pe"])


def shallow(depth: int = 2, **options: Any) -> torch.nn.Module:
    return seeded(plain, arch=dict(embed_dims=32, num_layers=depth, num_heads=2), **options)


def test_norms_of_tokens_come_before_a_mean_and_shared_ones_after_it() -> None:
    img = images(2, 3, 32, 40)
    before, after, none = (
        seeded(plain, out_type="avg_featmap", out_norm=x).eval() for x in ("tokens", "shared", "none")
    )
    raw = seeded(plain, out_type="raw", with_cls_token=False, out_norm="none").eval()
    tokens = raw(img)[0]
    torch.testing.assert_close(before(img)[0], before.norms["all"](tokens).mean(1))
    torch.testing.assert_close(after(img)[0], after.norms["all"](none(img)[0]))


@both_kinds
def test_every_parameter_is_trained_also_after_the_meta_device(options: dict) -> None:
    with torch.device("meta"):
        model = shallow(**options)
    model = model.to_empty(device="cpu")
    for weight in model.parameters():
        torch.nn.init.constant_(weight.detach(), float("nan"))
    model.init_weights()
    out = model(images(2, 3, 40, 64))[-1]
    (out * images(*out.shape)).sum().backward()
    assert [name for name, x in model.named_parameters() if x.grad is None or not x.grad.any()] == []
    assert all(x.grad.isfinite().all() for x in model.parameters())


def test_copies_and_compiled_models_compute_and_train_the_same() -> None:
    model, img = shallow(depth=1, **PE).eval(), images(2, 3, 40, 64)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(model), backend="aot_eager", fullgraph=True)
    grads = []
    for one in (model, compiled, copy.deepcopy(model)):
        out = one(img)[-1]
        grads.append(torch.autograd.grad(out.square().sum(), list(one.parameters())))
        torch.testing.assert_close(out, model(img)[-1], atol=1e-5, rtol=1e-4)
    for other in grads[1:]:
        torch.testing.assert_close(other, grads[0], atol=1e-4, rtol=1e-3)
    torch._dynamo.reset()


def test_a_program_with_free_sides_computes_the_same_at_other_sizes() -> None:
    model = shallow(depth=1, **VIT5 | dict(window=dict(size=3, global_blocks=()))).eval()
    program = torch.export.export(
        model,
        (images(2, 3, 72, 104),),
        dynamic_shapes=(dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC),),
        prefer_deferred_runtime_asserts_over_guards=True,
    ).module()
    for batch, img_hw in enumerate([(64, 64), (61, 35), (48, 80)], 1):
        img = images(batch, 3, *img_hw)
        torch.testing.assert_close(program(img), model(img), atol=1e-5, rtol=1e-4)


@both_kinds
def test_low_precision_and_float64_keep_their_dtype(options: dict) -> None:
    model, img = shallow(**options).eval(), images(1, 3, 40, 64)
    single = model(img)[-1]
    with torch.autocast("cpu", torch.bfloat16):
        assert (model(img)[-1].float() - single).abs().max() < 0.2
    double = model.double()(img.double())[-1]
    assert double.dtype == torch.float64
    assert 0 < (double - single).abs().max() < 1e-4
    assert model.bfloat16()(img.bfloat16())[-1].dtype == torch.bfloat16
