"""Linear layers that keep little for their backward pass: scaled, gated, and on squares of a map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import checkpoint

from mmvisionllama.host_internals import is_watched
from mmvisionllama.models.grids import is_free


def scaled_linear(layer: nn.Module, x: Tensor, gamma: Tensor | None) -> Tensor:
    """Apply a layer and LayerScale (None: none). While training, its weight is scaled, and not what it makes.

    The products with ``gamma``, of every token else, then need not be kept for its gradient.
    """
    if gamma is None:
        return layer(x)
    if not (torch.is_grad_enabled() and _is_plain(layer, nn.Linear)):
        return layer(x) * gamma
    if torch.compiler.is_compiling():
        return F.linear(x, *_scaled(layer.weight, layer.bias, gamma))
    return _ScaledLinear.apply(*_as_autocast(x), layer.weight, layer.bias, gamma)


def gated_linear(layer: nn.Module, gate: Tensor, up: Tensor, gamma: Tensor | None) -> Tensor:
    """Apply a layer to SiLU(gate) * up, and LayerScale; of the product, the two alone are kept."""
    if _is_plain(layer, nn.Linear) and not torch.compiler.is_compiling():
        return _GatedLinear.apply(*_as_autocast(gate, up), layer.weight, layer.bias, gamma)
    if torch.compiler.is_compiling() and not torch.compiler.is_exporting() and torch.is_grad_enabled():
        hidden = checkpoint(gated, gate, up, use_reentrant=False, preserve_rng_state=False)
    else:
        hidden = gated(gate, up)
    return scaled_linear(layer, hidden, gamma)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """Return SiLU(gate) * up."""
    return F.silu(gate) * up


def linear_on_squares(conv: nn.Module, map_BCHW: Tensor) -> Tensor:
    """Convolve squares that do not overlap: (B, N, D). Outside of exports this is one matrix product.

    Args:
        conv: Its stride is the side of its kernel, which divides the map's.
    """
    if not _is_plain(conv, nn.Conv2d) or conv.groups > 1 or is_free(map_BCHW.shape[2:]):
        return conv(map_BCHW).flatten(2).transpose(1, 2)
    channels_last = map_BCHW.stride(1) == 1  # tokens as a map; the rows of an image are contiguous instead
    if torch.compiler.is_compiling():
        square_BNK = _squares(map_BCHW, conv.kernel_size[0], channels_last)
        return F.linear(square_BNK, _flat_kernel(conv.weight, channels_last), conv.bias)
    return _LinearOnSquares.apply(*_as_autocast(map_BCHW), conv.weight, conv.bias, channels_last)


def _is_plain(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a layer may be computed from its weights, without a call; graphs of other tools get calls."""
    exported = torch.jit.is_tracing() or torch.compiler.is_exporting()
    return type(layer) is kind and not is_watched(layer) and not exported


def _as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Convert the inputs of a matrix product as autocast does."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(x if x.dtype == torch.float64 else x.to(dtype) for x in tensors)


# --- scaled and gated -------------------------------------------------------------------------------------


