"""Attention rollout: how much every patch of an image tells the class token, or all tokens on average."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from mmvisionllama.errors import InputError
from mmvisionllama.inference.attention_weights import weights_by_head
from mmvisionllama.inference.export_networks import normalisation
from mmvisionllama.inference.trained_model import TrainedModel
from mmvisionllama.models import VisionLLaMA
from mmvisionllama.models.attention import RotaryAttention, SubsampledAttention, WindowAttention
from mmvisionllama.models.grids import Grid, window_places
from mmvisionllama.models.rope import Tables
from mmvisionllama.reports.figures import heat_over, shown_size


@dataclass(frozen=True, eq=False)
class Rollout:
    """What of an image a model attends to.

    Attributes:
        image: (H, W, 3) or (H, W), uint8, RGB: what the model saw, after the transforms of the test.
        shares: (rows, columns) of patches, float32; their sum is 1.
        patch: Side of a patch, (height, width) in pixels.
    """

    image: NDArray
    shares: NDArray
    patch: Grid

    def plot(self) -> Figure:
        """Draw the shares over the image, from the smallest (dark) to the largest (bright)."""
        height, width = self.image.shape[:2]
        shown = shown_size(height, width)
        figure = Figure(figsize=(3, 3 * shown[1] / shown[0]), dpi=100)
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set_axis_off()
        heat_over(ax, self.image, self.shares, self.patch)
        return figure


def attention_rollout(model: TrainedModel, image: Any) -> Rollout:
    """Follow the attention from the last block back to the patches (Abnar and Zuidema, 2020).

    Of each block, the mean of the heads' attention and the identity, for the residual, are averaged; the
    product over the blocks says what each output has of each input. The row of the class token is taken,
    without its share in itself, or, in a model without one, the mean over all patches. Shares of registers
    are left out.

    Args:
        model: Its backbone is a ``VisionLLaMA`` whose blocks attend globally or in windows. Its results stay
            the same.
        image: One, see ``TrainedModel.predict``.
    Raises: InputError: for another model, or an image that cannot be read.
    """
    if reason := no_rollout(model):
        raise InputError(f"{model.source} has no attention rollout: {reason}")
    backbone: VisionLLaMA = model.module.backbone
    product = _Product()
    seen: list[Tensor] = []
    hooks = [block.attn.register_forward_pre_hook(product.multiply) for block in backbone.blocks]
    hooks.append(backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0])))
    try:
        model.features(image, batch_size=1)
    finally:
        for hook in hooks:
            hook.remove()
    (total_NN,) = product.total_BNN
    first = backbone.extra_tokens
    share_N = total_NN[0, first:] if backbone.with_cls_token else total_NN[first:, first:].mean(dim=0)
    share_N = share_N / share_N.sum() if first else share_N
    pixels = normalisation(model)[0].undone(seen[0].cpu())[0].permute(1, 2, 0).numpy()
    patch = tuple(backbone.patch_embed.projection.stride)
    return Rollout(pixels.squeeze(), share_N.unflatten(0, product.hw).cpu().numpy(), patch)


def no_rollout(model: TrainedModel) -> str:
    """Say why there is no rollout of this model; "" if there is one."""
    backbone = getattr(model.module, "backbone", None)
    if backbone is None:
        return "it generates images, and looks at none"
    if not isinstance(backbone, VisionLLaMA):
        return f"it is defined between tokens of one grid, which a {type(backbone).__name__} does not keep"
    if backbone.extra_tokens and any(isinstance(block.attn, WindowAttention) for block in backbone.blocks):
        return "its class token or registers see all windows, whose weights are not recomputed"
    if any(isinstance(block.attn, SubsampledAttention) for block in backbone.blocks):
        return "some of its blocks attend to summaries of tokens, which do not say how much each had of them"
    return ""


class _Product:
    """The product of the blocks' averaged attention."""

    def __init__(self) -> None:
        self.total_BNN: Tensor | None = None
        self.hw: Grid = (0, 0)

    def multiply(self, attn: nn.Module, inputs: tuple[Tensor, Grid, Tables | None]) -> None:
        x, self.hw, tables = inputs
        identity_NN = torch.eye(x.shape[1], device=x.device)
        step_BNN = (mean_attention(attn, x, self.hw, tables) + identity_NN) / 2
        self.total_BNN = step_BNN if self.total_BNN is None else step_BNN @ self.total_BNN


def mean_attention(attn: RotaryAttention, x: Tensor, hw: Grid, tables: Tables | None) -> Tensor:
    """Return the mean over the heads of what each query takes of each key: (B, N, N), float32.

    Of windows, a token takes nothing of those of other windows; what padding that is not hidden has is left
    out, and the rest shared anew.
    """
    if not isinstance(attn, WindowAttention):
        return _mean_over_heads(attn, x, tables)
    token_WS, _ = window_places(hw, attn.window_size, x.device)
    tokens = hw[0] * hw[1]
    window = F.pad(x, (0, 0, 0, 1)).index_select(1, token_WS.flatten())
    window = window.unflatten(1, token_WS.shape).flatten(0, 1)
    share_BWSS = _mean_over_heads(attn, window, tables).unflatten(0, (len(x), len(token_WS)))
    total_BMM = x.new_zeros(len(x), tokens + 1, tokens + 1, dtype=share_BWSS.dtype)  # the last: all padding
    total_BMM[:, token_WS[:, :, None], token_WS[:, None, :]] = share_BWSS
    total_BNN = total_BMM[:, :tokens, :tokens]
    return total_BNN / total_BNN.sum(dim=-1, keepdim=True)


def _mean_over_heads(attn: RotaryAttention, x: Tensor, tables: Tables | None) -> Tensor:
    q_BNAK, k_BNGK, _ = attn.project(x, tables)
    return sum(weights_by_head(attn, q_BNAK, k_BNGK)) / attn.heads[0]
