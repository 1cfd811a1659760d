"""The plain VisionLLaMA backbone: classifier features, dense maps, windowed blocks."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mmvisionllama.arguments import Component, Positive, check, checked
from mmvisionllama.errors import ArgumentError
from mmvisionllama.models.attention import (
    RotaryAttention,
    SubsampledAttention,
    WindowAttention,
    join_extra,
    rotary_tables,
    split_extra,
)
from mmvisionllama.models.backbone import RotaryBackbone, resolve_arch, resolve_indices
from mmvisionllama.models.grids import Grid, grid_positions, squares
from mmvisionllama.models.layers import PatchEmbed, VisionLLaMABlock, build_norm
from mmvisionllama.models.registers import build_registers
from mmvisionllama.models.rotary_table import Tables, of_blocks, still_rows, with_rows
from mmvisionllama.registry import MODELS, build_component
from mmvisionllama.suggestions import check_keys

# S, B and L: VisionLLaMA, Tab. 17. Huge has ViT-H's sizes. Tiny is ours, for demonstrations and tests.
ARCHS = {
    "tiny": dict(embed_dims=96, num_layers=8, num_heads=3),
    "small": dict(embed_dims=384, num_layers=12, num_heads=6),
    "base": dict(embed_dims=768, num_layers=12, num_heads=12),
    "large": dict(embed_dims=1024, num_layers=24, num_heads=16),
    "huge": dict(embed_dims=1280, num_layers=32, num_heads=16),
}


@MODELS.register_module()
class VisionLLaMA(RotaryBackbone):
    """A vision transformer of LLaMA blocks with 2-D rotary positions (VisionLLaMA, Sec. 3.1).

    Args:
        arch: A name of ``ARCHS``, or a dict with the same keys.
        patch_size: Side of a patch in pixels.
        out_type: ``cls_token`` or ``avg_featmap``: (B, D); ``featmap``: (B, D, H, W); ``raw``: (B, N, D), the
            class token first; or a component that pools all tokens to (B, D), ``dict(type="AttentionPool")``.
        out_norm: ``shared``: one norm on every output, after pooling; ``tokens``: the same before it;
            ``each``: a norm for every output; ``last``: one norm, on the last block's output alone; ``both``:
            ``last`` before pooling and, on every output, ``shared`` after it, as mmpretrain's ViT; ``none``.
            None: ``none`` for ``featmap``, else ``shared``.
        with_cls_token: None: only where ``out_type`` is ``cls_token``.
        registers: ``dict(count=4, rope=dict(type="RoPE2D", base=100))``: :class:`Registers`, which blocks
            see and no output has, except by pooling with attention. Without ``rope`` they are not rotated.
        pre_norm: A norm on all tokens before the first block, and no bias of the patches (CLIP, PE).
        window: ``dict(size=14, global_blocks=(2, 5, 8, 11), mask_padding=True)``: all other blocks attend in
            windows, as in ViTDet. With ``global_attn=dict(ratio=4, summary="depthwise")`` the global ones
            attend to summaries (:class:`SubsampledAttention`). None: every block is global. A class token,
            which must not be rotated then, and registers are seen by every window, and see all of them.
        norm_cfg: ``LN`` or ``RMSNorm``.
        drop_path_schedule: ``constant`` over the blocks (DeiT-III), or ``linear`` from 0.
        kwargs: See :class:`RotaryBackbone`.

    Raises:
        ValueError: for an unknown size or choice, indices out of range, or widths that do not divide.
    """

    arch_zoo: ClassVar[dict[str, dict]] = ARCHS

    @checked
    def __init__(
        self,
        arch: str | dict = "base",
        *,
        patch_size: Positive = 16,
        out_type: Literal["cls_token", "avg_featmap", "featmap", "raw"] | Component = "cls_token",
        out_norm: Literal["shared", "tokens", "each", "last", "both", "none"] | None = None,
        with_cls_token: bool | None = None,
        registers: dict | None = None,
        pre_norm: bool = False,
        window: dict | None = None,
        norm_cfg: Component = dict(type="LN", eps=1e-6),  # noqa: B006  (read only)
        drop_path_schedule: Literal["constant", "linear"] = "constant",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sizes = resolve_arch(arch, self.arch_zoo)
        self.embed_dims, self.num_layers, num_heads = (
            sizes[key] for key in ("embed_dims", "num_layers", "num_heads")
        )
        self.out_type = out_type
        self.out_indices = resolve_indices("out_indices", self.out_indices, self.num_layers, "block")
        self.with_cls_token = out_type == "cls_token" if with_cls_token is None else with_cls_token
        if out_type == "cls_token" and not self.with_cls_token:
            raise ArgumentError("out_type 'cls_token' contradicts with_cls_token=False")

        self._check_img_size(patch_size)
        self.rope = self._build_rope(self.embed_dims, num_heads, self.num_layers)
        patch = dict(kernel_size=patch_size, stride=patch_size, bias=not pre_norm)
        self.patch_embed = PatchEmbed(self.in_channels, self.embed_dims, **patch)
        self.train_hw: Grid = squares(self.img_hw, patch_size)
        self.pos_embed = self._build_pos_embed(self.embed_dims, self.train_hw)
        if self.with_cls_token:
            self.cls_token = nn.Parameter(torch.empty(1, 1, self.embed_dims))
            self.reset_parameters()
        heads = dict(head_dims=self.embed_dims // num_heads, num_heads=num_heads)
        self.registers = build_registers(registers, self.embed_dims, self.rope, heads)
        self.pre_norm = build_norm(norm_cfg, self.embed_dims) if pre_norm else None

        self.window = self._read_window(window)
        self.blocks = nn.ModuleList()
        for i, rate in enumerate(self._drop_path_rates(drop_path_schedule, self.num_layers)):
            attention, args = self._attention_of(i)
            attn = attention(self.embed_dims, num_heads, **self.attn_cfg, **args)
            self.blocks.append(
                VisionLLaMABlock(self.embed_dims, attn, norm_cfg=norm_cfg, drop_path=rate, **self.block_cfg)
            )
        self.out_norm = out_norm or ("none" if out_type == "featmap" else "shared")
        self.norms = nn.ModuleDict(
            {name: build_norm(norm_cfg, self.embed_dims) for name in self._norm_names()}
        )
        pool = None if isinstance(out_type, str) else out_type
        self.pool = pool and build_component(pool, embed_dims=self.embed_dims)
        self._freeze()

    def reset_parameters(self) -> None:
        """Draw the class token."""
        if self.with_cls_token:
            nn.init.trunc_normal_(self.cls_token, std=0.02)

    def _read_window(self, window: dict | None) -> dict | None:
        if window is None:
            return None
        check_keys("window", window, ("size", "global_blocks", "mask_padding", "global_attn"))
        check("window.size", window.get("size"), Positive)
        check("window.mask_padding", window.get("mask_padding", True), bool)
        if self._cls_is_rotated:
            raise ArgumentError(
                "window needs a model without class token, or with one that is not rotated "
                f"(rope.cls_position=None), got window={window}"
            )
        summary = check("window.global_attn", window.get("global_attn"), dict | None)
        check_keys("window.global_attn", summary or {}, ("ratio", "summary"))
        chosen = check("window.global_blocks", window.get("global_blocks", ()), int | Sequence[int])
        blocks = resolve_indices("window.global_blocks", chosen, self.num_layers, "global block")
        return window | dict(global_blocks=blocks)

    def _attention_of(self, index: int) -> tuple[type[RotaryAttention], dict]:
        if self.window is None:
            return RotaryAttention, {}
        if index not in self.window["global_blocks"]:
            size, masked = self.window["size"], self.window.get("mask_padding", True)
            window = dict(window_size=size, mask_padding=masked)
            return WindowAttention, window | dict(extra_tokens=self.extra_tokens)
        summary = self.window.get("global_attn")
        if summary:
            return SubsampledAttention, summary | dict(extra_tokens=self.extra_tokens)
        return RotaryAttention, {}

    @property
    def extra_tokens(self) -> int:
        """How many tokens precede the patches: the class token, then the registers."""
        return int(self.with_cls_token) + len(self.registers or ())

    @property
    def _cls_is_rotated(self) -> bool:
        return self.with_cls_token and self.rope is not None and self.rope.cls_position is not None

    def _norm_names(self) -> list[str]:
        single = {"shared": ["all"], "tokens": ["all"], "last": ["all"], "both": ["last", "all"], "none": []}
        return single.get(self.out_norm, [str(i) for i in self.out_indices])

    def _norm_of(self, index: int) -> nn.Module:
        if self.out_norm == "each":
            return self.norms[str(index)]
        last = index == self.num_layers - 1
        applies = self.out_norm in ("shared", "tokens", "both") or (self.out_norm == "last" and last)
        return self.norms["all"] if applies else nn.Identity()

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        """Map (B, in_channels, img_h, img_w) to one output per entry of ``out_indices``."""
        x, hw = self._embed(img)
        late = self.pos_embed is not None and self.pos_embed.after_first_block
        if self.registers is not None:
            x = self.registers(x)
        if self.with_cls_token:
            x = torch.cat((self.cls_token.to(x.dtype).expand(x.shape[0], -1, -1), x), dim=1)
        if self.pre_norm is not None:
            x = self.pre_norm(x).to(x.dtype)
        blocks = self._run_blocks
        tables = {kind: of_blocks(x, len(blocks)) for kind, x in self._tables(hw, img.device).items()}
        outs = []
        for i, block in enumerate(blocks):
            x = self._run(block, x, hw, tables[type(block.attn)][i])
            if i == 0 and late:
                extra, tokens = split_extra(x, self.extra_tokens)
                x = join_extra(extra, self.pos_embed(tokens, hw))
            if i in self.out_indices:
                outs.append(self._output(x, hw, i))
        return tuple(outs)

    @property
    def _run_blocks(self) -> nn.ModuleList:
        return self.blocks[: self.out_indices[-1] + 1]

    def _embed(self, img: Tensor) -> tuple[Tensor, Grid]:
        self._check_images(img)
        x, hw = self.patch_embed(img)
        x = x.to(img.dtype)
        early = self.pos_embed is not None and not self.pos_embed.after_first_block
        return self.pos_embed(x, hw) if early else x, hw

    def _tables(self, hw: Grid, device: torch.device) -> dict[type, Tables | None]:
        position_N2 = grid_positions(hw, device)
        if self._cls_is_rotated:
            position_N2 = torch.cat((self.rope.class_token(hw, device), position_N2))
        attentions = (block.attn for block in self._run_blocks)
        tables = rotary_tables(self.rope, attentions, position_N2, hw, self.train_hw)
        return {kind: self._with_extra_rows(x) for kind, x in tables.items()}

    def _with_extra_rows(self, tables: Tables | None) -> Tables | None:
        """Insert the rotary rows of registers, and of a class token that is not rotated."""
        if tables is None:
            return None
        if self.registers is not None:
            tables = self.registers.with_rows(tables, int(self._cls_is_rotated))
        if self.with_cls_token and not self._cls_is_rotated:
            cos = tables[0].cos
            tables = with_rows(tables, still_rows(1, cos.shape[-1], cos.device), 0)
        return tables

    def _output(self, x: Tensor, hw: Grid, index: int) -> Tensor:
        if self.out_norm == "both" and index == self.num_layers - 1:
            x = self.norms["last"](x)
        norm = self._norm_of(index)
        if self.out_norm == "tokens":
            x, norm = norm(x), nn.Identity()
        if self.pool is not None:
            return norm(self.pool(x))
        tokens = x[:, self.extra_tokens :]
        if self.out_type == "raw":
            own = x[:, : int(self.with_cls_token)]
            return norm(x if self.registers is None else torch.cat((own, tokens), dim=1))
        if self.out_type == "cls_token":
            return norm(x[:, 0])
        if self.out_type == "avg_featmap":
            return norm(tokens.mean(dim=1))
        return norm(tokens).transpose(1, 2).unflatten(2, hw).contiguous()

    def _unused(self) -> list[nn.Module]:
        late = self.num_layers - 1 not in self.out_indices and {"last": "all", "both": "last"}.get(
            self.out_norm
        )
        run = self.out_indices[-1] + 1
        return [*self.blocks[run:], *self._frequencies[run:], *([self.norms[late]] if late else [])]

    @property
    def _frequencies(self) -> list[nn.Parameter]:
        """Learned rotary frequencies, those of a block each."""
        return list(self.rope.frequencies) if self.rope is not None and self.rope.learned else []

    def _freezable(self) -> list[list[nn.Module | nn.Parameter | None]]:
        tokens = [self.cls_token if self.with_cls_token else None, self.registers]
        stem = [self.patch_embed, self.pos_embed, *tokens, self.pre_norm]
        learned = zip_longest(self.blocks, self._frequencies)
        return [stem, *map(list, learned), [self.norms, self.pool]]

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """Give a parameter's depth and the number of depths, for layer-wise learning-rate decay.

        Patches, class token, registers and positions have depth 0, block i, with its learned frequencies,
        has i + 1, all else the last.
        """
        num_layers = self.num_layers + 2
        head, *rest = param_name.removeprefix(prefix).split(".")
        if not param_name.startswith(prefix) or head.startswith("norm") or head == "pool":
            return num_layers - 1, num_layers
        block = {"blocks": 0, "rope": 1}.get(head)
        return (0 if block is None else int(rest[block]) + 1), num_layers