def _scaled(weight: Tensor, bias: Tensor | None, gamma: Tensor | None) -> tuple[Tensor, Tensor | None]:
    if gamma is None:
        return weight, bias
    weight = (weight * gamma[:, None]).to(weight.dtype)
    return weight, None if bias is None else (bias * gamma).to(weight.dtype)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def _rows(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _weight_gradients(
    grad: Tensor,
    hidden: Tensor,
    parameters: tuple[Tensor, Tensor | None, Tensor | None],
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Give the gradients of weight, bias and LayerScale of a layer that got ``hidden``."""
    (weight, bias, gamma), (for_weight, for_bias, for_gamma) = parameters, wanted
    grad_weight = grad_bias = grad_gamma = None
    if for_weight or for_gamma:
        grad_weight = (_rows(grad).T @ _rows(hidden)).to(weight.dtype)
    if for_bias or (for_gamma and bias is not None):
        grad_bias = _rows(grad).sum(0).to(weight.dtype)
    if for_gamma:
        grad_gamma = (grad_weight * weight).sum(1)
        if bias is not None:
            grad_gamma = grad_gamma + grad_bias * bias
    if gamma is not None:
        if for_weight:
            grad_weight = grad_weight * gamma[:, None]
        if for_bias:
            grad_bias = grad_bias * gamma
    return grad_weight if for_weight else None, grad_bias if for_bias else None, grad_gamma


def _slope(
    hidden: Tensor,
    hidden_slope: Tensor | None,
    parameters: tuple[Tensor, Tensor | None, Tensor | None],
    slopes: tuple[Tensor | None, ...],
) -> Tensor:
    """Give the derivative of such a layer along a direction."""
    (weight, bias, gamma), (weight_slope, bias_slope, gamma_slope) = parameters, slopes
    parts = [] if hidden_slope is None else [F.linear(hidden_slope, weight)]
    parts += [] if weight_slope is None else [F.linear(hidden, weight_slope)]
    parts += [] if bias_slope is None else [bias_slope.expand(*hidden.shape[:-1], -1)]
    parts = parts if gamma is None else [part * gamma for part in parts]
    parts += [] if gamma_slope is None else [F.linear(hidden, weight, bias) * gamma_slope]
    return sum(parts)


class _ScaledLinear(torch.autograd.Function):
    """A linear layer whose rows are scaled; neither what it made before nor the scaled weight is kept."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, gamma: Tensor) -> Tensor:
        return _linear(x, *_scaled(weight, bias, gamma))

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters = ctx.saved_tensors
        for_x, *wanted = ctx.needs_input_grad
        grad_x = grad @ _scaled(*parameters)[0].to(grad.dtype) if for_x else None
        return grad_x, *_weight_gradients(grad, x, parameters, wanted)

    @staticmethod
    def jvp(ctx: FunctionCtx, *slopes: Tensor | None) -> Tensor:
        """Give the derivative along a direction."""
        x, *parameters = ctx.saved_tensors
        return _slope(x, slopes[0], parameters, slopes[1:])


class _GatedLinear(torch.autograd.Function):
    """A linear layer, scaled or not, of SiLU(gate) * up, which is made anew for the gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        gate: Tensor, up: Tensor, weight: Tensor, bias: Tensor | None, gamma: Tensor | None
    ) -> Tensor:
        return _linear(F.silu(gate).mul_(up), *_scaled(weight, bias, gamma))

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        gate, up, *parameters = ctx.saved_tensors
        silu = F.silu(gate)
        wanted = ctx.needs_input_grad[2:]
        gradients = _weight_gradients(grad, silu * up if any(wanted) else None, parameters, wanted)
        # Last, so that the product above has gone.
        grad_hidden = grad @ _scaled(*parameters)[0].to(grad.dtype)
        if torch.is_grad_enabled():  # it is differentiated again, which nothing done in place can be
            return grad_hidden * up * _silu_slope(gate), grad_hidden * silu, *gradients
        grad_up = silu.mul_(grad_hidden)
        grad_gate = grad_hidden.mul_(up)
        torch.ops.aten.silu_backward.grad_input(grad_gate, gate, grad_input=grad_gate)
        return grad_gate, grad_up, *gradients

    @staticmethod
    def jvp(ctx: FunctionCtx, *slopes: Tensor | None) -> Tensor:
        """Give the derivative along a direction."""
        gate, up, *parameters = ctx.saved_tensors
        gate_slope, up_slope = slopes[:2]
        silu = F.silu(gate)
        parts = [] if gate_slope is None else [gate_slope * _silu_slope(gate) * up]
        parts += [] if up_slope is None else [silu * up_slope]
        return _slope(silu * up, sum(parts) if parts else None, parameters, slopes[2:])


def _silu_slope(x: Tensor) -> Tensor:
    share = x.sigmoid()
    return share * (1 + x * (1 - share))


# --- on squares of a map ----------------------------------------------------------------------------------


def _squares(map_BCHW: Tensor, side: int, channels_last: bool) -> Tensor:
    """Cut a map into squares: (B, N, K), with the channels of one in the order of their memory."""
    if channels_last:
        map_BYSXTC = map_BCHW.permute(0, 2, 3, 1).unflatten(2, (-1, side)).unflatten(1, (-1, side))
        return map_BYSXTC.transpose(2, 3).flatten(3).flatten(1, 2)
    map_BCYSXT = map_BCHW.unflatten(3, (-1, side)).unflatten(2, (-1, side))
    return map_BCYSXT.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def _map_of_squares(
    square_BNK: Tensor, shape: tuple[int, ...] | torch.Size, side: int, channels_last: bool
) -> Tensor:
    """Put squares together again, to a map of this shape."""
    _, channels, *hw = shape
    rows, cols = (n // side for n in hw)
    if channels_last:
        map_BYXSTC = square_BNK.unflatten(2, (side, side, channels)).unflatten(1, (rows, cols))
        return map_BYXSTC.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
    map_BYXCST = square_BNK.unflatten(2, (channels, side, side)).unflatten(1, (rows, cols))
    return map_BYXCST.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def _flat_kernel(weight_DCST: Tensor, channels_last: bool) -> Tensor:
    return (weight_DCST.permute(0, 2, 3, 1) if channels_last else weight_DCST).flatten(1)


class _LinearOnSquares(torch.autograd.Function):
    """A convolution of squares as a matrix product, which keeps the map and not its squares."""

    generate_vmap_rule = True

    @staticmethod
    def forward(map_BCHW: Tensor, weight: Tensor, bias: Tensor | None, channels_last: bool) -> Tensor:
        square_BNK = _squares(map_BCHW, weight.shape[-1], channels_last)
        return _linear(square_BNK, _flat_kernel(weight, channels_last), bias)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor | bool | None, ...], output: Tensor) -> None:
        *kept, ctx.channels_last = inputs
        ctx.save_for_backward(*kept[:2])
        ctx.save_for_forward(*kept[:2])

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        (map_BCHW, weight), last = ctx.saved_tensors, ctx.channels_last
        for_map, *wanted, _ = ctx.needs_input_grad
        side, kernel = weight.shape[-1], _flat_kernel(weight, last)
        square_BNK = _squares(map_BCHW, side, last) if any(wanted) else None
        parameters = (kernel, None, None)
        grad_kernel, grad_bias, _ = _weight_gradients(grad, square_BNK, parameters, (*wanted, False))
        grad_weight = grad_kernel
        if grad_kernel is not None and last:
            grad_weight = grad_kernel.unflatten(1, (side, side, -1)).permute(0, 3, 1, 2)
        elif grad_kernel is not None:
            grad_weight = grad_kernel.unflatten(1, weight.shape[1:])
        grad_map = None
        if for_map:
            grad_map = _map_of_squares(grad @ kernel.to(grad.dtype), map_BCHW.shape, side, last)
        return grad_map, grad_weight, grad_bias, None

    @staticmethod
    def jvp(
        ctx: FunctionCtx,
        map_slope: Tensor | None,
        weight_slope: Tensor | None,
        bias_slope: Tensor | None,
        _: None,
    ) -> Tensor:
        """Give the derivative along a direction."""
        (map_BCHW, weight), last = ctx.saved_tensors, ctx.channels_last
        hidden, slope = (
            None if x is None else _squares(x, weight.shape[-1], last) for x in (map_BCHW, map_slope)
        )
        kernel, kernel_slope = (None if x is None else _flat_kernel(x, last) for x in (weight, weight_slope))
        return _slope(hidden, slope, (kernel, None, None), (kernel_slope, bias_slope, None))
