"""Linear layers that keep little for their backward pass: scaled, gated, and on squares of a map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import checkpoint

from mmvisionllama.host_internals import is_watched


def scaled_linear(layer: nn.Module, x: Tensor, gamma: Tensor | None) -> Tensor:
    """Apply a layer and LayerScale (None: none). While training, its weight is scaled, and not what it makes.

    The products with ``gamma``, of every token else, then need not be kept for its gradient. A compiler
    decides itself what it keeps.
    """
    if gamma is None:
        return layer(x)
    if torch.is_grad_enabled() and _is_eager(layer, nn.Linear):
        return _Linear.apply(x, None, layer.weight, layer.bias, gamma)
    return layer(x) * gamma


def gated_linear(layer: nn.Module, gate: Tensor, up: Tensor, gamma: Tensor | None) -> Tensor:
    """Apply a layer to SiLU(gate) * up, and LayerScale; of the product, the two alone are kept."""
    if _is_eager(layer, nn.Linear):
        if torch.is_grad_enabled() or gamma is None:
            return _Linear.apply(gate, up, layer.weight, layer.bias, gamma)
        return _Linear.apply(gate, up, layer.weight, layer.bias, None) * gamma
    if torch.compiler.is_compiling() and not torch.compiler.is_exporting() and torch.is_grad_enabled():
        hidden = checkpoint(gated, gate, up, use_reentrant=False, preserve_rng_state=False)
    else:
        hidden = gated(gate, up)
    return scaled_linear(layer, hidden, gamma)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """Return SiLU(gate) * up."""
    return F.silu(gate) * up


def linear_on_squares(conv: nn.Module, map_BCHW: Tensor) -> Tensor:
    """Convolve squares that do not overlap: (B, N, D). But in exported graphs, this is one matrix product.

    Inductor fixes the layout of a convolution's input at the first size that it trains, and fails at others.

    Args:
        conv: Its stride is the side of its kernel, which divides the map's.
    """
    exported = torch.compiler.is_exporting() or torch.jit.is_tracing()
    if exported or not _is_bare(conv, nn.Conv2d) or conv.groups > 1:
        return conv(map_BCHW).flatten(2).transpose(1, 2)
    side = conv.kernel_size[0]
    map_BCYSXT = map_BCHW.unflatten(3, (-1, side)).unflatten(2, (-1, side))
    square_BNK = map_BCYSXT.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    return F.linear(square_BNK, conv.weight.flatten(1), conv.bias)


def _is_eager(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a layer may be computed by our own steps; graphs of other tools get calls."""
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return _is_bare(layer, kind) and not traced


def _is_bare(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a layer may be computed from its weights, without a call."""
    return type(layer) is kind and not is_watched(layer)


class _Linear(torch.autograd.Function):
    """A linear layer of x, or of SiLU(x) * up, with scaled rows or not: it keeps what it is given, alone."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, up: Tensor | None, weight: Tensor, bias: Tensor | None, gamma: Tensor | None
    ) -> Tensor:
        hidden = x if up is None else F.silu(x).mul_(up)
        return F.linear(hidden, *_scaled(weight, bias, gamma))

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, up, weight, bias, gamma = ctx.saved_tensors
        grad_weight = grad_bias = grad_gamma = None
        silu = None if up is None else F.silu(x)
        if any(ctx.needs_input_grad[2:]):
            rows = grad.reshape(-1, grad.shape[-1])
            hidden = x if up is None else silu * up
            grad_weight = rows.T @ hidden.reshape(-1, hidden.shape[-1]).to(grad.dtype)
            grad_bias = None if bias is None else rows.sum(0)
            del hidden  # before there is its gradient
            if gamma is not None:
                grad_gamma = (grad_weight * weight).sum(1)
                grad_gamma = grad_gamma if bias is None else grad_gamma + grad_bias * bias
                grad_weight, grad_bias = _scaled(grad_weight, grad_bias, gamma)
        grads = grad_weight, grad_bias, grad_gamma
        if not any(ctx.needs_input_grad[:2]):
            return None, None, *grads
        grad_hidden = grad @ _scaled(weight, None, gamma)[0].to(grad.dtype)
        if up is None:
            return grad_hidden, None, *grads
        if torch.is_grad_enabled():  # it is differentiated again, which nothing done in place can be
            return grad_hidden * up * _silu_slope(x), grad_hidden * silu, *grads
        grad_up = silu.mul_(grad_hidden)
        grad_gate = grad_hidden.mul_(up)
        torch.ops.aten.silu_backward.grad_input(grad_gate, x, grad_input=grad_gate)
        return grad_gate, grad_up, *grads

    @staticmethod
    def jvp(ctx: FunctionCtx, *slopes: Tensor | None) -> Tensor:
        """Give the derivative along a direction."""
        x, up, weight, bias, gamma = given = ctx.saved_tensors
        x_slope, up_slope, weight_slope, bias_slope, gamma_slope = (
            None if value is None else torch.zeros_like(value) if slope is None else slope
            for value, slope in zip(given, slopes, strict=True)
        )
        hidden, hidden_slope = x, x_slope
        if up is not None:
            hidden = gated(x, up)
            hidden_slope = x_slope * _silu_slope(x) * up + gated(x, up_slope)
        slope = F.linear(hidden_slope, *_scaled(weight, None, gamma))
        slope = slope + F.linear(hidden, *_scaled(weight_slope, bias_slope, gamma))
        return slope if gamma is None else slope + F.linear(hidden, *_scaled(weight, bias, gamma_slope))


def _scaled(weight: Tensor, bias: Tensor | None, gamma: Tensor | None) -> tuple[Tensor, Tensor | None]:
    if gamma is None:
        return weight, bias
    return weight * gamma[:, None], None if bias is None else bias * gamma


def _silu_slope(x: Tensor) -> Tensor:
    share = x.sigmoid()
    return share * (1 + x * (1 - share))
