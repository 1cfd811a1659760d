"""The parts of a block."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvisionllama.models.layers import SwiGLU


def test_swiglu_is_its_formula_with_its_gradients() -> None:
    torch.manual_seed(0)
    ffn = SwiGLU(8, hidden_dims=12).double()
    x = torch.randn(2, 5, 8, dtype=torch.float64, requires_grad=True)
    formula = (F.silu(x @ ffn.gate.weight.T) * (x @ ffn.up.weight.T)) @ ffn.down.weight.T
    wanted = torch.autograd.grad(formula.square().sum(), (x, *ffn.parameters()))
    out = ffn(x)
    torch.testing.assert_close(out, formula)
    torch.testing.assert_close(torch.autograd.grad(out.square().sum(), (x, *ffn.parameters())), wanted)


def test_swiglu_keeps_three_hidden_activations_for_the_backward_pass() -> None:
    kept: set[int] = set()

    def note(tensor: Tensor) -> Tensor:
        if tensor.shape == (2, 5, 12) or tensor.shape == (10, 12):
            kept.add(tensor.data_ptr())
        return tensor

    ffn = SwiGLU(8, hidden_dims=12)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = ffn(torch.randn(2, 5, 8, requires_grad=True))
    assert out.shape == (2, 5, 8)
    assert len(kept) == 3  # gate, up, and their product: the input of the last layer
