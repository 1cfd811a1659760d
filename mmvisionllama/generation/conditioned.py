"""A network whose modulations by time and class are made ahead for many steps of sampling."""

import torch
from torch import Tensor

from mmvisionllama.generation.network import DiT

AHEAD = 2**28  # bytes of modulations that are held


class Conditioned:
    """A network bound to its labels, which is called at times that are known.

    A third of DiT's weights make modulations from time and class. Here they are read once for as many calls
    as ``ahead`` holds, and every class is computed once, however many samples have it, among them "any
    class" of the unguided half. Results differ from the network's by the rounding of other matrix sizes.

    Args:
        times: (calls,) of all calls, in order, each for all samples; on any device.
        ahead: Bytes of modulations to hold at most, but those of one call at least.
    """

    def __init__(self, network: DiT, label_B: Tensor, times: Tensor, *, ahead: int = AHEAD) -> None:
        self.network, self.label_B, self.ahead = network, label_B, ahead
        self.time_T = times.to(label_B.device)
        self.label_U, self.class_B = label_B.unique(return_inverse=True)
        self._first, self._called = 0, 0
        self._held_TUM: Tensor | None = None

    def __call__(self, x: Tensor, time_B: Tensor) -> Tensor:
        """Predict at the next of the known times, which ``time_B`` must be."""
        if self._held_TUM is None or self._called - self._first == len(self._held_TUM):
            self._first, self._held_TUM = self._called, self._made(x.dtype)
        modulation_BM = self._held_TUM[self._called - self._first][self.class_B]
        self._called += 1
        return self.network(x, time_B, self.label_B, modulation_BM=modulation_BM)

    def _made(self, dtype: torch.dtype) -> Tensor:
        """Make the modulations of the next calls, (calls, U classes, M)."""
        bytes_of_call = len(self.label_U) * self.network.modulation_dims * dtype.itemsize
        fitting = max(1, self.ahead // bytes_of_call)
        time_T = self.time_T[self._called : self._called + fitting]
        pairs = len(time_T), len(self.label_U)
        time_TU, label_TU = time_T[:, None].expand(pairs), self.label_U.expand(pairs)
        made = self.network.modulations(time_TU.flatten(), label_TU.flatten(), dtype)
        return made.unflatten(0, pairs)
