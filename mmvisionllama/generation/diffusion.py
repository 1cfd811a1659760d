"""Gaussian diffusion of DiT: noise schedules, training loss, reverse step (DDPM, iDDPM)."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmvisionllama.arguments import AtLeast, checked
from mmvisionllama.registry import MODELS

_LEVELS = 255  # an 8-bit pixel in [-1, 1] stands for an interval of 2/255


class NoiseSchedule:
    """The numbers of every step, float64 on the CPU; step 0 is the least noisy.

    Args:
        beta_T: Variance that each step adds.
        time_T: The number of each step that the network gets; None: its index.
    """

    def __init__(self, beta_T: Tensor, time_T: Tensor | None = None) -> None:
        self.time_T = torch.arange(len(beta_T)) if time_T is None else time_T
        self.beta_T = beta_T.double()
        self.signal_T = (1 - self.beta_T).cumprod(0)  # share of the variance that is signal, "alpha bar"
        self.signal_before_T = torch.cat((self.signal_T.new_ones(1), self.signal_T[:-1]))
        noise_T, noise_before_T = 1 - self.signal_T, 1 - self.signal_before_T
        variance_T = self.beta_T * noise_before_T / noise_T
        # The variance of the last step before the data is 0: the second's takes its place in the logarithm.
        least = variance_T[1:2] if len(beta_T) > 1 else self.beta_T
        self.posterior_log_variance_T = torch.cat((least, variance_T[1:])).log()
        self.clean_share_T = self.beta_T * self.signal_before_T.sqrt() / noise_T
        self.noisy_share_T = (1 - self.beta_T).sqrt() * noise_before_T / noise_T

    def __len__(self) -> int:
        return len(self.beta_T)

    def respaced(self, steps: Sequence[int]) -> "NoiseSchedule":
        """Keep these steps alone, ascending: a shorter process of the same noise levels (iDDPM, Sec. 4)."""
        kept = torch.as_tensor(steps)
        signal_T = self.signal_T[kept]
        before_T = torch.cat((signal_T.new_ones(1), signal_T[:-1]))
        return NoiseSchedule(1 - signal_T / before_T, self.time_T[kept])


class ReverseStep(NamedTuple):
    """The Gaussian of the step before as the network predicts it, and the clean data that it implies."""

    mean: Tensor
    log_variance: Tensor
    clean: Tensor


@MODELS.register_module()
class GaussianDiffusion:
    """Train the network to predict the noise of a random step (DDPM), and the variance (iDDPM).

    Args:
        schedule: ``linear``: variances from 1e-4 to 0.02, for 1,000 steps; ``cosine``: iDDPM, Eq. 17.
        num_steps: Steps from data to noise.
        prediction: ``noise``, as in DiT; ``velocity``: of the way from data to noise along a circle (Salimans
            and Ho 2022, Sec. 4). In the data, an error of the noise is ``sqrt((1 - signal) / signal)`` times
            as large, 20,000 times at the last step; one of the velocity is never larger.
        variance: ``learned_range``: a second output per channel interpolates between the two bounds, trained
            by the variational bound in bits per dimension; ``posterior`` or ``beta``: one of these bounds.

    Raises:
        ValueError: for an unknown choice, or fewer than two steps.
    """

    @checked
    def __init__(
        self,
        *,
        schedule: Literal["linear", "cosine"] = "linear",
        num_steps: Annotated[int, AtLeast(2)] = 1000,
        prediction: Literal["noise", "velocity"] = "noise",
        variance: Literal["learned_range", "posterior", "beta"] = "learned_range",
    ) -> None:
        self.schedule = NoiseSchedule({"linear": linear_betas, "cosine": cosine_betas}[schedule](num_steps))
        self.prediction, self.variance = prediction, variance

    @property
    def outputs(self) -> int:
        """Outputs of the network that are needed for every channel."""
        return 2 if self.variance == "learned_range" else 1

    def times(self, uniform_B: Tensor) -> Tensor:
        """Turn numbers in [0, 1) into steps of training."""
        return (uniform_B * len(self.schedule)).long().clamp(max=len(self.schedule) - 1)

    def diffuse(self, x: Tensor, step_B: Tensor, noise: Tensor) -> Tensor:
        """Give data the noise of a step."""
        of_data, of_noise = _shares(self.schedule, step_B, x)
        return of_data * x + of_noise * noise

    def loss(
        self, network: nn.Module, x: Tensor, label_B: Tensor, step_B: Tensor, noise: Tensor
    ) -> dict[str, Tensor]:
        """Compare a prediction with the truth; each loss is (B,), their sum is what is minimised.

        Returns:
            ``loss_mse``, and ``loss_vb`` where the variance is learned. The bound's gradient reaches the
            variance alone (iDDPM, Sec. 3.1).
        """
        noisy = self.diffuse(x, step_B, noise)
        output = network(noisy, step_B, label_B)
        predicted, rest = output.split((x.shape[1], output.shape[1] - x.shape[1]), dim=1)
        losses = {"loss_mse": (predicted - self._target(x, step_B, noise)).square().flatten(1).mean(1)}
        if self.variance == "learned_range":
            output = torch.cat((predicted.detach(), rest), dim=1)
            losses["loss_vb"] = self._bound(output, x, noisy, step_B)
        return losses

    def reverse(
        self,
        output: Tensor,
        noisy: Tensor,
        step_B: Tensor | int,
        *,
        schedule: NoiseSchedule | None = None,
        clip: bool = False,
    ) -> ReverseStep:
        """Turn an output of the network into the distribution of the step before.

        Args:
            step_B: One for each sample; or a number for all, which asks no device to wait for tables.
            schedule: The respaced one that ``step_B`` counts in; None: that of the training.
            clip: Hold the clean data in [-1, 1].
        """
        schedule = schedule or self.schedule
        channels = noisy.shape[1]
        clean = self._clean(output[:, :channels], noisy, step_B, schedule)
        clean = clean.clamp(-1, 1) if clip else clean
        lower = _at(schedule.posterior_log_variance_T, step_B, noisy)
        upper = _at(schedule.beta_T.log(), step_B, noisy)
        if self.variance == "learned_range":
            share = (output[:, channels : 2 * channels] + 1) / 2
            log_variance = share * upper + (1 - share) * lower
        else:
            log_variance = torch.zeros_like(noisy) + (lower if self.variance == "posterior" else upper)
        return ReverseStep(self._mean(clean, noisy, step_B, schedule), log_variance, clean)

    def _target(self, x: Tensor, step_B: Tensor, noise: Tensor) -> Tensor:
        if self.prediction == "noise":
            return noise
        of_data, of_noise = _shares(self.schedule, step_B, x)
        return of_data * noise - of_noise * x

    def _clean(
        self, predicted: Tensor, noisy: Tensor, step_B: Tensor | int, schedule: NoiseSchedule
    ) -> Tensor:
        if self.prediction == "velocity":
            of_data, of_noise = _shares(schedule, step_B, noisy)
            return of_data * noisy - of_noise * predicted
        signal_T = schedule.signal_T
        clean = _at(signal_T.rsqrt(), step_B, noisy) * noisy
        return clean - _at((1 / signal_T - 1).sqrt(), step_B, noisy) * predicted

    def _mean(self, clean: Tensor, noisy: Tensor, step_B: Tensor | int, schedule: NoiseSchedule) -> Tensor:
        share = _at(schedule.clean_share_T, step_B, noisy)
        return share * clean + _at(schedule.noisy_share_T, step_B, noisy) * noisy

    def _bound(self, output: Tensor, x: Tensor, noisy: Tensor, step_B: Tensor) -> Tensor:
        """Give the term of the variational bound for each step, (B,) in bits per dimension."""
        mean, log_variance, _ = self.reverse(output, noisy, step_B)
        true_mean = self._mean(x, noisy, step_B, self.schedule)
        true_log_variance = _at(self.schedule.posterior_log_variance_T, step_B, x)
        difference = true_log_variance - log_variance
        divergence = (difference.exp() - 1 - difference) / 2
        divergence = divergence + (true_mean - mean).square() * (-log_variance).exp() / 2
        first = (step_B == 0)[:, None, None, None]
        nats = torch.where(first, -_log_likelihood(x, mean, log_variance), divergence)
        return nats.flatten(1).mean(1) / math.log(2)


def linear_betas(num_steps: int) -> Tensor:
    """Give variances that grow linearly, such that any number of steps ends in the same noise (DDPM)."""
    return torch.linspace(0.1 / num_steps, 20 / num_steps, num_steps, dtype=torch.float64).clamp(max=0.999)


def cosine_betas(num_steps: int, *, offset: float = 0.008) -> Tensor:
    """Give variances under which the signal falls as a squared cosine (iDDPM, Eq. 17)."""
    time_T = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    signal_T = ((time_T + offset) / (1 + offset) * math.pi / 2).cos().square()
    return (1 - signal_T[1:] / signal_T[:-1]).clamp(max=0.999)


def _log_likelihood(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Give the logarithm of a Gaussian's mass in the interval that each 8-bit value of [-1, 1] stands for."""
    precision = (-log_variance / 2).exp()
    above = _normal_cdf(precision * (x - mean + 1 / _LEVELS))
    below = _normal_cdf(precision * (x - mean - 1 / _LEVELS))
    mass = torch.where(x < -0.999, above, torch.where(x > 0.999, 1 - below, above - below))
    return mass.clamp(min=1e-12).log()


def _normal_cdf(x: Tensor) -> Tensor:
    # GELU's approximation, with which the published losses were computed.
    return (1 + F.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def _shares(schedule: NoiseSchedule, step_B: Tensor | int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Look up how much of the data and of the noise there is at each step; their squares sum to 1."""
    return _at(schedule.signal_T.sqrt(), step_B, like), _at((1 - schedule.signal_T).sqrt(), step_B, like)


def _at(table_T: Tensor, step_B: Tensor | int, like: Tensor) -> Tensor:
    """Look up float64 numbers of steps, as float32 that broadcasts against ``like``."""
    if isinstance(step_B, int):
        return table_T[step_B].float()  # torch takes a number of the CPU anywhere
    return table_T.float().to(like.device)[step_B][:, None, None, None]
