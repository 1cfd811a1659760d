"""Base class of samplers, and the samplers of Gaussian diffusion: DDPM and DDIM."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mmvisionllama.arguments import Positive, Share, checked
from mmvisionllama.errors import ArgumentError, SamplingError
from mmvisionllama.generation.diffusion import GaussianDiffusion, NoiseSchedule, ReverseStep
from mmvisionllama.generation.guidance import Predict
from mmvisionllama.registry import MODELS

# Gives the next normal numbers of every sample; the first ones are where sampling starts.
NoiseSource = Callable[[], Tensor]


class Sampler:
    """Turns noise into samples, step by step; the steps of a sample depend on no other one in its batch."""

    objective: ClassVar[type]  # what the network must have been trained for

    def check(self, objective: Any) -> None:
        """Refuse an objective that this sampler does not know, or steps that it cannot make of it.

        Raises: ValueError
        """
        if not isinstance(objective, self.objective):
            raise ArgumentError(
                f"{type(self).__name__} samples networks trained with {self.objective.__name__}, the "
                f"objective is {type(objective).__name__}"
            )

    def times(self, objective: Any) -> Tensor | None:
        """Give the times at which :meth:`states` asks the network, (calls,); None: not known before."""
        return None

    def states(self, objective: Any, predict: Predict, draw: NoiseSource) -> Iterator[Tensor]:
        """Yield the batch after every step."""
        raise NotImplementedError

    def sample(self, objective: Any, predict: Predict, draw: NoiseSource) -> Tensor:
        """Give the batch after the last step.

        Every step says whether all of the network's outputs and of the batch are finite: the price is a
        reduction over both. A GPU is asked when it has begun the next step, so that it never waits.

        Raises:
            SamplingError: naming the first step at which they are not.
        """
        watched, unread = _Watched(predict), deque()
        for number, x in enumerate(self.states(objective, watched, draw), start=1):
            what = f"step {number} of {type(self).__name__}"
            unread.append(_Findings(what, watched.finite, x.isfinite().all(), watched.time_B))
            if len(unread) > (x.device.type != "cpu"):
                unread.popleft().check()
        for findings in unread:
            findings.check()
        return x


class _Watched:
    """A network that notes, on its device, whether all that it gave is finite, and its last time."""

    def __init__(self, predict: Predict) -> None:
        self.predict = predict
        self.finite: Tensor | bool = True
        self.time_B: Tensor | None = None

    def __call__(self, x: Tensor, time_B: Tensor) -> Tensor:
        output = self.predict(x, time_B)
        self.finite = output.isfinite().all() & self.finite
        self.time_B = time_B
        return output


class _Findings:
    """Whether all was finite after a step, on its way from the device."""

    def __init__(self, step: str, output: Tensor, sample: Tensor, time_B: Tensor) -> None:
        self.step, self.time_B = step, time_B
        self.finite_2 = torch.stack((output, sample)).to("cpu", non_blocking=True)
        self.arrived = torch.cuda.Event() if output.is_cuda else None
        if self.arrived:
            self.arrived.record()

    def check(self) -> None:
        """Raises: SamplingError: if something was not."""
        if self.arrived:
            self.arrived.synchronize()
        output, sample = self.finite_2.tolist()
        if not (output and sample):
            raise SamplingError(
                f"{self.step}, time {self.time_B.max().item():g}: "
                + ("the sample is not finite" if output else "the network's output is not finite")
            )


def last_state(states: Iterator[Tensor]) -> Tensor:
    """Return the last state without keeping the others in memory."""
    return deque(states, maxlen=1).pop()


@MODELS.register_module()
class DDPMSampler(Sampler):
    """Ancestral sampling (DDPM, Alg. 2).

    Args:
        steps: How many of the training's steps to take.
        spacing: ``even``: both ends and what lies evenly between them, of one step the end in the noise;
            ``stride``: every n-th step from 0 on, as in DDIM, where such a whole n gives ``steps``, which are
            two at least.
        clip: Hold the predicted data in [-1, 1] at every step: for pixels, not for latents.
    """

    objective = GaussianDiffusion

    @checked
    def __init__(
        self, *, steps: Positive = 250, spacing: Literal["even", "stride"] = "even", clip: bool = False
    ) -> None:
        self.steps, self.spacing, self.clip = steps, spacing, clip

    def check(self, objective: GaussianDiffusion) -> None:
        super().check(objective)
        spaced_steps(len(objective.schedule), self.steps, self.spacing)

    def times(self, objective: GaussianDiffusion) -> Tensor:
        return self._schedule(objective).time_T.flip(0)

    def states(self, objective: GaussianDiffusion, predict: Predict, draw: NoiseSource) -> Iterator[Tensor]:
        schedule = self._schedule(objective)
        x = draw()
        for step in reversed(range(len(schedule))):
            output = predict(x, torch.full((len(x),), int(schedule.time_T[step]), device=x.device))
            reverse = objective.reverse(output, x, step, schedule=schedule, clip=self.clip)
            x = self._step_back(x, reverse, schedule, step, draw)
            yield x

    def _schedule(self, objective: GaussianDiffusion) -> NoiseSchedule:
        kept = spaced_steps(len(objective.schedule), self.steps, self.spacing)
        return objective.schedule.respaced(kept)

    def _step_back(
        self, x: Tensor, reverse: ReverseStep, schedule: NoiseSchedule, step: int, draw: NoiseSource
    ) -> Tensor:
        """Take one step back."""
        return reverse.mean + (reverse.log_variance / 2).exp() * draw() if step else reverse.mean


@MODELS.register_module()
class DDIMSampler(DDPMSampler):
    """Sampling with a chosen amount of randomness (DDIM, Eq. 12).

    Args:
        eta: 0: none; 1: as much as DDPM.
        steps: See :class:`DDPMSampler`, as for the others.
    """

    @checked
    def __init__(
        self,
        *,
        steps: Positive = 50,
        eta: Share = 0.0,
        spacing: Literal["even", "stride"] = "even",
        clip: bool = False,
    ) -> None:
        super().__init__(steps=steps, spacing=spacing, clip=clip)
        self.eta = eta

    def _step_back(
        self, x: Tensor, reverse: ReverseStep, schedule: NoiseSchedule, step: int, draw: NoiseSource
    ) -> Tensor:
        signal, before = (float(table[step]) for table in (schedule.signal_T, schedule.signal_before_T))
        noise = (x - signal**0.5 * reverse.clean) / (1 - signal) ** 0.5
        deviation = self.eta * ((1 - before) / (1 - signal) * (1 - signal / before)) ** 0.5
        x = before**0.5 * reverse.clean + (1 - before - deviation**2) ** 0.5 * noise
        return x + deviation * draw() if deviation else x


def spaced_steps(total: int, steps: int, spacing: Literal["even", "stride"] = "even") -> list[int]:
    """Choose some of a training's steps, ascending. Sampling starts with noise, so the last is near its end.

    Raises:
        ArgumentError: if there are not as many, no stride gives their number, or it is the step of least
            noise alone.
    """
    if not 1 <= steps <= total:
        raise ArgumentError(f"steps must be in 1 .. {total}, the steps of the training; got {steps}")
    if spacing == "even":
        return [round(i * (total - 1) / (steps - 1)) for i in range(steps)] if steps > 1 else [total - 1]
    if steps == 1:
        raise ArgumentError(
            "steps=1 with spacing='stride' is the step of least noise alone, which leaves noise as it is: "
            "take spacing='even', whose one step is the last"
        )
    strides = {len(range(0, total, stride)): stride for stride in range(total, 0, -1)}
    if steps not in strides:
        near = sorted(sorted(strides, key=lambda count: abs(count - steps))[:2])
        raise ArgumentError(
            f"no stride over {total} steps gives steps={steps} of them; the nearest are {near}"
        )
    return list(range(0, total, strides[steps]))
