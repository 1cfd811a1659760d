"""Samplers of SiT: solvers of the flow's ordinary and stochastic differential equations."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated, Literal, NoReturn

import torch
from torch import Tensor
from torchdiffeq import odeint

from mmvisionllama.arguments import NotNegative, Positive, PositiveNumber, Within, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.generation.dormand_prince import integrate
from mmvisionllama.generation.flow import Distance, Interpolant, InterpolantPath
from mmvisionllama.generation.guidance import Predict
from mmvisionllama.generation.samplers import NoiseSource, Sampler, last_state
from mmvisionllama.registry import MODELS
from mmvisionllama.suggestions import choose

# Where in a step torchdiffeq's methods ask for the slope.
_PLACES = {
    "euler": (0.0,),
    "midpoint": (0.0, 1 / 2),
    "heun2": (0.0, 1.0),
    "heun3": (0.0, 1 / 3, 2 / 3),
    "rk4": (0.0, 1 / 3, 2 / 3, 1.0),
}


@MODELS.register_module()
class ODESampler(Sampler):
    """Follow the flow from noise to data.

    Args:
        method: ``dopri5`` chooses its steps, for each sample on its own; ``euler``, ``midpoint``, ``heun2``,
            ``heun3`` and ``rk4`` take ``steps`` equal ones.
        rtol: Relative tolerance of ``dopri5``, in [0, 1).
        atol: Its absolute tolerance, above 0.
        eps: How far to stay from times at which the velocity can't be told, in [0, 0.5); None: the
            objective's.
    """

    objective = Interpolant

    @checked
    def __init__(
        self,
        *,
        method: Literal["dopri5", "euler", "midpoint", "heun2", "heun3", "rk4"] = "dopri5",
        steps: Positive = 250,
        rtol: Annotated[float, Within("[0, 1)")] = 1e-3,
        atol: PositiveNumber = 1e-6,
        eps: Distance | None = None,
    ) -> None:
        self.method, self.steps = method, steps
        self.rtol, self.atol, self.eps = rtol, atol, eps

    def check(self, objective: Interpolant) -> None:
        super().check(objective)
        eps = objective.eps if self.eps is None else self.eps
        if eps <= 0 and objective.interval(1e-3) != (0.0, 1.0):
            _refuse_eps(eps, f"the velocity of a {objective.prediction} on {type(objective.path).__name__}")

    def times(self, objective: Interpolant) -> Tensor | None:
        if self.method == "dopri5":
            return None
        time_S = torch.linspace(*objective.interval(self.eps), self.steps + 1)
        place_P = torch.tensor(_PLACES[self.method])
        return torch.lerp(time_S[:-1, None], time_S[1:, None], place_P).flatten()

    def states(self, objective: Interpolant, predict: Predict, draw: NoiseSource) -> Iterator[Tensor]:
        def velocity(time_B: Tensor, x: Tensor) -> Tensor:
            return objective.velocity(predict(x, time_B), x, time_B)

        yield from self._solve(velocity, draw(), *objective.interval(self.eps))

    def log_likelihood(
        self, objective: Interpolant, predict: Predict, x: Tensor, draw: NoiseSource
    ) -> tuple[Tensor, Tensor]:
        """Follow data back to noise, and count how the flow squeezes the space around it.

        The divergence is estimated along a random direction of signs, drawn anew for every evaluation by the
        methods of equal steps, and once by ``dopri5``.

        Returns:
            Log density in nats, (B,), and the noise that ``x`` came from.
        """
        shape, size = x.shape, x[0].numel()
        fixed = draw().sign() if self.method == "dopri5" else None

        def backward(back_B: Tensor, state_BM: Tensor) -> Tensor:
            direction = draw().sign() if fixed is None else fixed
            with torch.enable_grad():
                y = state_BM[:, :-1].reshape(shape).detach().requires_grad_()
                velocity = objective.velocity(predict(y, 1 - back_B), y, 1 - back_B)
                (slope,) = torch.autograd.grad((velocity * direction).sum(), y)
            divergence_B = (slope * direction).flatten(1).sum(1)
            return torch.cat((-velocity.detach().flatten(1), divergence_B[:, None]), dim=1)

        start, end = objective.interval(self.eps)
        state_BM = torch.cat((x.flatten(1), x.new_zeros(len(x), 1)), dim=1)
        state_BM = last_state(self._solve(backward, state_BM, 1 - end, 1 - start))
        noise_BN, squeezed_B = state_BM[:, :-1], state_BM[:, -1]
        prior_B = -(noise_BN.square().sum(1) + size * math.log(2 * math.pi)) / 2
        return prior_B - squeezed_B, noise_BN.reshape(shape)

    def _solve(
        self, slope: Callable[[Tensor, Tensor], Tensor], x: Tensor, start: float, end: float
    ) -> Iterator[Tensor]:
        if self.method == "dopri5":
            # torchdiffeq has one step size for a whole batch: samples would depend on each other.
            yield integrate(slope, x, start, end, rtol=self.rtol, atol=self.atol)
            return
        for interval in pairwise(torch.linspace(start, end, self.steps + 1, device=x.device)):
            times = torch.stack(interval)
            x = odeint(lambda t, y: slope(t.expand(len(y)), y), x, times, method=self.method)[1]
            yield x


# How much noise is added at each time (SiT, Tab. 2): path, time, factor -> w.
DIFFUSIONS: dict[str, Callable[[InterpolantPath, Tensor, float], Tensor]] = {
    "constant": lambda path, t, norm: torch.full_like(t, norm),
    "SBDM": lambda path, t, norm: norm * path.score_share(t),
    "sigma": lambda path, t, norm: norm * path.sigma(t),
    "linear": lambda path, t, norm: norm * (1 - t),
    "decreasing": lambda path, t, norm: (norm * (math.pi * t).cos() + 1).square() / 4,
    "increasing-decreasing": lambda path, t, norm: norm * (math.pi * t).sin().square(),
}


@MODELS.register_module()
class SDESampler(Sampler):
    """Follow the flow while noise is added and the score removes it.

    Args:
        method: ``euler`` (Euler-Maruyama) or ``heun``, which evaluates the network twice a step.
        steps: In all, the last step included.
        diffusion: How the noise depends on time, a name of ``DIFFUSIONS``.
        diffusion_norm: Factor on it, not negative.
        last_step: How the last stretch is made without noise: ``mean``: one step of the equation; ``euler``:
            one of the flow; ``tweedie``: to the expected data; None: there is none.
        last_step_size: Its length in time.
        eps: How far to stay from times at which a conversion has no bound, in [0, 0.5); None: the
            objective's, but at least 1e-3.

    Raises:
        ValueError: for an unknown choice, fewer than two steps, or lengths outside of (0, 1).
    """

    objective = Interpolant

    @checked
    def __init__(
        self,
        *,
        method: Literal["euler", "heun"] = "euler",
        steps: Positive = 250,
        diffusion: str = "sigma",
        diffusion_norm: NotNegative = 1.0,
        last_step: Literal["mean", "euler", "tweedie"] | None = "mean",
        last_step_size: Annotated[float, Within("(0, 1)")] = 0.04,
        eps: Distance | None = None,
    ) -> None:
        self.method, self.last_step = method, last_step
        self.diffusion = choose("diffusion", diffusion, list(DIFFUSIONS))
        self.noisy_steps = steps - (last_step is not None)
        if not self.noisy_steps:
            raise ArgumentError(f"steps must be at least 2, the last one being {last_step!r}, got {steps}")
        self.diffusion_norm, self.last_step_size, self.eps = diffusion_norm, last_step_size, eps

    def check(self, objective: Interpolant) -> None:
        super().check(objective)
        at_end = self.method == "heun" and self.last_step is None
        if self._eps(objective) <= 0 and (at_end or self._unbounded_at_start(objective)):
            what = f"{self.method} without last_step" if at_end else f"{self.diffusion!r} diffusion"
            _refuse_eps(self._eps(objective), f"{what}, of a {objective.prediction},")
        start, end = self._interval(objective)
        if start >= end:
            raise ArgumentError(
                f"eps={start:g} and last_step_size={self.last_step_size:g} leave no time for other steps"
            )

    def times(self, objective: Interpolant) -> Tensor:
        start, end = self._interval(objective)
        length = (end - start) / self.noisy_steps
        first_S = torch.tensor([start + i * length for i in range(self.noisy_steps)])
        places = (0.0, length) if self.method == "heun" else (0.0,)
        time_T = (first_S[:, None] + torch.tensor(places)).flatten()
        return time_T if self.last_step is None else torch.cat((time_T, torch.tensor([end])))

    def states(self, objective: Interpolant, predict: Predict, draw: NoiseSource) -> Iterator[Tensor]:
        def slope(x: Tensor, t: Tensor) -> Tensor:
            output = predict(x, t)
            undone = self._diffusion(objective, t) * objective.score(output, x, t)
            return objective.velocity(output, x, t) + undone

        start, end = self._interval(objective)
        x, length = draw(), (end - start) / self.noisy_steps
        for i in range(self.noisy_steps):
            t = x.new_full((len(x),), start + i * length)
            noise = (2 * length * self._diffusion(objective, t)).sqrt() * draw()
            if self.method == "heun":
                x = x + noise
                first = slope(x, t)
                x = x + length / 2 * (first + slope(x + length * first, t + length))
            else:
                x = x + length * slope(x, t) + noise
            yield x
        t = x.new_full((len(x),), end)
        if self.last_step == "mean":
            yield x + self.last_step_size * slope(x, t)
        elif self.last_step == "euler":
            yield x + self.last_step_size * objective.velocity(predict(x, t), x, t)
        elif self.last_step == "tweedie":
            yield objective.expected_data(predict(x, t), x, t)

    def _interval(self, objective: Interpolant) -> tuple[float, float]:
        eps = self._eps(objective)
        start = eps if self._unbounded_at_start(objective) else 0.0
        return start, 1 - (eps if self.last_step is None else self.last_step_size)

    def _eps(self, objective: Interpolant) -> float:
        return max(objective.eps, 1e-3) if self.eps is None else self.eps

    def _unbounded_at_start(self, objective: Interpolant) -> bool:
        divided = objective.prediction != "velocity" or self.diffusion == "SBDM"
        return divided and objective.path.pure_noise_at_0

    def _diffusion(self, objective: Interpolant, t: Tensor) -> Tensor:
        return DIFFUSIONS[self.diffusion](objective.path, t, self.diffusion_norm)[:, None, None, None]


def _refuse_eps(eps: float, what: str) -> NoReturn:
    raise ArgumentError(f"eps must be above 0, got {eps:g}: {what} has no bound at time 0 or 1")
