"""Learned frequencies and normalised coordinates; random coordinates in training."""

import math

import pytest
import torch
from torch.func import functional_call, jvp

from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.grids import grid_positions
from mmvisionllama.models.rope import RoPE2D, rotate_pairs
from mmvisionllama.models.rope_variants import MixedRoPE2D, NormalisedRoPE2D
from mmvisionllama.models.rotary_table import of_blocks, rows_of, still_rows, with_rows
from tests.models.test_backbones import images, plain, pyramid, seeded

MIXED = dict(type="MixedRoPE2D")


def test_normalised_coordinates_are_the_same_share_of_every_grid() -> None:
    rope = NormalisedRoPE2D(16, 2)
    small, large = (rope.table(grid_positions((n, n)), hw=(n, n)).cos.unflatten(0, (n, n)) for n in (3, 9))
    torch.testing.assert_close(large[1::3, 1::3], small, atol=1e-5, rtol=0)  # middles of the same thirds
    angle_NAP = rope.angles(torch.tensor([[0.0, 3.0]]), (4, 4), rope.base)
    torch.testing.assert_close(angle_NAP[0, 0, :2], 2 * math.pi * torch.tensor([-0.75, 0.75]))


def test_mixed_frequencies_begin_with_the_axial_sizes_in_two_directions_at_a_right_angle() -> None:
    torch.manual_seed(0)
    for frequency_AP2 in MixedRoPE2D(16, 3, 2).frequencies:
        sizes, (along, across) = frequency_AP2.norm(dim=-1), frequency_AP2.unflatten(1, (2, 4)).unbind(1)
        expected = 10.0 ** -(torch.arange(4.0) / 4)
        torch.testing.assert_close(sizes, expected.repeat(3, 2))
        torch.testing.assert_close((along * across).sum(-1), torch.zeros(3, 4), atol=1e-6, rtol=0)


def test_axial_frequencies_are_a_case_of_mixed_ones() -> None:
    rope, axial = MixedRoPE2D(16, 2, 3), RoPE2D(16, 2)
    w = 10000.0 ** -(torch.arange(4.0) / 4)
    zero = torch.zeros(4)
    pairs = torch.stack([torch.stack((w, zero), -1), torch.stack((zero, w), -1)], dim=1).flatten(0, 1)
    with torch.no_grad():
        rope.frequencies[1].copy_(pairs.expand(2, -1, -1))
    position_N2, hw = grid_positions((4, 5)), (4, 5)
    own = of_blocks(rope.tables(position_N2, hw=hw), 3)[1]
    torch.testing.assert_close(own[0].cos, axial.table(position_N2, hw=hw).cos.expand(-1, 2, -1))
    assert own[0] is own[1]


def test_every_block_has_tables_of_its_own_and_others_share_theirs() -> None:
    tables = MixedRoPE2D(16, 2, 3).tables(grid_positions((2, 2)), hw=(2, 2))
    first, _, third = of_blocks(tables, 3)
    assert not torch.equal(first[0].cos, third[0].cos)
    shared = RoPE2D(16, 2).tables(grid_positions((2, 2)), hw=(2, 2))
    assert all(x is shared for x in of_blocks(shared, 3))
    assert of_blocks(None, 2) == [None, None]


def test_inserted_rows_turn_nothing_and_move_no_other_row() -> None:
    tables = RoPE2D(16, 2).tables(grid_positions((2, 3)), hw=(2, 3))
    joined = with_rows(tables, still_rows(2, 16), 1)
    assert joined[0] is joined[1]
    x_BNAK = torch.randn(1, 8, 2, 16)
    turned = rotate_pairs(x_BNAK, joined[0])
    assert torch.equal(turned[:, 1:3], x_BNAK[:, 1:3])
    kept = [0, 3, 4, 5, 6, 7]
    assert torch.equal(turned[:, kept], rotate_pairs(x_BNAK[:, kept], tables[0]))
    assert torch.equal(rows_of(joined, slice(3, None))[0].cos, tables[0].cos[1:])


@pytest.mark.parametrize("build", [plain, pyramid])
def test_learned_frequencies_belong_to_their_block(build: object) -> None:
    model = seeded(build, rope=MIXED, out_type="featmap", out_indices=(0, 1), frozen_stages=1)
    names = [name for name, _ in model.named_parameters() if "frequencies" in name]
    assert len(names) == len([x for x in model.modules() if hasattr(x, "gamma1")])
    for name in names:
        block = name.replace("rope.frequencies", "blocks") + ".norm1.weight"
        assert model.get_layer_depth(name) == model.get_layer_depth(block)
        assert model.get_parameter(name).requires_grad == model.get_parameter(block).requires_grad


def test_forward_and_backward_mode_agree_on_the_slope_along_the_frequencies() -> None:
    model = seeded(plain, rope=MIXED).double().eval()
    name, img = "rope.frequencies.1", images(1, 3, 32, 40).double()
    frequency = model.get_parameter(name)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return functional_call(model, {name: x}, (img,))[0].sin().sum()

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        along = torch.ones_like(frequency)
        _, forward = jvp(loss, (frequency.detach(),), (along,))
        (backward,) = torch.autograd.grad(loss(frequency), frequency)
    torch.testing.assert_close(forward, (backward * along).sum())
    assert backward.abs().max() > 1e-6


AUGMENT = dict(shift=0.5, jitter=1.5, rescale=2.0)


def test_coordinates_are_drawn_anew_in_training_by_torchs_generator_and_never_in_evaluation() -> None:
    given = dict(rope=dict(type="NormalisedRoPE2D", augment=AUGMENT))
    model, img = seeded(plain, **given), images(1, 3, 32, 32)
    outs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outs.append(model(img)[0])
    assert torch.equal(outs[0], outs[1])
    assert (outs[0] - outs[2]).abs().max() > 1e-4
    state = torch.get_rng_state()
    assert torch.equal(model.eval()(img)[0], seeded(plain, rope=dict(type="NormalisedRoPE2D")).eval()(img)[0])
    model(img)
    torch.manual_seed(1)
    torch.set_rng_state(state)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_draw_is_one_for_queries_and_keys_within_its_bounds() -> None:
    rope = RoPE2D(8, 1, augment=AUGMENT)
    torch.manual_seed(0)
    query, key = rope.tables(grid_positions((3, 3)), grid_positions((3, 3)), hw=(3, 3))
    assert torch.equal(query.cos, key.cos)
    for _ in range(50):
        drawn = rope._draw(None)
        assert drawn.shift.abs().max() <= 0.5
        assert (drawn.factor.log().abs() <= math.log(3.0) + 1e-6).all()
        ratio = drawn.factor[0] / drawn.factor[1]
        assert ratio.log().abs() <= 2 * math.log(1.5) + 1e-6
    assert RoPE2D(8, 1, augment=dict(shift=None))._draw(None) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(augment=dict(shifts=1)), "augment does not take 'shifts'. Did you mean 'shift'"),
        (dict(augment=dict(jitter=0.5)), "augment.jitter takes .* of at least 1.*, got 0.5"),
    ],
)
def test_wrong_options_are_errors(options: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        RoPE2D(8, 1, **options)


def test_keys_that_heads_share_have_no_frequencies_of_a_head() -> None:
    with pytest.raises(ArgumentError, match=r"attn.num_kv_heads"):
        plain(rope=MIXED, attn=dict(num_kv_heads=1))
