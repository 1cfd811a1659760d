"""From noise to samples: what all samplers are, and those of Gaussian diffusion."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mmvisionllama.generation.diffusion import GaussianDiffusion, NoiseSchedule, Reverse
from mmvisionllama.generation.guidance import Predict
from mmvisionllama.models.backbone import choose
from mmvisionllama.registry import MODELS

Draw = Callable[[], Tensor]  # the next normal numbers of every sample; the first are where sampling starts


class Sampler:
    """Turns noise into samples, step by step; the steps of a sample depend on no other one in its batch."""

    objective: ClassVar[type]  # what the network must have been trained for

    def check(self, objective: Any) -> None:
        """Refuse an objective that this sampler does not know, or steps that it can't make of it.

        Raises: ValueError
        """
        if not isinstance(objective, self.objective):
            raise ValueError(
                f"{type(self).__name__} samples networks trained with {self.objective.__name__}, the "
                f"objective is {type(objective).__name__}"
            )

    def states(self, objective: Any, predict: Predict, draw: Draw) -> Iterator[Tensor]:
        """Yield the batch after every step."""
        raise NotImplementedError

    def sample(self, objective: Any, predict: Predict, draw: Draw) -> Tensor:
        """Give the batch after the last step."""
        return last(self.states(objective, predict, draw))


def last(states: Iterator[Tensor]) -> Tensor:
    """Give the last of some states, and keep no other."""
    return deque(states, maxlen=1).pop()


@MODELS.register_module()
class DDPMSampler(Sampler):
    """Ancestral sampling (DDPM, Alg. 2).

    Args:
        steps: How many of the training's steps to take.
        spacing: ``even``: both ends and what lies evenly between them; ``stride``: every n-th step from 0 on,
            as in DDIM, where such a whole n gives ``steps``.
        clip: Hold the predicted data in [-1, 1] at every step: for pixels, not for latents.
    """

    objective = GaussianDiffusion

    def __init__(
        self, *, steps: int = 250, spacing: Literal["even", "stride"] = "even", clip: bool = False
    ) -> None:
        self.steps, self.clip = steps, clip
        self.spacing = choose("spacing", spacing, ("even", "stride"))

    def check(self, objective: GaussianDiffusion) -> None:
        super().check(objective)
        spaced_steps(len(objective.schedule), self.steps, self.spacing)

    def states(self, objective: GaussianDiffusion, predict: Predict, draw: Draw) -> Iterator[Tensor]:
        kept = spaced_steps(len(objective.schedule), self.steps, self.spacing)
        schedule = objective.schedule.respaced(kept)
        x = draw()
        for step in reversed(range(len(schedule))):
            step_B = torch.full((len(x),), step, device=x.device)
            output = predict(x, torch.full_like(step_B, int(schedule.time_T[step])))
            reverse = objective.reverse(output, x, step_B, schedule=schedule, clip=self.clip)
            x = self._back(x, reverse, schedule, step, draw)
            yield x

    def _back(self, x: Tensor, reverse: Reverse, schedule: NoiseSchedule, step: int, draw: Draw) -> Tensor:
        """Take one step back."""
        return reverse.mean + (reverse.log_variance / 2).exp() * draw() if step else reverse.mean


@MODELS.register_module()
class DDIMSampler(DDPMSampler):
    """Sampling with as little randomness as wanted (DDIM, Eq. 12).

    Args:
        eta: 0: none; 1: as much as DDPM.
        steps: See :class:`DDPMSampler`, as for the others.
    """

    def __init__(
        self,
        *,
        steps: int = 50,
        eta: float = 0.0,
        spacing: Literal["even", "stride"] = "even",
        clip: bool = False,
    ) -> None:
        super().__init__(steps=steps, spacing=spacing, clip=clip)
        if not 0 <= eta <= 1:
            raise ValueError(f"eta must be in [0, 1], got {eta}")
        self.eta = eta

    def _back(self, x: Tensor, reverse: Reverse, schedule: NoiseSchedule, step: int, draw: Draw) -> Tensor:
        signal, before = (float(table[step]) for table in (schedule.signal_T, schedule.signal_before_T))
        noise = (x - signal**0.5 * reverse.clean) / (1 - signal) ** 0.5
        deviation = self.eta * ((1 - before) / (1 - signal) * (1 - signal / before)) ** 0.5
        x = before**0.5 * reverse.clean + (1 - before - deviation**2) ** 0.5 * noise
        return x + deviation * draw() if deviation else x


def spaced_steps(total: int, steps: int, spacing: Literal["even", "stride"] = "even") -> list[int]:
    """Choose some of a training's steps, ascending.

    Raises:
        ValueError: if there are not as many, or no stride gives their number.
    """
    if not 1 <= steps <= total:
        raise ValueError(f"steps must be in 1 .. {total}, the steps of the training; got {steps}")
    if spacing == "even":
        return [round(i * (total - 1) / max(steps - 1, 1)) for i in range(steps)]
    strides = {len(range(0, total, stride)): stride for stride in range(total, 0, -1)}
    if steps not in strides:
        near = sorted(sorted(strides, key=lambda count: abs(count - steps))[:2])
        raise ValueError(f"no stride over {total} steps gives {steps} of them; the nearest are {near}")
    return list(range(0, total, strides[steps]))
