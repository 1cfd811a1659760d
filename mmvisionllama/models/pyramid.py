"""The pyramid VisionLLaMA backbone: the Twins-SVT skeleton with rotary LSA and GSA."""

from typing import Any, ClassVar, Literal

import torch
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from mmvisionllama.arguments import Component, Positive, check, checked
from mmvisionllama.models.attention import (
    RotaryAttention,
    SubsampledAttention,
    WindowAttention,
    rotary_tables,
)
from mmvisionllama.models.backbone import RotaryBackbone, resolve_arch, resolve_indices
from mmvisionllama.models.grids import Grid, grid_positions, squares
from mmvisionllama.models.layers import PatchEmbed, VisionLLaMABlock, build_norm
from mmvisionllama.models.rope import RoPE2D
from mmvisionllama.models.rotary_table import Tables, of_blocks
from mmvisionllama.registry import MODELS, build_component
from mmvisionllama.suggestions import check_keys

# S, B and L: VisionLLaMA, Tab. 16, with the widths that the released code builds. Tiny is ours.
ARCHS = {
    "tiny": dict(embed_dims=(32, 64, 128, 160), depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 5)),
    "small": dict(embed_dims=(64, 128, 256, 512), depths=(2, 2, 10, 4), num_heads=(2, 4, 8, 16)),
    "base": dict(embed_dims=(96, 192, 384, 768), depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24)),
    "large": dict(embed_dims=(128, 256, 512, 1024), depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
}
STRIDES = (4, 2, 2, 2)
SUMMARY_RATIOS = (8, 4, 2, 1)


# A BaseModule, because mmengine's init_weights reaches PEG through BaseModules alone.
class Stage(BaseModule):
    """Patch embedding and alternating LSA (even) and GSA (odd) blocks of one resolution."""

    def __init__(self, patch_embed: PatchEmbed, rope: RoPE2D | None, pos_embed: nn.Module | None) -> None:
        super().__init__()
        self.patch_embed, self.rope, self.pos_embed = patch_embed, rope, pos_embed
        self.blocks = nn.ModuleList()

    def tables(self, hw: Grid, train_hw: Grid, device: torch.device) -> dict[type, Tables | None]:
        """Make the rotary tables of each kind of attention in this stage."""
        attentions = (block.attn for block in self.blocks)
        return rotary_tables(self.rope, attentions, grid_positions(hw, device), hw, train_hw)


