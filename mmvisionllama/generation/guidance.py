"""Classifier-free guidance."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from mmvisionllama.arguments import NotNegative, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.generation.conditioned import AHEAD, Conditioned
from mmvisionllama.generation.network import DiT

Predict = Callable[[Tensor, Tensor], Tensor]  # noisy x and its times (B,) -> output of the network


class Guidance:
    """Bind labels, and guidance towards them, to a network.

    Args:
        scale: At least 0; 1 is the network itself, at no cost; above 1 classes become more typical and less
            diverse.
        channels: ``all``: every channel is guided; ``first_three``: the fourth latent channel is not, as in
            the released code; data of fewer channels are guided whole. Outputs that only tell a variance are
            never guided.

    Raises:
        ValueError: for an unknown choice.
    """

    @checked
    def __init__(self, scale: NotNegative = 1.0, *, channels: Literal["all", "first_three"] = "all") -> None:
        self.scale, self.channels = float(scale), channels

    def check(self, network: DiT) -> None:
        """Refuse a network that knows no "any class".

        Raises: ValueError
        """
        if self.scale != 1 and network.null_label is None:
            raise ArgumentError(
                f"guidance of scale {self.scale:g} needs a network trained with label_dropout > 0; this one "
                "has label_dropout=0, so only scale 1 is possible"
            )

    def bind(
        self, network: DiT, label_B: Tensor, times: Tensor | None = None, *, ahead: int = AHEAD
    ) -> Predict:
        """Give what predicts samples of these classes.

        Args:
            times: Of all calls, in order, if they are known: what depends on time and class alone is then
                made for many calls at once, and once for all samples of a class.
            ahead: Bytes that may be held of it.
        """
        self.check(network)
        guides = self.scale != 1
        label_B = torch.cat((label_B, torch.full_like(label_B, network.null_label))) if guides else label_B
        run = partial(network, label_B=label_B)
        if times is not None:
            run = Conditioned(network, label_B, times, ahead=ahead)
        if not guides:
            return run
        guided = network.in_channels if self.channels == "all" else min(3, network.in_channels)

        def predict(x: Tensor, time_B: Tensor) -> Tensor:
            toward, away = run(x.repeat(2, 1, 1, 1), time_B.repeat(2)).chunk(2)
            mean = away[:, :guided] + self.scale * (toward[:, :guided] - away[:, :guided])
            return torch.cat((mean, toward[:, guided:]), dim=1)

        return predict
