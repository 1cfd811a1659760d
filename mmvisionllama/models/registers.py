"""Register tokens: learned tokens that blocks see beside the patches, and no output has."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from mmvisionllama.arguments import Component, Positive, check
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.grids import grid_positions
from mmvisionllama.models.rope import RoPE2D
from mmvisionllama.models.rotary_table import RotaryTable, Tables, still_rows, with_rows
from mmvisionllama.registry import build_component
from mmvisionllama.suggestions import check_keys


class Registers(nn.Module):
    """Learned tokens that hold what no patch is about (Darcet et al., 2024; DINOv3, ViT-5).

    Args:
        count: How many. They follow the class token; attention knows no order, so this is the same as behind
            the patches, where ViT-5 has them.
        rope: Rotary component of their own square grid, e.g. ``dict(type="RoPE2D", base=100)`` (ViT-5); None:
            they are not rotated.
        patch_rope: The component of the patches, None without rotary positions.
        heads: What a rotary component is built from.

    Raises:
        ValueError: if registers with positions fill no square, or rotate other channels than the patches.
    """

    def __init__(
        self, embed_dims: int, count: int, rope: dict | None, patch_rope: RoPE2D | None, heads: dict[str, int]
    ) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(1, count, embed_dims))
        self.side = math.isqrt(count)
        self.rope = None if rope is None or patch_rope is None else build_component(rope, **heads, depth=1)
        if self.rope is not None:
            if self.side**2 != count:
                raise ArgumentError(
                    f"registers with rotary positions fill a square, got count={count}: take 1, 4, 9 or 16, "
                    "or leave out rope"
                )
            if self.rope.learned or self.rope.rotary_dims != patch_rope.rotary_dims:
                raise ArgumentError(
                    "registers.rope: needs a kind without learned frequencies that rotates "
                    f"{patch_rope.rotary_dims} channels of a head, as the patches' does, got {rope}"
                )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the tokens."""
        nn.init.trunc_normal_(self.tokens, std=0.02)

    def __len__(self) -> int:
        return self.tokens.shape[1]

    def rows(self, width: int, device: torch.device | None = None) -> RotaryTable:
        """Give their rotary rows, (count, 1 or A, R); ``width`` is R."""
        if self.rope is None:
            return still_rows(len(self), width, device)
        hw = self.side, self.side
        return self.rope.tables(grid_positions(hw, device), hw=hw)[0]

    def with_rows(self, tables: Tables | None, at: int = 0) -> Tables | None:
        """Insert their rotary rows into the tables of other tokens, before token ``at``."""
        if tables is None:
            return None
        cos = tables[0].cos
        return with_rows(tables, self.rows(cos.shape[-1], cos.device), at)

    def forward(self, x: Tensor) -> Tensor:
        """Put the registers before the tokens of a batch (B, N, D)."""
        return torch.cat((self.tokens.to(x.dtype).expand(x.shape[0], -1, -1), x), dim=1)


def build_registers(
    registers: dict[str, Any] | None, embed_dims: int, patch_rope: RoPE2D | None, heads: dict[str, int]
) -> Registers | None:
    """Build what ``dict(count=, rope=)`` says; None: there are no registers."""
    if registers is None:
        return None
    check_keys("registers", registers, ("count", "rope"))
    count = check("registers.count", registers.get("count"), Positive)
    rope = check("registers.rope", registers.get("rope"), Component | None)
    return Registers(embed_dims, count, rope, patch_rope, heads)