@MODELS.register_module()
class PyramidVisionLLaMA(RotaryBackbone):
    """Four stages of LLaMA blocks that alternate window and sub-sampled attention (VisionLLaMA, Sec. 3.3).

    There are no registers: a convolution merges the patches of a map between stages, where they had no place.

    Args:
        arch: A name of ``ARCHS``, or a dict with the same keys.
        out_type: ``avg_featmap``: (B, D); ``featmap``: (B, C, H, W); ``raw``: (B, N, D); or a component that
            pools the tokens of each output to (B, D), ``dict(type="AttentionPool")``.
        out_norm: ``last``: a norm on the last stage's tokens, before pooling; ``twice``: the same norm again
            after pooling, as the released classifiers do; ``each``: one for every output; ``each_fed_on``:
            the normalised map also enters the next stage, as the released dense models (and Twins) do;
            ``none``. None: ``each`` for ``featmap``, else ``last``.
        window: ``dict(size=7, mask_padding=True)``. The release does not mask padded tokens.
        norm_cfg: Of the blocks and outputs; patch embeddings and summaries always have a LayerNorm.
        drop_path_schedule: ``linear`` from 0 over the blocks, or ``constant``.
        kwargs: See :class:`RotaryBackbone`.

    Raises:
        ValueError: for an unknown size or choice, indices out of range, or widths that do not divide.
    """

    arch_zoo: ClassVar[dict[str, dict]] = ARCHS
    default_init = (
        *RotaryBackbone.default_init,
        dict(type="Kaiming", layer="Conv2d", mode="fan_out", distribution="normal"),
    )

    @checked
    def __init__(
        self,
        arch: str | dict = "base",
        *,
        out_type: Literal["avg_featmap", "featmap", "raw"] | Component = "avg_featmap",
        out_norm: Literal["last", "twice", "each", "each_fed_on", "none"] | None = None,
        window: dict = dict(size=7, mask_padding=True),  # noqa: B006  (read only)
        norm_cfg: Component = dict(type="LN", eps=1e-5),  # noqa: B006
        drop_path_schedule: Literal["constant", "linear"] = "linear",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sizes = resolve_arch(arch, self.arch_zoo)
        self.embed_dims, self.depths = tuple(sizes["embed_dims"]), tuple(sizes["depths"])
        self.out_type = out_type
        self.out_indices = resolve_indices("out_indices", self.out_indices, len(self.depths), "stage")
        self.out_norm = out_norm or ("each" if out_type == "featmap" else "last")
        check_keys("window", window, ("size", "mask_padding"))
        lsa = dict(
            window_size=check("window.size", window.get("size", 7), Positive),
            mask_padding=check("window.mask_padding", window.get("mask_padding", True), bool),
        )

        self._check_img_size(STRIDES[0])
        rates = iter(self._drop_path_rates(drop_path_schedule, sum(self.depths)))
        channels, train_hw = self.in_channels, self.img_hw
        self.train_hws: list[Grid] = []
        self.stages = ModuleList()
        for dims, depth, heads, stride, ratio in zip(
            self.embed_dims, self.depths, sizes["num_heads"], STRIDES, SUMMARY_RATIOS, strict=True
        ):
            train_hw = squares(train_hw, stride)
            self.train_hws.append(train_hw)
            patch_embed = PatchEmbed(
                channels, dims, kernel_size=stride, stride=stride, norm_cfg=dict(type="LN", eps=1e-5)
            )
            rope = self._build_rope(dims, heads, depth)
            stage = Stage(patch_embed, rope, self._build_pos_embed(dims, train_hw))
            for i in range(depth):
                attn: RotaryAttention = (
                    SubsampledAttention(dims, heads, ratio, **self.attn_cfg)
                    if i % 2
                    else WindowAttention(dims, heads, **lsa, **self.attn_cfg)
                )
                block = VisionLLaMABlock(
                    dims, attn, norm_cfg=norm_cfg, drop_path=next(rates), **self.block_cfg
                )
                stage.blocks.append(block)
            self.stages.append(stage)
            channels = dims
        self.norm_names = self._name_norms()
        self.norms = nn.ModuleDict(
            {name: build_norm(norm_cfg, self.embed_dims[i]) for i, name in self.norm_names.items()}
        )
        pooled = () if isinstance(out_type, str) else self.out_indices
        self.pools = nn.ModuleDict(
            {str(i): build_component(out_type, embed_dims=self.embed_dims[i]) for i in pooled}
        )
        self._freeze()

    def _name_norms(self) -> dict[int, str]:
        """Name the norm after each stage that has one; a classifier's is none of a dense model's."""
        last = {len(self.depths) - 1: "last"}
        single = {"none": {}, "last": last, "twice": last}
        return single.get(self.out_norm, {i: str(i) for i in self.out_indices})

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        """Map (B, in_channels, img_h, img_w) to one output per entry of ``out_indices``."""
        self._check_images(img)
        map_BCHW, outs = img, []
        for i, train_hw in enumerate(self.train_hws[: self.out_indices[-1] + 1]):
            stage = self.stages[i]
            x, hw = stage.patch_embed(map_BCHW)
            x = x.to(img.dtype)
            pos_embed = stage.pos_embed
            if pos_embed is not None and not pos_embed.after_first_block:
                x = pos_embed(x, hw)
            tables = stage.tables(hw, train_hw, img.device)
            tables = {kind: of_blocks(table, len(stage.blocks)) for kind, table in tables.items()}
            for j, block in enumerate(stage.blocks):
                x = self._run(block, x, hw, tables[type(block.attn)][j])
                if j == 0 and pos_embed is not None and pos_embed.after_first_block:
                    x = pos_embed(x, hw)
            normed = self.norms[self.norm_names[i]](x) if i in self.norm_names else x
            if i in self.out_indices:
                outs.append(self._output(normed, hw, i))
            if self.out_norm == "each_fed_on":
                x = normed
            map_BCHW = x.transpose(1, 2).reshape(-1, x.shape[-1], *hw)
        return tuple(outs)

    def _output(self, x: Tensor, hw: Grid, index: int) -> Tensor:
        if self.out_type == "raw":
            return x
        if self.out_type == "featmap":
            return x.transpose(1, 2).reshape(-1, x.shape[-1], *hw).contiguous()
        pooled = self.pools[str(index)](x) if self.pools else x.mean(dim=1)
        return self.norms["last"](pooled) if self.out_norm == "twice" else pooled

    def _unused(self) -> list[nn.Module]:
        run = self.out_indices[-1] + 1
        return [*self.stages[run:], *(self.norms[name] for i, name in self.norm_names.items() if i >= run)]

    def _freezable(self) -> list[list[nn.Module | nn.Parameter | None]]:
        return [[self.stages[0].patch_embed], *([stage] for stage in self.stages), [self.norms, self.pools]]

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Give a parameter's depth and the number of depths, for layer-wise learning-rate decay.

        Blocks, with their learned frequencies, count through all stages from 1; a stage's patch embedding and
        positions have the depth before its first block; output norms, pools and all else have the last depth.
        """
        num_layers = sum(self.depths) + 2
        path = param_name.removeprefix(prefix).split(".")
        if not param_name.startswith(prefix) or path[0] != "stages":
            return num_layers - 1, num_layers
        before = sum(self.depths[: int(path[1])])
        if path[2] == "rope":
            return before + int(path[4]) + 1, num_layers
        return before + (int(path[3]) + 1 if path[2] == "blocks" else 0), num_layers
