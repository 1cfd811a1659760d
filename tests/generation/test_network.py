"""The network: what it takes, how it starts, and the ways it can be run."""

import copy

import pytest
import torch
from torch import nn

from mmvisionllama.errors import ArgumentError
from mmvisionllama.generation import DiT
from tests.generation.networks import ARCH, SMALL, noisy, randomised, small_network

FOUR = dict(count=4, rope=dict(type="RoPE2D", base=100.0))
every_block = pytest.mark.parametrize("block", ["llama", "vit"])


@every_block
def test_gates_and_last_layer_start_at_zero_and_time_and_labels_small(block: str) -> None:
    network = DiT(**SMALL, block=block)
    network.init_weights()
    for name, weight in network.named_parameters():
        if "modulation" in name or name.startswith("head."):
            assert not weight.any(), name
        elif name.startswith(("time_embed", "label_embed")) and weight.ndim > 1:
            assert weight.std().item() == pytest.approx(0.02, rel=0.2), name  # the labels have 128 values
        elif weight.ndim > 1:
            bound = (6 / sum(weight.shape)) ** 0.5  # Xavier
            assert bound * 0.9 < weight.abs().max() <= bound, name
        else:
            assert not weight.any(), name
    assert not network(*noisy()).any()


@every_block
def test_every_parameter_gets_a_gradient(block: str) -> None:
    network = randomised(DiT(**SMALL, block=block))
    network(*noisy()).square().mean().backward()
    assert [name for name, x in network.named_parameters() if x.grad is None or not x.grad.any()] == []


@every_block
@pytest.mark.parametrize("hw", [(8, 8), (4, 10), (16, 12)])
def test_any_grid_of_patches_runs(block: str, hw: tuple[int, int]) -> None:
    assert small_network(block=block)(*noisy(*hw)).shape == (3, 2, *hw)


def test_larger_inputs_keep_their_positions_in_the_range_of_the_training() -> None:
    network = small_network()
    wide, trained = network._tables((4, 8), torch.device("cpu")), network._tables((4, 4), torch.device("cpu"))
    assert network.rope.scale((4, 8), network.train_hw) == 0.5
    # Every other column of twice as many stands where the columns of the training stood.
    columns = wide[0].cos[:8:2, 0, :2]
    torch.testing.assert_close(columns, trained[0].cos[:4, 0, :2])


def test_a_block_can_be_put_together_from_components() -> None:
    mixed = dict(rope=dict(type="AS2DRoPE"), pos_embed=dict(type="SinCosPosEmbed"), ffn=dict(type="GELUFFN"))
    assert small_network(block=mixed)(*noisy()).isfinite().all()
    peg = dict(rope=None, pos_embed=dict(type="PEG"), ffn=dict(type="SwiGLU"))
    assert small_network(block=peg)(*noisy()).isfinite().all()


def test_a_component_takes_the_place_of_llamas_and_leaves_the_others() -> None:
    own, given = DiT(**SMALL), DiT(**SMALL, block=dict(pos_embed=dict(type="SinCosPosEmbed")))
    assert given.pos_embed is not None and own.pos_embed is None
    assert repr(given.rope) == repr(own.rope) and repr(given.blocks) == repr(own.blocks)


def test_options_of_attention_and_learned_frequencies_reach_every_block() -> None:
    attn = dict(qk_norm=dict(type="RMSNorm", eps=1e-6), qkv_bias="qv")
    network = small_network(block=dict(attn=attn, rope=dict(type="MixedRoPE2D")))
    network(*noisy()).square().sum().backward()
    names = [f"blocks.{i}.attn.{x}" for i in (0, 1) for x in ("q_norm.weight", "qkv.v_bias")]
    for name in (*names, "rope.frequencies.0", "rope.frequencies.1"):
        assert network.get_parameter(name).grad.any(), name
    with pytest.raises(ArgumentError, match=r"block\.attn does not take 'qk_norms'"):
        small_network(block=dict(attn=dict(qk_norms=None)))


@pytest.mark.parametrize(
    "block",
    [
        "llama",
        "vit",
        dict(pos_embed=dict(type="PEG")),
        dict(rope=dict(type="MixedRoPE2D")),
        dict(attn=dict(qk_norm=dict(type="LN"), inner_norm=dict(type="LN"))),
    ],
)
def test_patches_see_registers_that_the_output_has_not(block: str | dict) -> None:
    network = small_network(block=block, registers=FOUR)
    before = network(*noisy(4, 10))
    assert before.shape == (3, 2, 4, 10)
    torch.nn.init.normal_(network.registers.tokens.detach())
    assert (network(*noisy(4, 10)) - before).abs().max() > 1e-3


def test_registers_are_conditioned_as_patches_also_by_what_is_made_ahead() -> None:
    network, (x, time_B, label_B) = small_network(registers=FOUR), noisy()
    seen = []
    network.blocks[0].register_forward_hook(lambda module, inputs, out: seen.append(out))
    given = network(x, time_B, label_B)
    ahead = network.modulations(time_B, label_B, x.dtype)
    torch.testing.assert_close(network(x, time_B, label_B, modulation_BM=ahead), given)
    network(x, time_B, (label_B + 1) % 3)
    assert [out.shape[1] for out in seen] == [4 + 16] * 3
    assert ((seen[0] - seen[2]).abs().amax(dim=-1) > 1e-4).all()


