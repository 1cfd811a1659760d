import pytest
import torch

from mmvisionllama.models.attention import RotaryAttention, SubsampledAttention, WindowAttention
from mmvisionllama.models.grids import grid_positions
from mmvisionllama.models.rope import RoPE2D, summary_positions

DIMS, HEADS = 32, 4


def tokens(hw: tuple[int, int], batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, hw[0] * hw[1], DIMS, generator=torch.Generator().manual_seed(0))


def window_tables(side: int) -> tuple:
    return RoPE2D(DIMS // HEADS, HEADS).tables(grid_positions((side, side)), hw=(side, side))


@pytest.mark.parametrize("hw", [(5, 9), (8, 4), (3, 3)])
def test_a_padded_token_is_not_attended_to(hw: tuple[int, int]) -> None:
    torch.manual_seed(0)
    attn, side, x = WindowAttention(DIMS, HEADS, 4), 4, tokens(hw)
    whole = RotaryAttention(DIMS, HEADS)
    whole.load_state_dict(attn.state_dict())
    out_BHWD = attn(x, hw, window_tables(side)).unflatten(1, hw)
    for row in range(0, hw[0], side):
        for col in range(0, hw[1], side):  # each window alone, cut to its real tokens
            real = x.unflatten(1, hw)[:, row : row + side, col : col + side]
            part_hw = tuple(real.shape[1:3])
            tables = RoPE2D(DIMS // HEADS, HEADS).tables(grid_positions(part_hw), hw=part_hw)
            alone = whole(real.flatten(1, 2), part_hw, tables).unflatten(1, part_hw)
            torch.testing.assert_close(
                out_BHWD[:, row : row + side, col : col + side], alone, atol=1e-5, rtol=1e-4
            )


def test_without_the_mask_padding_acts_as_a_key() -> None:
    torch.manual_seed(0)
    masked, hw = WindowAttention(DIMS, HEADS, 4), (5, 9)
    unmasked = WindowAttention(DIMS, HEADS, 4, mask_padding=False)
    unmasked.load_state_dict(masked.state_dict())
    x, tables = tokens(hw), window_tables(4)
    assert not torch.allclose(masked(x, hw, tables), unmasked(x, hw, tables), atol=1e-4)


def test_windows_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    attn, hw = WindowAttention(DIMS, HEADS, 4), (8, 8)
    x = tokens(hw)
    changed = x.clone().unflatten(1, hw)
    changed[:, :4, :4] += 1
    out, out_changed = (attn(y, hw, window_tables(4)).unflatten(1, hw) for y in (x, changed.flatten(1, 2)))
    torch.testing.assert_close(out[:, 4:], out_changed[:, 4:], atol=1e-6, rtol=0)
    assert not torch.allclose(out[:, :4, :4], out_changed[:, :4, :4], atol=1e-3)


@pytest.mark.parametrize("summary", ["conv", "depthwise", "mean"])
@pytest.mark.parametrize("hw", [(8, 8), (5, 9), (2, 3)])
def test_every_token_reaches_a_summary_also_at_a_ragged_edge(hw: tuple[int, int], summary: str) -> None:
    torch.manual_seed(0)
    attn = SubsampledAttention(DIMS, HEADS, 4, summary=summary)
    rope = RoPE2D(DIMS // HEADS, HEADS)
    tables = rope.tables(grid_positions(hw), summary_positions(hw, 4), hw=hw)
    x = tokens(hw, batch=1).requires_grad_()
    attn(x, hw, tables)[:, 0].sum().backward()  # the first query alone
    assert (x.grad.abs().amax(dim=-1) > 0).all()


def test_a_depthwise_summary_of_equal_weights_and_no_norm_is_the_mean() -> None:
    torch.manual_seed(0)
    mean, conv, hw = (
        *(SubsampledAttention(DIMS, HEADS, 2, summary=x) for x in ("mean", "depthwise")),
        (4, 6),
    )
    conv.load_state_dict(mean.state_dict(), strict=False)
    conv.norm = torch.nn.Identity()
    torch.nn.init.constant_(conv.summary.weight, 1 / 4)
    torch.nn.init.zeros_(conv.summary.bias)
    tables = RoPE2D(DIMS // HEADS, HEADS).tables(grid_positions(hw), summary_positions(hw, 2), hw=hw)
    torch.testing.assert_close(mean(tokens(hw), hw, tables), conv(tokens(hw), hw, tables))


def test_an_unknown_summary_is_an_error_that_lists_the_choices() -> None:
    with pytest.raises(ValueError, match="summary takes 'conv' or 'depthwise' or 'mean', got 'max'"):
        SubsampledAttention(DIMS, HEADS, 2, summary="max")


def test_grouped_queries_equal_full_attention_with_repeated_keys() -> None:
    torch.manual_seed(0)
    grouped, full, hw = RotaryAttention(DIMS, HEADS, num_kv_heads=2), RotaryAttention(DIMS, HEADS), (3, 3)
    q, k, v = grouped.qkv.weight.unflatten(0, (-1, DIMS // HEADS)).split((HEADS, 2, 2))
    qb, kb, vb = grouped.qkv.bias.unflatten(0, (-1, DIMS // HEADS)).split((HEADS, 2, 2))
    with torch.no_grad():
        full.qkv.weight.copy_(
            torch.cat((q, k.repeat_interleave(2, 0), v.repeat_interleave(2, 0))).flatten(0, 1)
        )
        full.qkv.bias.copy_(torch.cat((qb, kb.repeat_interleave(2, 0), vb.repeat_interleave(2, 0))).flatten())
    full.proj.load_state_dict(grouped.proj.state_dict())
    tables = RoPE2D(DIMS // HEADS, HEADS).tables(grid_positions(hw), hw=hw)
    torch.testing.assert_close(grouped(tokens(hw), hw, tables), full(tokens(hw), hw, tables))
