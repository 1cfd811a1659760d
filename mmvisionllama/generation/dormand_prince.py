"""Dormand-Prince ODE solver of order 5 with a step size for every sample of a batch."""

from collections.abc import Callable

import torch
from torch import Tensor

from mmvisionllama.errors import SamplingError

# Dormand and Prince 1980, Tab. 2: places within a step, weights of the earlier slopes, error of order 4.
_PLACES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_WEIGHTS = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
# Faster growth would follow rounding errors, so that results would depend on the batch size.
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 4.0
_MOST_STEPS = 10_000


def integrate(
    slope: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    start: float,
    end: float,
    *,
    rtol: float,
    atol: float,
) -> Tensor:
    """Solve dx/dt = slope(t, x) from ``start`` to ``end``, each sample with the steps that it needs.

    Args:
        slope: Of times (B,) and a batch.
        x: (B, ...); no sample's steps depend on another sample.

    Raises:
        SamplingError: if a slope is not finite, or 10,000 steps do not suffice.
    """
    t_B = x.new_full((len(x),), start)
    first = slope(t_B, x)
    step_B = _first_step(slope, t_B, x, first, end - start, rtol, atol)
    for number in range(1, _MOST_STEPS + 1):
        left_B = end - t_B
        if not (left_B > 0).any():
            return x
        step_B = torch.minimum(step_B, left_B)
        slopes = [first]
        for place, weights in zip(_PLACES, _WEIGHTS, strict=True):
            y = x + _wide(step_B, x) * _weighted(weights, slopes)
            slopes.append(slope(t_B + place * step_B, y))
        error = _wide(step_B, x) * _weighted(_ERROR, slopes)
        ratio_B = _size(error / (atol + rtol * torch.maximum(x.abs(), y.abs())))
        if not ratio_B.isfinite().all():
            raise SamplingError(
                f"step {number}: dopri5 met a slope that is not finite at times {t_B.min():g} to "
                f"{t_B.max():g}"
            )
        accepted_B = ratio_B <= 1
        done_B = accepted_B & (step_B == left_B)
        t_B = torch.where(done_B, torch.full_like(t_B, end), torch.where(accepted_B, t_B + step_B, t_B))
        x = torch.where(_wide(accepted_B, x), y, x)
        first = torch.where(_wide(accepted_B, x), slopes[-1], first)
        factor_B = _SAFETY * ratio_B.clamp(min=1e-10) ** -0.2
        step_B = step_B * factor_B.clamp(_SHRINK, _GROW).where(accepted_B, factor_B.clamp(_SHRINK, 1.0))
    raise SamplingError(
        f"dopri5 stands at times {t_B.min():g} to {t_B.max():g} after {_MOST_STEPS:,} steps: "
        f"rtol={rtol:g} and atol={atol:g} are too fine"
    )


def _first_step(
    slope: Callable[[Tensor, Tensor], Tensor],
    t_B: Tensor,
    x: Tensor,
    first: Tensor,
    span: float,
    rtol: float,
    atol: float,
) -> Tensor:
    """Guess a step from how fast value and slope change (Hairer, Norsett and Wanner, Sec. II.4)."""
    scale = atol + rtol * x.abs()
    value_B, slope_B = _size(x / scale), _size(first / scale)
    guess_B = torch.where((value_B < 1e-5) | (slope_B < 1e-5), 1e-6, 0.01 * value_B / slope_B)
    second = slope(t_B + guess_B, x + _wide(guess_B, x) * first)
    bend_B = _size((second - first) / scale) / guess_B
    largest_B = torch.maximum(slope_B, bend_B)
    better_B = torch.where(largest_B <= 1e-15, (guess_B * 1e-3).clamp(min=1e-6), (0.01 / largest_B) ** 0.2)
    return torch.minimum(100 * guess_B, better_B).clamp(max=span)


def _weighted(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    return sum(weight * one for weight, one in zip(weights, slopes, strict=True) if weight)


def _size(x: Tensor) -> Tensor:
    return x.flatten(1).square().mean(1).sqrt()


def _wide(value_B: Tensor, like: Tensor) -> Tensor:
    return value_B.view(-1, *(1,) * (like.ndim - 1))