def test_registers_that_are_not_rotated_have_no_order() -> None:
    network = small_network(registers=dict(count=3))
    before = network(*noisy())
    tokens = network.registers.tokens
    tokens.data = tokens.data.flip(1)
    torch.testing.assert_close(network(*noisy()), before, atol=1e-6, rtol=1e-5)


def test_only_registers_add_weights_and_compile_and_copy_with_them() -> None:
    network = small_network(registers=FOUR, arch=ARCH | dict(num_layers=1))
    assert network.state_dict().keys() - small_network().state_dict().keys() == {"registers.tokens"}
    compiled = torch.compile(copy.deepcopy(network), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*noisy()), network(*noisy()))
    torch._dynamo.reset()


@every_block
def test_label_and_time_change_the_output(block: str) -> None:
    network, (x, time_B, label_B) = small_network(block=block), noisy()
    output = network(x, time_B, label_B)
    assert not torch.allclose(output, network(x, time_B, (label_B + 1) % 3))
    assert not torch.allclose(output, network(x, time_B + 0.5, label_B))


def test_labels_are_dropped_at_their_rate_and_to_the_null_class_alone() -> None:
    network, label_B = small_network(label_dropout=0.25), torch.arange(3).repeat(4000)
    torch.manual_seed(0)
    dropped_B = network.drop_labels(label_B)
    changed_B = dropped_B != label_B
    assert changed_B.float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (dropped_B[changed_B] == network.null_label).all()


def test_without_label_dropout_there_is_no_null_class() -> None:
    network = small_network(label_dropout=0.0)
    assert network.null_label is None
    assert network.label_embed.num_embeddings == 3
    label_B = torch.arange(3)
    assert network.drop_labels(label_B) is label_B


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for with_cp in (False, True):
        network = randomised(DiT(**SMALL, with_cp=with_cp))
        network(*noisy()).square().mean().backward()
        gradients.append([x.grad for x in network.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


@every_block
def test_compiles_as_one_graph_and_computes_the_same(block: str) -> None:
    network = small_network(block=block)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*noisy()), network(*noisy()), atol=1e-5, rtol=1e-5)
    torch._dynamo.reset()


@every_block
def test_a_copy_computes_the_same(block: str) -> None:
    network = small_network(block=block)
    assert torch.equal(copy.deepcopy(network)(*noisy()), network(*noisy()))


@every_block
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_float32_outputs_near_those_of_float32(block: str, dtype: torch.dtype) -> None:
    network = small_network(block=block)
    with torch.autocast("cpu", dtype=dtype):
        output = network(*noisy())
    assert output.dtype == torch.float32
    assert (output - network(*noisy())).abs().mean() < 0.05 * network(*noisy()).abs().mean()


@every_block
def test_bfloat16_weights_give_bfloat16_outputs(block: str) -> None:
    network, (x, time_B, label_B) = small_network(block=block), noisy()
    exact = network(x, time_B, label_B)
    output = network.bfloat16()(x.bfloat16(), time_B, label_B)
    assert output.dtype == torch.bfloat16
    assert (output.float() - exact).abs().mean() < 0.1 * exact.abs().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(arch="bas"), "unknown arch 'bas'. Did you mean 'base'?"),
        (dict(block="lama"), "block takes 'llama' or 'vit' or a dict, got 'lama'"),
        (dict(block=dict(pos_embd=dict(type="SinCosPosEmbed"))), "block.* 'pos_embd'.*'pos_embed'"),
        (dict(label_dropout=1.0), r"label_dropout takes a number in \[0, 1\), got 1.0"),
        (dict(input_size=(8, 9)), r"an input of \(8, 9\) is no whole number of patches of 2"),
        (dict(registers=dict(count=5, rope=dict(type="RoPE2D"))), "fill a square, got count=5"),
        (dict(block=dict(rope=dict(base=100))), r"block.rope takes a dict with a type or None, got"),
        (
            dict(block=dict(rope=dict(type="MixedRoPE2D"), attn=dict(num_kv_heads=1))),
            "attn.num_kv_heads: keys that heads share",
        ),
        (dict(arch=ARCH | dict(num_heads=3)), "embed_dims 32 is not divisible by num_heads 3"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_is_allowed(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiT(**SMALL | options)


def test_an_input_that_patches_do_not_divide_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"an input of \(7, 8\) is no whole number of patches of 2"):
        small_network()(*noisy(7, 8))


def test_blocks_of_tiny_networks_have_equally_many_parameters() -> None:
    counts = []
    for block in ("llama", "vit"):
        with torch.device("meta"):
            network: nn.Module = DiT("tiny", block=block)
        counts.append(sum(x.numel() for x in network.parameters()))
    assert counts[0] == pytest.approx(counts[1], rel=0.003)
