import pytest
import torch
from torch import Tensor

from mmvisionllama.models.attention import SubsampledAttention, WindowAttention
from mmvisionllama.models.pyramid import PyramidVisionLLaMA
from mmvisionllama.models.rope import (
    AS2DRoPE,
    NTKRoPE2D,
    RoPE1D,
    RoPE2D,
    RotaryTable,
    _cos_sin,
    _rotate,
    grid_positions,
    rotate_pairs,
    summary_positions,
)

HEAD_DIMS, HEADS = 16, 4


def scores(rope: RoPE2D, position_N2: Tensor, hw: tuple[int, int], heads: int = 1) -> Tensor:
    """Attention scores of equal contents at given places: (A, N, N)."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(heads, HEAD_DIMS, generator=generator).expand(len(position_N2), -1, -1) for _ in "qk")
    q_table, k_table = rope.tables(position_N2, hw=hw)
    return torch.einsum("nak,mak->anm", rotate_pairs(q, q_table), rotate_pairs(k, k_table))


@pytest.mark.parametrize(
    "options", [{}, dict(ratio=0.5), dict(ratio=0.25), dict(shared=False), dict(base=100)]
)
@pytest.mark.parametrize("kind", [RoPE1D, RoPE2D, AS2DRoPE, NTKRoPE2D])
def test_scores_depend_on_coordinate_differences_alone(kind: type[RoPE2D], options: dict) -> None:
    heads = 1 if options.get("shared", True) else HEADS
    rope = kind(HEAD_DIMS, HEADS, **options)
    position_N2 = grid_positions((5, 7))
    here = scores(rope, position_N2, (5, 7), heads)
    moved = scores(rope, position_N2 + torch.tensor([3.0, 11.0]), (5, 7), heads)
    torch.testing.assert_close(moved, here, atol=2e-4, rtol=0)
    assert here.std() > 0.1  # contents are equal, so only positions can make scores differ


def test_a_wide_grid_differs_from_a_square_one_with_as_many_tokens() -> None:
    rope = RoPE2D(HEAD_DIMS, HEADS)
    wide, square = (scores(rope, grid_positions(hw), hw) for hw in ((7, 28), (14, 14)))
    assert (wide - square).abs().max() > 0.1


def test_first_pair_turns_by_the_column_and_second_by_the_row() -> None:
    angle_NAP = RoPE2D(8, 1).angles(torch.tensor([[3.0, 0.0], [0.0, 5.0]]), (6, 6), 10000.0)
    torch.testing.assert_close(angle_NAP[:, 0], torch.tensor([[3, 0, 0.03, 0], [0, 5, 0, 0.05]]))


@pytest.mark.parametrize("train_hw", [(14, 14), (7, 10)])
def test_auto_scale_is_one_at_the_training_size(train_hw: tuple[int, int]) -> None:
    assert AS2DRoPE(HEAD_DIMS, HEADS).scale(train_hw, train_hw) == 1


def test_auto_scaled_angles_at_twice_the_size_are_those_of_corresponding_points() -> None:
    rope, train_hw, hw = AS2DRoPE(HEAD_DIMS, HEADS), (6, 6), (12, 12)
    small = rope.table(grid_positions(train_hw), hw=train_hw, scale=rope.scale(train_hw, train_hw))
    large = rope.table(grid_positions(hw), hw=hw, scale=rope.scale(hw, train_hw))
    corresponding = large.cos.unflatten(0, hw)[::2, ::2].flatten(0, 1)
    torch.testing.assert_close(corresponding, small.cos)


@pytest.mark.parametrize("hw", [(7, 28), (28, 7), (30, 30), (3, 5)])
def test_auto_scale_keeps_every_coordinate_in_the_range_seen_in_training(hw: tuple[int, int]) -> None:
    scaled = grid_positions(hw) * AS2DRoPE(HEAD_DIMS, HEADS).scale(hw, (14, 14))
    assert scaled.max() < 14
    assert scaled.max() > 14 * (1 - 1 / max(hw)) - 1e-4  # and uses all of it


def test_the_released_auto_scale_divides_fourteen_by_the_rows() -> None:
    assert AS2DRoPE(HEAD_DIMS, HEADS, anchor=14, scale_side="rows").scale((7, 28), (56, 56)) == 2


def test_keys_sit_at_the_centre_of_the_tokens_they_summarise() -> None:
    assert summary_positions((4, 4), 2).tolist() == [[0.5, 0.5], [2.5, 0.5], [0.5, 2.5], [2.5, 2.5]]


@pytest.mark.parametrize("hw", [(8, 8), (5, 9), (2, 3)])
@pytest.mark.parametrize("ratio", [1, 2, 4, 8])
def test_key_centres_are_means_over_real_tokens(hw: tuple[int, int], ratio: int) -> None:
    position_HW2 = grid_positions(hw).unflatten(0, hw)
    centres = [
        position_HW2[row : row + ratio, col : col + ratio].flatten(0, 1).mean(0)
        for row in range(0, hw[0], ratio)
        for col in range(0, hw[1], ratio)
    ]
    torch.testing.assert_close(summary_positions(hw, ratio), torch.stack(centres))


def test_the_class_token_sits_at_raster_index_minus_one_unless_told_otherwise() -> None:
    assert RoPE2D(8, 1).class_token((4, 6)).tolist() == [[5, -1]]
    assert RoPE2D(8, 1, cls_position=(0.5, 2)).class_token((4, 6)).tolist() == [[0.5, 2]]


def test_ntk_enlarges_the_base_of_queries_and_keys_or_of_queries_alone() -> None:
    position_N2 = grid_positions((3, 3))
    plain = RoPE2D(8, 1).table(position_N2, hw=(3, 3))
    for queries_only in (False, True):
        query, key = NTKRoPE2D(8, 1, alpha=5, queries_only=queries_only).tables(position_N2, hw=(3, 3))
        enlarged = RoPE2D(8, 1, base=50000).table(position_N2, hw=(3, 3))
        torch.testing.assert_close(query.cos, enlarged.cos)
        torch.testing.assert_close(key.cos, plain.cos if queries_only else enlarged.cos)


@pytest.mark.parametrize("queries_only", [False, True])
def test_ntk_reaches_the_queries_of_gsa_and_its_keys_but_no_window_of_a_pyramid(queries_only: bool) -> None:
    arch = dict(embed_dims=(8, 16, 16, 16), depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 2))
    rope = dict(type="NTKRoPE2D", alpha=5, queries_only=queries_only)
    stage, plain, enlarged = (
        PyramidVisionLLaMA(arch, img_size=64, rope=kind, window=dict(size=4)).stages[0]
        for kind in (rope, dict(type="RoPE2D"), dict(type="RoPE2D", base=50000))
    )
    ntk, base, larger = (x.tables((16, 16), (16, 16), torch.device("cpu")) for x in (stage, plain, enlarged))
    assert torch.equal(ntk[WindowAttention][0].cos, base[WindowAttention][0].cos)
    assert torch.equal(ntk[WindowAttention][1].sin, base[WindowAttention][1].sin)
    query, key = ntk[SubsampledAttention]
    assert torch.equal(query.cos, larger[SubsampledAttention][0].cos)
    keys = (base if queries_only else larger)[SubsampledAttention][1]
    assert torch.equal(key.cos, keys.cos)


def test_without_sharing_each_head_has_its_slice_of_the_frequency_range() -> None:
    position_N2 = grid_positions((4, 4))
    apart = RoPE2D(HEAD_DIMS, HEADS, shared=False).angles(position_N2, (4, 4), 10000.0)
    whole = RoPE2D(HEAD_DIMS * HEADS, 1).angles(position_N2, (4, 4), 10000.0)
    torch.testing.assert_close(apart.flatten(1), whole[:, 0])


def test_partial_rotation_leaves_the_other_channels_untouched() -> None:
    x_BNAK = torch.randn(2, 9, 3, HEAD_DIMS)
    table = RoPE2D(HEAD_DIMS, 3, ratio=0.5).table(grid_positions((3, 3)), hw=(3, 3))
    rotated = rotate_pairs(x_BNAK, table)
    torch.testing.assert_close(rotated[..., 8:], x_BNAK[..., 8:])
    assert not torch.allclose(rotated[..., :8], x_BNAK[..., :8])


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_heads_behind_the_rotated_ones_stay_and_pass_their_gradient(ratio: float) -> None:
    x_BNAK = torch.randn(2, 9, 5, HEAD_DIMS, requires_grad=True)
    table = RoPE2D(HEAD_DIMS, 5, ratio=ratio).table(grid_positions((3, 3)), hw=(3, 3))
    apart = torch.cat((rotate_pairs(x_BNAK[:, :, :3], table), x_BNAK[:, :, 3:]), dim=2)
    weights = torch.randn_like(apart)
    (wanted,) = torch.autograd.grad(apart, x_BNAK, weights)
    for together in (rotate_pairs(x_BNAK, table, 3), _rotate(x_BNAK, table.cos, table.sin, 3)):
        torch.testing.assert_close(together, apart)
        torch.testing.assert_close(torch.autograd.grad(together, x_BNAK, weights), (wanted,))


@pytest.mark.parametrize("batch", [(), (2,)])
def test_tables_that_are_learned_have_all_derivatives_of_the_rotation(batch: tuple[int, ...]) -> None:
    def rotated(x_BNAK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return rotate_pairs(x_BNAK, RotaryTable(cos, sin, learned=True), 2)

    torch.manual_seed(0)
    x_BNAK = torch.randn(2, 1, 3, 6, dtype=torch.double, requires_grad=True)
    angle = torch.randn(*batch, 1, 2, 2, dtype=torch.double)
    cos, sin = (x.requires_grad_() for x in _cos_sin(angle))
    assert torch.equal(rotated(x_BNAK, cos, sin), _rotate(x_BNAK, cos, sin, 2))
    assert torch.autograd.gradcheck(rotated, (x_BNAK, cos, sin), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(rotated, (x_BNAK, cos, sin), fast_mode=True)

    def slope(x_BNAK: Tensor) -> Tensor:
        return torch.func.grad(lambda cos: rotated(x_BNAK, cos, sin.detach()).sin().sum())(cos.detach())

    several = torch.randn(3, *x_BNAK.shape, dtype=torch.double)
    torch.testing.assert_close(torch.func.vmap(slope)(several), torch.stack([slope(x) for x in several]))


def table_and_input(dtype: torch.dtype = torch.float32) -> tuple[RotaryTable, Tensor]:
    generator = torch.Generator().manual_seed(0)
    table = RoPE2D(HEAD_DIMS, 2).table(grid_positions((8, 8)), hw=(8, 8))
    return table, torch.randn(2, 64, 2, HEAD_DIMS, generator=generator).to(dtype)


def test_rotation_equals_the_complex_product() -> None:
    table, x_BNAK = table_and_input()
    turned = torch.view_as_complex(x_BNAK.unflatten(-1, (-1, 2)).contiguous())
    angle_NAP = RoPE2D(HEAD_DIMS, 2).angles(grid_positions((8, 8)), (8, 8), 10000.0)
    expected = torch.view_as_real(turned * torch.polar(torch.ones_like(angle_NAP), angle_NAP)).flatten(-2)
    torch.testing.assert_close(rotate_pairs(x_BNAK, table), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rotation_computes_in_float32_and_returns_the_input_dtype(dtype: torch.dtype) -> None:
    table, x_BNAK = table_and_input(dtype)
    rotated = rotate_pairs(x_BNAK, table)
    assert table.cos.dtype == torch.float32
    assert rotated.dtype == dtype
    exact = rotate_pairs(x_BNAK.float(), table).to(dtype)
    torch.testing.assert_close(rotated, exact, atol=0, rtol=0)


def test_the_gradient_of_a_rotation_is_the_inverse_rotation() -> None:
    table, x_BNAK = table_and_input(torch.float64)
    table = RotaryTable(*(part[:4].double() for part in table[:2]))
    x_BNAK = x_BNAK[:1, :4].requires_grad_()
    weights = torch.randn(x_BNAK.shape, dtype=torch.float64)
    (grad,) = torch.autograd.grad((rotate_pairs(x_BNAK, table) * weights).sum(), x_BNAK)
    inverse = RotaryTable(table.cos, -table.sin)
    torch.testing.assert_close(grad, rotate_pairs(weights, inverse), atol=1e-6, rtol=0)


def test_a_table_of_another_token_count_is_an_error_with_both_counts() -> None:
    table, x_BNAK = table_and_input()
    with pytest.raises(ValueError, match="covers 64 tokens, queries or keys have 63"):
        rotate_pairs(x_BNAK[:, :-1], table)


@pytest.mark.parametrize(("head_dims", "ratio"), [(18, 1.0), (16, 0.3), (16, 0.0), (16, 1.5)])
def test_a_rotated_width_that_pairs_do_not_fill_is_an_error(head_dims: int, ratio: float) -> None:
    with pytest.raises(ValueError, match=r"positive multiple of 4|ratio takes a number in \(0, 1\]"):
        RoPE2D(head_dims, 1, ratio=ratio)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            AS2DRoPE,
            dict(scale_side="columns"),
            "scale_side takes 'longer' or 'rows' or 'each', got 'columns'",
        ),
        (AS2DRoPE, dict(anchor=-1), r"anchor takes a number in \(0, inf\) or None, got -1"),
        (RoPE2D, dict(key_positions="center"), "key_positions takes 'centre' or 'released', got"),
        (
            RoPE2D,
            dict(cls_position="origin"),
            "cls_position takes 'raster' or a list of 2 items, each a number or None, got",
        ),
    ],
)
def test_a_wrong_option_is_an_error_that_says_what_is_allowed(
    kind: type[RoPE2D], options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(8, 1, **options)
