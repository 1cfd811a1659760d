"""Rotary positions as they are drawn are those that the models use."""

from typing import Any

import numpy as np
import pytest

from mmvisionllama.analysis.networks import Network, network_of
from mmvisionllama.analysis.rotary import plot, rotary_of
from mmvisionllama.errors import InputError
from mmvisionllama.models import PyramidVisionLLaMA, VisionLLaMA
from mmvisionllama.models.grids import grid_positions
from tests.inference.models import NAMES

ROPES: dict[str, dict[str, Any]] = {
    "as2d": dict(type="AS2DRoPE"),
    "1-D": dict(type="RoPE1D"),
    "NTK": dict(type="NTKRoPE2D", alpha=4.0),
    "partial": dict(type="RoPE2D", ratio=0.5),
    "each side scaled": dict(type="AS2DRoPE", scale_side="each", first=1.0),
    "normalised": dict(type="NormalisedRoPE2D"),
    "learned": dict(type="MixedRoPE2D"),
    "a table for each head": dict(type="RoPE2D", shared=False),
}


def network(rope: dict[str, Any] | None, cls: type = VisionLLaMA) -> Network:
    sizes = dict(arch="tiny", img_size=64)
    backbone = cls(**sizes, rope=rope) if cls is PyramidVisionLLaMA else cls(**sizes, patch_size=8, rope=rope)
    return Network("own", backbone, generates=False)


@pytest.mark.parametrize("kind", ROPES)
def test_the_score_between_tokens_is_that_of_the_models_own_tables(kind: str) -> None:
    """Queries and keys that are one in every pair score the cosine of the difference of their angles."""
    net = network({**ROPES[kind]})
    (found,) = rotary_of(net, [(96, 160)])
    for at in found.sizes:
        rope, hw = net.module.rope, at.hw
        scale = rope.scale(hw, net.module.train_hw)
        assert at.scale == (
            scale[0] if isinstance(scale, tuple) else scale
        )  # of columns: they are as many or more
        table, _ = rope.tables(grid_positions(hw), hw=hw, scale=scale)
        middle = hw[0] // 2 * hw[1] + hw[1] // 2
        cos, sin = (x.detach().movedim(-3, 0).flatten(1)[:, ::2].double() for x in table[:2])
        score = (cos * cos[middle] + sin * sin[middle]).mean(dim=1)
        np.testing.assert_allclose(at.score.ravel(), score, atol=2e-5)
    assert found.sizes[0].hw == (8, 8)
    assert found.sizes[1].hw == (12, 20)


def test_wavelengths_are_those_of_the_definition() -> None:
    (found,) = rotary_of(network(dict(type="RoPE2D")))
    heads = 32  # channels of a head: 16 pairs, 8 on each axis
    waves = 2 * np.pi * 10000 ** (4 * np.arange(8) / heads)
    np.testing.assert_allclose(found.waves_across[::2], waves, rtol=1e-5)
    np.testing.assert_allclose(found.waves_down[1::2], waves, rtol=1e-5)
    assert np.isinf(found.waves_across[1::2]).all()
    (flat,) = rotary_of(network(dict(type="RoPE1D")))
    np.testing.assert_allclose(flat.waves_across / flat.waves_down, 8, rtol=1e-4)  # a row below: 8 tokens on


def test_auto_scaled_positions_see_at_another_size_the_span_of_the_training() -> None:
    (scaled,), (plain,) = (rotary_of(network(dict(type=x)), [(128, 128)]) for x in ("AS2DRoPE", "RoPE2D"))
    train, large = scaled.sizes
    assert large.scale == 0.5
    np.testing.assert_allclose(large.across[::2], train.across, atol=1e-6)
    assert scaled.seen(large) == scaled.seen(train)
    np.testing.assert_allclose(plain.sizes[1].across[:8], train.across, atol=1e-6)
    assert len(plot("title", [scaled]).axes) == 4 + 2  # with two bars of colours


def test_a_pyramid_has_a_row_for_each_stage_and_a_generator_has_one() -> None:
    found = rotary_of(network(dict(type="AS2DRoPE"), PyramidVisionLLaMA), [(96, 64)])
    assert [x.name for x in found] == ["stage 0", "stage 1", "stage 2", "stage 3"]
    assert [x.sizes[1].hw for x in found] == [(24, 16), (12, 8), (6, 4), (3, 2)]
    (of_generator,) = rotary_of(network_of(NAMES["generation"]))
    assert of_generator.sizes[0].hw == (7, 7)


def test_a_model_without_rotary_positions_says_so() -> None:
    with pytest.raises(InputError, match="no rotary positions: VisionLLaMA was built with rope=None"):
        rotary_of(network(None))
    with pytest.raises(InputError, match="smaller than a patch"):
        rotary_of(network(dict(type="RoPE2D")), [(4, 64)])
