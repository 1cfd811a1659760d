"""Attention pooling."""

import pytest
import torch

from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.pooling import AttentionPool
from tests.models.test_backbones import plain


def test_a_pool_knows_no_order_of_tokens_but_weighs_them() -> None:
    torch.manual_seed(0)
    pool, x = AttentionPool(32).eval(), torch.randn(2, 7, 32)
    torch.testing.assert_close(pool(x), pool(x.flip(1)), atol=1e-6, rtol=1e-5)
    assert (pool(x) - pool(x[:, :-1])).abs().max() > 1e-3


def test_a_pool_needs_heads_that_divide_its_width() -> None:
    with pytest.raises(ArgumentError, match="embed_dims 32 is not divisible by num_heads 5"):
        plain(out_type=dict(type="AttentionPool", num_heads=5))
