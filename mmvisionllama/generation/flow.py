"""Interpolants of SiT: paths between noise and data, training loss, velocity and score."""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mmvisionllama.arguments import Component, PositiveNumber, Within, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.registry import MODELS, build_component

# From an end of the way between noise and data, which has the length 1: two of them leave something of it.
Distance = Annotated[float, Within("[0, 0.5)")]


class InterpolantPath:
    """How noise (t = 0) and data (t = 1) are mixed: alpha(t) x data + sigma(t) x noise (SiT, Sec. 2).

    Attributes:
        pure_noise_at_0: Whether alpha(0) is 0, so that alpha'/alpha has no bound there.
        default_eps: What is kept away from times where a conversion has no bound.
    """

    pure_noise_at_0 = True
    bounded_velocity = True
    default_eps = 1e-3

    def alpha(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def sigma(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def d_alpha(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def d_sigma(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def log_alpha_slope(self, t: Tensor) -> Tensor:
        """Give alpha'/alpha."""
        return self.d_alpha(t) / self.alpha(t)

    def score_share(self, t: Tensor) -> Tensor:
        """Give the factor on the score in the velocity: sigma^2 alpha'/alpha - sigma sigma'."""
        sigma = self.sigma(t)
        return self.log_alpha_slope(t) * sigma.square() - sigma * self.d_sigma(t)


@MODELS.register_module()
class LinearPath(InterpolantPath):
    """Straight lines."""

    def alpha(self, t: Tensor) -> Tensor:
        return t

    def sigma(self, t: Tensor) -> Tensor:
        return 1 - t

    def d_alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)


@MODELS.register_module()
class GVPPath(InterpolantPath):
    """A quarter of a circle: the variance is kept (generalised variance-preserving)."""

    def alpha(self, t: Tensor) -> Tensor:
        return (t * math.pi / 2).sin()

    def sigma(self, t: Tensor) -> Tensor:
        return (t * math.pi / 2).cos()

    def d_alpha(self, t: Tensor) -> Tensor:
        return math.pi / 2 * (t * math.pi / 2).cos()

    def d_sigma(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * (t * math.pi / 2).sin()


@MODELS.register_module()
class VPPath(InterpolantPath):
    """The variance-preserving diffusion in continuous time, with time reversed.

    Args:
        beta_min: Rate of the noise at the data.
        beta_max: Rate of the noise at the noise.
    """

    pure_noise_at_0 = False
    bounded_velocity = False
    default_eps = 1e-5

    @checked
    def __init__(self, *, beta_min: PositiveNumber = 0.1, beta_max: PositiveNumber = 20.0) -> None:
        if beta_min > beta_max:
            raise ArgumentError(f"need 0 < beta_min <= beta_max, got {beta_min} and {beta_max}")
        self.beta_min, self.beta_max = beta_min, beta_max

    def alpha(self, t: Tensor) -> Tensor:
        return self._log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        return (1 - (2 * self._log_alpha(t)).exp()).sqrt()

    def d_alpha(self, t: Tensor) -> Tensor:
        return self.alpha(t) * self.log_alpha_slope(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        return -self.alpha(t).square() * self.log_alpha_slope(t) / self.sigma(t)

    def log_alpha_slope(self, t: Tensor) -> Tensor:
        return ((1 - t) * (self.beta_max - self.beta_min) + self.beta_min) / 2

    def _log_alpha(self, t: Tensor) -> Tensor:
        return -((1 - t).square() * (self.beta_max - self.beta_min) / 2 + (1 - t) * self.beta_min) / 2


@MODELS.register_module()
class Interpolant:
    """Train the network to predict velocity, noise or score on a path from noise to data (SiT).

    Args:
        path: ``LinearPath``, ``GVPPath`` or ``VPPath``.
        prediction: What the network predicts.
        weighting: Of the loss of a noise or score: ``velocity``: as if the velocity were predicted;
            ``likelihood``: a bound on the likelihood (SiT, Sec. 2.3). None: all times count the same.
        eps: How far to stay from times at which a conversion has no bound; None: the path's.

    Raises:
        ValueError: for an unknown choice, or a weighting of a velocity.
    """

    outputs = 1

    @checked
    def __init__(
        self,
        *,
        path: Component = dict(type="LinearPath"),  # noqa: B006  (read only)
        prediction: Literal["velocity", "noise", "score"] = "velocity",
        weighting: Literal["velocity", "likelihood"] | None = None,
        eps: Distance | None = None,
    ) -> None:
        self.path: InterpolantPath = build_component(path)
        self.prediction, self.weighting = prediction, weighting
        if weighting is not None and prediction == "velocity":
            raise ArgumentError(f"weighting {weighting!r} is for prediction 'noise' or 'score'")
        self.eps = self.path.default_eps if eps is None else eps

    def interval(self, eps: float | None = None) -> tuple[float, float]:
        """Give the times between which the velocity can be told from what the network predicts."""
        eps = self.eps if eps is None else eps
        converted = self.prediction != "velocity"
        start = eps if converted and self.path.pure_noise_at_0 else 0.0
        return start, 1.0 - (eps if converted or not self.path.bounded_velocity else 0.0)

    def times(self, uniform_B: Tensor) -> Tensor:
        """Turn numbers in [0, 1) into times of training."""
        start, end = self.interval()
        return start + uniform_B * (end - start)

    def diffuse(self, x: Tensor, time_B: Tensor, noise: Tensor) -> Tensor:
        """Mix data and noise as they are at a time."""
        t = time_B[:, None, None, None]
        return self.path.alpha(t) * x + self.path.sigma(t) * noise

    def loss(
        self, network: nn.Module, x: Tensor, label_B: Tensor, time_B: Tensor, noise: Tensor
    ) -> dict[str, Tensor]:
        """Compare the prediction with its target: ``loss_mse``, (B,)."""
        t, path = time_B[:, None, None, None], self.path
        output = self.cut(network(self.diffuse(x, time_B, noise), time_B, label_B), x)
        if self.prediction == "velocity":
            error = output - (path.d_alpha(t) * x + path.d_sigma(t) * noise)
        elif self.prediction == "noise":
            error = output - noise
        else:
            error = output * path.sigma(t) + noise
        return {"loss_mse": (self._weight(t) * error.square()).flatten(1).mean(1)}

    def velocity(self, output: Tensor, x: Tensor, time_B: Tensor) -> Tensor:
        """Turn an output of the network into the velocity of ``x``."""
        if self.prediction == "velocity":
            return self.cut(output, x)
        t = time_B[:, None, None, None]
        return self.path.log_alpha_slope(t) * x + self.path.score_share(t) * self.score(output, x, time_B)

    def score(self, output: Tensor, x: Tensor, time_B: Tensor) -> Tensor:
        """Turn an output of the network into the gradient of the log density at ``x``."""
        t, output = time_B[:, None, None, None], self.cut(output, x)
        if self.prediction == "score":
            return output
        sigma = self.path.sigma(t)
        if self.prediction == "noise":
            return -output / sigma
        slope = self.path.alpha(t) / self.path.d_alpha(t)
        return (slope * output - x) / (sigma.square() - slope * self.path.d_sigma(t) * sigma)

    def expected_data(self, output: Tensor, x: Tensor, time_B: Tensor) -> Tensor:
        """Turn an output of the network into the mean of the data that ``x`` may have come from (Tweedie)."""
        t = time_B[:, None, None, None]
        variance = self.path.sigma(t).square()
        return (x + variance * self.score(output, x, time_B)) / self.path.alpha(t)

    def _weight(self, t: Tensor) -> Tensor:
        if self.weighting is None:
            return torch.ones_like(t)
        ratio = self.path.score_share(t) / self.path.sigma(t)
        return ratio.square() if self.weighting == "velocity" else ratio / self.path.sigma(t)

    @staticmethod
    def cut(output: Tensor, x: Tensor) -> Tensor:
        """Drop the outputs that a network has beyond one per channel."""
        return output[:, : x.shape[1]]
