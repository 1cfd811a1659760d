"""Random numbers per sample, from seed and index alone, whatever else is in the batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmvisionllama.arguments import Count, Positive, checked


class SampleNoise:
    """Streams of random numbers, one for each sample, from a seed and the sample's index alone.

    Sample 7 of seed 0 is the same picture in a batch of 1 or of 64, on one process or on eight.

    Args:
        seed: Of the whole set of samples, not negative.
        indices: Of the samples within that set.
        shape: Of one sample: (channels, height, width).
    """

    @checked
    def __init__(
        self,
        seed: Count,
        indices: Sequence[Count],
        shape: Sequence[Positive],
        device: torch.device | str | None = None,
    ) -> None:
        self.shape, self.device = tuple(shape), device
        # numpy's, because torch's generator on the CPU keeps 32 bits of a seed: of 50,000 samples two would
        # probably be the same.
        self._streams = [np.random.default_rng((seed, index)) for index in indices]

    def __call__(self) -> Tensor:
        """Draw the next normal numbers of every sample, (B, *shape) float32."""
        return self._stack([x.standard_normal(self.shape, dtype=np.float32) for x in self._streams])

    def uniform(self) -> Tensor:
        """Draw the next number in [0, 1) of every sample, (B,) float32."""
        return self._stack([x.random(1, dtype=np.float32)[0] for x in self._streams])

    def _stack(self, drawn: list[np.ndarray | np.float32]) -> Tensor:
        x = torch.from_numpy(np.stack(drawn))
        if self.device is not None and torch.device(self.device).type == "cuda":
            x = x.pin_memory()  # a copy from other memory would wait for all that the GPU has to do
        return x.to(self.device, non_blocking=True)
