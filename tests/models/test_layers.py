"""The parts of a block."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS as HOST_MODELS
from torch import Tensor, nn

from mmvisionllama import PyramidVisionLLaMA, VisionLLaMA
from mmvisionllama.config import load_config
from mmvisionllama.models.layers import PEG, SwiGLU, VisionLLaMABlock
from mmvisionllama.registry import MODELS

RATE, BOTH = 0.5, ("attn", "ffn")


def test_swiglu_is_its_formula_with_its_gradients() -> None:
    torch.manual_seed(0)
    ffn = SwiGLU(8, hidden_dims=12).double()
    x = torch.randn(2, 5, 8, dtype=torch.float64, requires_grad=True)
    formula = (F.silu(x @ ffn.gate.weight.T) * (x @ ffn.up.weight.T)) @ ffn.down.weight.T
    wanted = torch.autograd.grad(formula.square().sum(), (x, *ffn.parameters()))
    out = ffn(x)
    torch.testing.assert_close(out, formula)
    torch.testing.assert_close(torch.autograd.grad(out.square().sum(), (x, *ffn.parameters())), wanted)


@pytest.mark.parametrize("compiled", [False, True])
def test_swiglu_keeps_gate_and_up_alone_for_the_backward_pass(compiled: bool) -> None:
    torch._dynamo.reset()
    kept: set[int] = set()

    def note(tensor: Tensor) -> Tensor:
        if tensor.shape == (2, 5, 12) or tensor.shape == (10, 12):
            kept.add(tensor.data_ptr())
        return tensor

    ffn, x = SwiGLU(8, hidden_dims=12), torch.randn(2, 5, 8, requires_grad=True)
    run = torch.compile(ffn, backend="aot_eager_decomp_partition") if compiled else ffn
    run(x)  # a compiler's own work keeps something too
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = run(x)
    assert out.shape == (2, 5, 8)
    assert len(kept) == 2


def test_swiglu_with_a_hook_or_other_layer_at_its_end_calls_it() -> None:
    torch.manual_seed(0)
    ffn, x = SwiGLU(8, hidden_dims=12, bias=True), torch.randn(2, 5, 8)
    expected, seen = ffn(x), []
    ffn.down.register_forward_hook(lambda module, args, out: seen.append(out))
    torch.testing.assert_close(ffn(x), expected)
    torch.testing.assert_close(seen, [expected])
    ffn.down = nn.Sequential(ffn.down, nn.ReLU())
    torch.testing.assert_close(ffn(x), expected.relu())


@pytest.mark.parametrize(
    "trained", [("gate.weight",), ("down.weight",), ("down.bias",), ("up.bias", "down.bias")]
)
def test_swiglu_has_the_gradients_of_its_formula_whatever_is_frozen(trained: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    ffn, x = SwiGLU(8, hidden_dims=12, bias=True).requires_grad_(False), torch.randn(2, 5, 8)
    weights = [ffn.get_parameter(name).requires_grad_() for name in trained]
    wanted = torch.autograd.grad(ffn.down(F.silu(ffn.gate(x)) * ffn.up(x)).square().sum(), weights)
    torch.testing.assert_close(torch.autograd.grad(ffn(x).square().sum(), weights), wanted)


def test_swiglu_differentiates_its_weights_twice_forward_and_backward() -> None:
    torch.manual_seed(0)
    ffn = SwiGLU(4, hidden_dims=6, bias=True).double()
    values = tuple(p.detach().clone().requires_grad_() for p in ffn.parameters())
    names, x = [name for name, _ in ffn.named_parameters()], torch.randn(3, 4, dtype=torch.float64)

    def run(*weights: Tensor) -> Tensor:
        return torch.func.functional_call(ffn, dict(zip(names, weights, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, values, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, values, fast_mode=True)


def last_block(build: type = VisionLLaMA, **options: object) -> VisionLLaMABlock:
    """Build a tiny backbone in training mode and give its last block, whose drop-path rate is ``RATE``."""
    torch.manual_seed(0)
    model = build("tiny", layer_scale=None, rope=None, drop_path_rate=RATE, **options).train()
    return [x for x in model.modules() if isinstance(x, VisionLLaMABlock)][-1]


def branches_taken(block: VisionLLaMABlock) -> set[tuple[str, ...]]:
    """Give the sets of branches that samples went through, told from what the block made of each."""
    x = torch.randn(64, 4, block.norm1.weight.numel())
    seen = set()
    with torch.no_grad():
        for got, before in zip(block(x, (2, 2), None), x[:, None], strict=True):
            results = {}
            for attn_gain in (0, 1, 1 / (1 - RATE)):
                middle = before + attn_gain * block.attn(block.norm1(before), (2, 2), None)
                for ffn_gain in (0, 1, 1 / (1 - RATE)):
                    after = middle + ffn_gain * block.ffn(block.norm2(middle))
                    results[attn_gain, ffn_gain] = (after - got).abs().max()
            attn_gain, ffn_gain = min(results, key=results.get)
            assert results[attn_gain, ffn_gain] < 1e-4
            seen.add((*(["attn"] if attn_gain else []), *(["ffn"] if ffn_gain else [])))
    return seen


@pytest.mark.parametrize(
    ("branches", "taken"),
    [
        (("attn",), {BOTH, ("ffn",)}),
        (("ffn",), {BOTH, ("attn",)}),
        (BOTH, {BOTH, ("attn",), ("ffn",), ()}),
        ((), {BOTH}),
    ],
)
@pytest.mark.parametrize("build", [VisionLLaMA, PyramidVisionLLaMA])
def test_drop_path_skips_only_the_branches_that_it_is_given(
    build: type, branches: tuple[str, ...], taken: set[tuple[str, ...]]
) -> None:
    assert branches_taken(last_block(build, drop_path_branches=branches)) == taken


def test_drop_path_skips_both_branches_unless_told_otherwise() -> None:
    assert branches_taken(last_block()) == {BOTH, ("attn",), ("ffn",), ()}


@pytest.mark.parametrize("size", ["", "_large"])
def test_the_released_fine_tunings_skip_attention_and_never_the_feed_forward(size: str) -> None:
    cfg = load_config(f"configs/cls/visionllama{size}_mae_finetune_in1k_released.py").model.backbone
    shrunk = dict(arch="tiny", ffn=dict(type="SwiGLU"), drop_path_rate=RATE)
    torch.manual_seed(0)
    model = MODELS.build({**cfg, **shrunk}).train()
    assert branches_taken(model.blocks[-1]) == {BOTH, ("ffn",)}


every_backbone = pytest.mark.parametrize("kind", ["VisionLLaMA", "PyramidVisionLLaMA"])


def peg_classifier(
    kind: str, init_cfg: dict | None = None, backbone_init_cfg: dict | None = None
) -> nn.Module:
    """Build mmpretrain's classifier around a tiny backbone with PEG."""
    backbone = dict(
        type=f"mmvisionllama.{kind}",
        arch="tiny",
        out_type="avg_featmap",
        pos_embed=dict(type="PEG"),
        init_cfg=backbone_init_cfg,
    )
    width = {"VisionLLaMA": 96, "PyramidVisionLLaMA": 160}[kind]
    head = dict(type="LinearClsHead", num_classes=3, in_channels=width)
    init_default_scope("mmpretrain")
    return HOST_MODELS.build(dict(type="ImageClassifier", backbone=backbone, head=head, init_cfg=init_cfg))


@every_backbone
def test_peg_of_an_initialised_classifier_starts_as_in_twins(kind: str) -> None:
    torch.manual_seed(0)
    model = peg_classifier(kind)
    model.init_weights()
    convs = [x.conv for x in model.modules() if isinstance(x, PEG)]
    weights = torch.cat([x.weight.flatten() for x in convs])
    assert weights.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.05)  # fan-out 9 D over D groups
    assert not any(x.bias.any() for x in convs)


@every_backbone
@pytest.mark.parametrize(("owner", "prefix"), [("init_cfg", None), ("backbone_init_cfg", "backbone.")])
def test_peg_keeps_the_weights_of_a_checkpoint(
    kind: str, owner: str, prefix: str | None, tmp_path: Path
) -> None:
    file, source = str(tmp_path / "a.pth"), peg_classifier(kind)
    torch.save({"state_dict": source.state_dict()}, file)
    model = peg_classifier(kind, **{owner: dict(type="Pretrained", checkpoint=file, prefix=prefix)})
    model.init_weights()
    torch.testing.assert_close(model.backbone.state_dict(), source.backbone.state_dict(), rtol=0, atol=0)
