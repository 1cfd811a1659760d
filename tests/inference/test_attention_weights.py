"""Recomputed attention: times the values it gives what the module gives, for every kind and odd sizes."""

import pytest
import torch

from mmvisionllama.inference.attention_weights import attention_weights
from mmvisionllama.models.attention import RotaryAttention, SubsampledAttention, WindowAttention
from mmvisionllama.models.grids import grid_positions
from mmvisionllama.models.rope import AS2DRoPE

HW = (5, 7)  # neither windows of 3 nor summaries of 2 fill it
KINDS = {
    "global": lambda **given: RotaryAttention(32, 4, **given),
    "windows": lambda **given: WindowAttention(32, 4, 3, **given),
    "summaries": lambda **given: SubsampledAttention(32, 4, 2, **given),
}


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_times_values_are_the_output(kind: str, kv_heads: int) -> None:
    torch.manual_seed(0)
    attn = KINDS[kind](num_kv_heads=kv_heads)
    tokens, x = HW[0] * HW[1], torch.randn(2, HW[0] * HW[1], 32)
    tables = attn.tables(AS2DRoPE(head_dims=8, num_heads=4), grid_positions(HW), HW, 0.7)
    with torch.no_grad():
        weight_BAQM = attention_weights(attn, x, HW, tables, torch.arange(tokens))
        v_BMGK = attn.project_map(x, HW, tables)[2] if kind == "summaries" else attn.project(x, None)[2]
        v_BAMK = v_BMGK.repeat_interleave(4 // kv_heads, dim=2).transpose(1, 2)
        found = attn.proj((weight_BAQM @ v_BAMK).transpose(1, 2).flatten(2))
        torch.testing.assert_close(found, attn(x, HW, tables), atol=1e-5, rtol=0)
        some = attention_weights(attn, x, HW, tables, torch.tensor([3, 30]))
    assert torch.equal(some.sum(-1).round(decimals=5), torch.ones(2, 4, 2))
    torch.testing.assert_close(some, weight_BAQM[:, :, [3, 30]])


def test_what_goes_to_padding_that_is_not_hidden_is_left_out() -> None:
    torch.manual_seed(0)
    attn = WindowAttention(32, 4, 3, mask_padding=False)
    x = torch.randn(1, 35, 32)
    total = attention_weights(attn, x, HW, None, torch.arange(35)).sum(-1)
    inside = grid_positions(HW)[:, 0] < 6  # columns of whole windows, in rows of whole ones
    inside &= grid_positions(HW)[:, 1] < 3
    torch.testing.assert_close(total[:, :, inside], torch.ones(1, 4, int(inside.sum())))
    assert (total[:, :, ~inside] < 0.999).all()
