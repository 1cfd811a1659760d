"""Linear layers that keep little for their backward pass."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvisionllama.models.linear import gated_linear, linear_on_squares, scaled_linear


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def scaled(x: Tensor, weight: Tensor, bias: Tensor, gamma: Tensor) -> Tensor:
    with torch.device("meta"):
        layer = nn.Linear(x.shape[-1], len(bias))
    held = _Held(layer, scaled_linear)
    return torch.func.functional_call(held, {"layer.weight": weight, "layer.bias": bias}, (x, gamma))


def gated(gate: Tensor, up: Tensor, weight: Tensor, bias: Tensor, gamma: Tensor) -> Tensor:
    with torch.device("meta"):
        layer = nn.Linear(gate.shape[-1], len(bias))
    held = _Held(layer, gated_linear)
    return torch.func.functional_call(held, {"layer.weight": weight, "layer.bias": bias}, (gate, up, gamma))


def on_squares(map_BCHW: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    with torch.device("meta"):
        layer = nn.Conv2d(map_BCHW.shape[1], len(bias), 2, 2)
    held = _Held(layer, linear_on_squares)
    return torch.func.functional_call(held, {"layer.weight": weight, "layer.bias": bias}, (map_BCHW,))


def on_squares_of_tokens(x_BNC: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return on_squares(x_BNC.transpose(1, 2).unflatten(2, (4, 2)), weight, bias)


class _Held(nn.Module):
    def __init__(self, layer: nn.Module, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, *args: Tensor) -> Tensor:
        return self.function(self.layer, *args)


every_layer = pytest.mark.parametrize(
    ("layer", "formula", "shapes"),
    [
        (
            scaled,
            lambda x, w, b, gamma: F.linear(x, w, b) * gamma,
            [(2, 3, 4), (5, 4), (5,), (5,)],
        ),
        (
            gated,
            lambda gate, up, w, b, gamma: F.linear(F.silu(gate) * up, w, b) * gamma,
            [(2, 3, 4), (2, 3, 4), (5, 4), (5,), (5,)],
        ),
        (
            on_squares,
            lambda x, w, b: F.conv2d(x, w, b, 2).flatten(2).transpose(1, 2),
            [(2, 3, 4, 2), (5, 3, 2, 2), (5,)],
        ),
        (
            on_squares_of_tokens,
            lambda x, w, b: (
                F.conv2d(x.transpose(1, 2).unflatten(2, (4, 2)), w, b, 2).flatten(2).transpose(1, 2)
            ),
            [(2, 8, 3), (5, 3, 2, 2), (5,)],
        ),
    ],
    ids=["scaled", "gated", "image", "tokens"],
)


@every_layer
def test_a_layer_is_its_formula_with_all_its_derivatives(
    layer: Callable[..., Tensor], formula: Callable[..., Tensor], shapes: list[tuple[int, ...]]
) -> None:
    torch.manual_seed(0)
    given = tuple(draw(*shape) for shape in shapes)
    out, wanted = layer(*given), formula(*given)
    torch.testing.assert_close(out, wanted)
    first, expected = (torch.autograd.grad(x.square().sum(), given) for x in (out, wanted))
    torch.testing.assert_close(first, expected)
    assert torch.autograd.gradcheck(layer, given, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(layer, given, fast_mode=True)


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [(scaled, [(2, 3, 4), (5, 4), (5,), (5,)]), (gated, [(2, 3, 4), (2, 3, 4), (5, 4), (5,), (5,)])],
    ids=["scaled", "gated"],
)
def test_a_layer_keeps_its_inputs_and_parameters_alone(
    layer: Callable[..., Tensor], shapes: list[tuple[int, ...]]
) -> None:
    given, kept = tuple(draw(*shape) for shape in shapes), set()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.add(x.data_ptr()) or x, lambda x: x):
        layer(*given)
    assert kept <= {x.data_ptr() for x in given}


@pytest.mark.parametrize(
    ("build", "run", "shape"),
    [
        (lambda: nn.Linear(4, 5), lambda layer, x: scaled_linear(layer, x, torch.full((5,), 0.5)), (2, 3, 4)),
        (lambda: nn.Conv2d(3, 5, 2, 2), linear_on_squares, (2, 3, 4, 2)),
    ],
    ids=["linear", "convolution"],
)
def test_a_layer_with_a_hook_is_called(
    build: Callable[[], nn.Module], run: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    layer, x, seen = build(), torch.randn(shape), []
    expected = run(layer, x)
    layer.register_forward_hook(lambda module, args, out: seen.append(out))
    torch.testing.assert_close(run(layer, x), expected)
    assert len(seen) == 1
