"""Attention pooling."""

import pytest
import torch

from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.pooling import AttentionPool
from tests.models.test_backbones import images, plain, pyramid, seeded


def test_a_pool_knows_no_order_of_tokens_but_weighs_them() -> None:
    torch.manual_seed(0)
    pool, x = AttentionPool(32).eval(), torch.randn(2, 7, 32)
    torch.testing.assert_close(pool(x), pool(x.flip(1)), atol=1e-6, rtol=1e-5)
    assert (pool(x) - pool(x[:, :-1])).abs().max() > 1e-3


def test_a_pyramid_pools_the_normed_tokens_of_each_output_by_one_of_its_width() -> None:
    pool = dict(type="AttentionPool", num_heads=4)
    model = seeded(pyramid, out_type=pool, out_indices=(1, 3), out_norm="each").eval()
    tokens = seeded(pyramid, out_type="raw", out_indices=(1, 3), out_norm="each").eval()
    tokens.load_state_dict({k: x for k, x in model.state_dict().items() if not k.startswith("pools.")})
    img = images(2, 3, 64, 96)
    for out, x, name, width in zip(model(img), tokens(img), ("1", "3"), (32, 64), strict=True):
        assert out.shape == (2, width)
        assert torch.equal(out, model.pools[name](x))
    assert model.get_layer_depth("pools.3.latent") == (9, 10)
    frozen = pyramid(out_type=pool, frozen_stages=4)
    assert not any(p.requires_grad for p in frozen.parameters())


def test_a_pool_needs_heads_that_divide_its_width() -> None:
    with pytest.raises(ArgumentError, match="embed_dims 32 is not divisible by num_heads 5"):
        plain(out_type=dict(type="AttentionPool", num_heads=5))
