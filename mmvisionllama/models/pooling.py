"""Attention pooling: one output of all tokens by a learned query."""

import torch
from torch import Tensor, nn

from mmvisionllama.arguments import Component, Positive, PositiveNumber, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.attention import scaled_dot_product
from mmvisionllama.models.layers import GELUFFN
from mmvisionllama.models.norms import build_norm
from mmvisionllama.registry import MODELS


@MODELS.register_module()
class AttentionPool(nn.Module):
    """A learned query that attends to all tokens, and a feed-forward over what it finds.

    That of the Perception Encoder (core), timm's ``map``.

    Args:
        num_heads: Of the pooling, whatever the blocks have.
        expand: Width of the feed-forward over ``embed_dims``.
        norm_cfg: Of the norm before the feed-forward.

    Raises:
        ValueError: if ``embed_dims`` is not divisible by ``num_heads``.
    """

    @checked
    def __init__(
        self,
        embed_dims: Positive,
        *,
        num_heads: Positive = 8,
        expand: PositiveNumber = 4.0,
        norm_cfg: Component = dict(type="LN", eps=1e-5),  # noqa: B006  (read only)
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ArgumentError(
                f"AttentionPool: embed_dims {embed_dims} is not divisible by num_heads {num_heads}"
            )
        self.num_heads = num_heads
        self.latent = nn.Parameter(torch.empty(1, 1, embed_dims))
        self.q = nn.Linear(embed_dims, embed_dims)
        self.kv = nn.Linear(embed_dims, 2 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.norm = build_norm(norm_cfg, embed_dims)
        self.ffn = GELUFFN(embed_dims, expand=expand)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the query."""
        nn.init.trunc_normal_(self.latent, std=self.latent.shape[-1] ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, N, D) to (B, D)."""
        latent_B1D = self.latent.to(x.dtype).expand(x.shape[0], -1, -1)
        q_B1AK = self.q(latent_B1D).unflatten(-1, (self.num_heads, -1))
        kv_BNAK = self.kv(x).unflatten(-1, (2 * self.num_heads, -1))
        pooled = self.proj(scaled_dot_product(q_B1AK, *kv_BNAK.split(self.num_heads, dim=2)))
        return (pooled + self.ffn(self.norm(pooled)).to(pooled.dtype))[:, 0].to(x.dtype)
