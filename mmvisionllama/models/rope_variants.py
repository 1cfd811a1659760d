"""Rotary positions of RoPE-ViT, with learned frequencies, and of DINOv3, in normalised coordinates."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from mmvisionllama.arguments import Positive, PositiveNumber, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.grids import Grid
from mmvisionllama.models.rope import RoPE2D
from mmvisionllama.models.rope_augment import Draw
from mmvisionllama.registry import MODELS


@MODELS.register_module()
class NormalisedRoPE2D(RoPE2D):
    """Rotary positions in coordinates of -1 to 1 over each side of any grid (DINOv3, Sec. 3.2).

    A token lies in the middle of its share of the side. Frequencies are 2 pi / base^(4m/d): the longest wave
    is ``base`` halves of a side.
    """

    @checked
    def __init__(
        self, head_dims: Positive, num_heads: Positive, *, base: PositiveNumber = 100.0, **kwargs: Any
    ) -> None:
        super().__init__(head_dims, num_heads, base=base, **kwargs)

    def _coordinates(self, position_N2: Tensor, hw: Grid) -> Tensor:
        column_N, row_N = position_N2.unbind(-1)
        return torch.stack([2 * ((x + 0.5) / n) - 1 for x, n in ((column_N, hw[1]), (row_N, hw[0]))], dim=-1)

    def angles(self, position_N2: Tensor, hw: Grid, base: float, drawn: Draw | None = None) -> Tensor:
        return 2 * math.pi * super().angles(position_N2, hw, base, drawn)


@MODELS.register_module()
class MixedRoPE2D(RoPE2D):
    """Rotary positions whose frequencies each head of each block learns (RoPE-ViT, Sec. 3.2, "mixed").

    Pair p turns by column x f_p + row x g_p. At first the frequencies have the sizes w_m of
    :class:`RoPE2D`, half of them in a random direction, half at a right angle to it. timm gives them no
    weight decay: ``custom_keys=dict(frequencies=dict(decay_mult=0.0))``.

    Args:
        depth: Number of blocks.

    Raises:
        ValueError: for ``shared=False``, which says nothing here: each head has frequencies of its own.
    """

    learned = True

    @checked
    def __init__(
        self,
        head_dims: Positive,
        num_heads: Positive,
        depth: Positive,
        *,
        base: PositiveNumber = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(head_dims, num_heads, base=base, **kwargs)
        if not self.shared:
            raise ArgumentError("MixedRoPE2D: shared=False says nothing, each head has its own frequencies")
        shape = num_heads, self.rotary_dims // 2, 2
        self.frequencies = nn.ParameterList(nn.Parameter(torch.empty(shape)) for _ in range(depth))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the direction of every head."""
        for frequency_AP2 in self.frequencies:
            device, quarter = frequency_AP2.device, self.rotary_dims // 4
            size_Q = float(self.base) ** (-torch.arange(quarter, device=device).float() / quarter)
            along_A1 = 2 * math.pi * torch.rand(len(frequency_AP2), 1, device=device)
            turns = [torch.stack((x.cos(), x.sin()), dim=-1) for x in (along_A1, along_A1 + math.pi / 2)]
            frequency_AP2.copy_(torch.cat([size_Q[:, None] * turn_A12 for turn_A12 in turns], dim=1))

    def angles(self, position_N2: Tensor, hw: Grid, base: float, drawn: Draw | None = None) -> Tensor:
        """Turn positions into radians, (blocks, ..., N, A, P), of at least 32 bits."""
        coordinate = self._drawn_coordinates(position_N2, hw, drawn)
        column, row = coordinate[..., None, None, :].unbind(-1)
        lead = (1,) * (coordinate.ndim - 1)
        frequency_LAP2 = torch.stack(list(self.frequencies))
        if frequency_LAP2.dtype != torch.float64:
            frequency_LAP2 = frequency_LAP2.float()
        across, down = (x.unflatten(0, (-1, *lead)) for x in frequency_LAP2.unbind(-1))
        return column * across + row * down
