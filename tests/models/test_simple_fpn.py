"""The pyramid of ViTDet: scales, widths, and which places of the map each scale looks at."""

import pytest
import torch
from torch import nn

from mmvisionllama.models import SimpleFPN
from mmvisionllama.models.simple_fpn import LN2d


@pytest.fixture
def neck() -> SimpleFPN:
    torch.manual_seed(0)
    return SimpleFPN(16, out_channels=8).eval()


def test_one_map_becomes_five_of_strides_4_to_64(neck: SimpleFPN) -> None:
    pyramid = neck((torch.randn(2, 16, 6, 10),))
    assert [tuple(x.shape) for x in pyramid] == [
        (2, 8, 24, 40),
        (2, 8, 12, 20),
        (2, 8, 6, 10),
        (2, 8, 3, 5),
        (2, 8, 2, 3),
    ]


def test_only_the_last_map_counts(neck: SimpleFPN) -> None:
    first, last = torch.randn(1, 16, 4, 4), torch.randn(1, 16, 4, 4)
    both, alone = neck((first, last)), neck((last,))
    assert all(torch.equal(a, b) for a, b in zip(both, alone, strict=True))


def test_maps_are_contiguous_as_operators_on_regions_expect(neck: SimpleFPN) -> None:
    assert all(x.is_contiguous() for x in neck((torch.randn(2, 16, 6, 10),)))


def test_the_coarsest_map_is_every_second_place_of_the_one_before(neck: SimpleFPN) -> None:
    *_, fourth, fifth = neck((torch.randn(1, 16, 8, 8),))
    assert torch.equal(fifth, fourth[:, :, ::2, ::2])


def test_enlarging_keeps_the_order_of_places(neck: SimpleFPN) -> None:
    # What lies at the left of the map alone cannot reach the right end of the enlarged maps.
    changed = torch.zeros(1, 16, 4, 8)
    changed[..., 0] = 1.0
    plain, left = neck((torch.zeros(1, 16, 4, 8),)), neck((changed,))
    for a, b, factor in zip(plain[:3], left[:3], (4, 2, 1), strict=True):
        assert not torch.allclose(a[..., 0], b[..., 0])
        assert torch.equal(a[..., 2 * factor + 1 :], b[..., 2 * factor + 1 :])


def test_the_base_neck_has_the_parameters_of_vitdet() -> None:
    # Transposed convolutions and their norm, then at four scales 1 x 1 and 3 x 3 without bias, a norm each.
    scales = (768 * 384 * 4 + 384) + 2 * 384 + (384 * 192 * 4 + 192) + (768 * 384 * 4 + 384)
    widths = sum(width * 256 for width in (192, 384, 768, 768))
    with torch.device("meta"):
        neck = SimpleFPN(768)
    assert sum(x.numel() for x in neck.parameters()) == scales + widths + 4 * (256 * 256 * 9 + 4 * 256)


def test_a_width_that_cannot_be_quartered_is_an_error() -> None:
    with pytest.raises(ValueError, match="in_channels must be divisible by 4, got 18"):
        SimpleFPN(18)


def test_ln2d_normalises_the_channels_of_every_place() -> None:
    norm = LN2d(6, eps=1e-6)
    nn.init.normal_(norm.weight)
    map_BCHW = torch.randn(2, 6, 3, 5)
    expected = nn.functional.layer_norm(map_BCHW[1, :, 2, 4], (6,), norm.weight, norm.bias, 1e-6)
    assert torch.allclose(norm(map_BCHW)[1, :, 2, 4], expected, atol=1e-6)
