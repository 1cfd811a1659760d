"""Reference cases of the original research code: tensors, and its parameter names in ours."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1] / "data/refs"
RENAMES = (
    (r"^blocks\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"^layers\.", "blocks."),
    (r"^patch_embeds\.(\d+)\.proj\.", r"stages.\1.patch_embed.projection."),
    (r"^patch_embeds\.(\d+)\.norm\.", r"stages.\1.patch_embed.norm."),
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
    (r"^norm_list\.", "norms."),
    (r"^norm\.", "norms.all."),
    (r"\.gamma_", ".gamma"),
    (r"\.ln(\d)\.", r".norm\1."),
    (r"\.attn\.sr\.", ".attn.summary."),
    (r"\.mlp\.c_fc1\.", ".ffn.gate."),
    (r"\.mlp\.c_fc2\.", ".ffn.up."),
    (r"\.mlp\.c_proj\.", ".ffn.down."),
    (r"\.ffn\.w3\.", ".ffn.down."),
)


class Case(NamedTuple):
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    weights: dict[str, Tensor]  # of the backbone
    head: dict[str, Tensor]  # what follows it, in the original's names
    atol: dict[str, float]
    spec: dict[str, Any]

    def check(self, name: str, ours: Tensor) -> None:
        torch.testing.assert_close(ours, self.outputs[name], atol=self.atol[name], rtol=0)


def load_case(name: str) -> Case:
    arrays = np.load(ROOT / f"{name}.npz")
    parts: dict[str, dict[str, Tensor]] = {"in": {}, "out": {}, "sd": {}}
    for key in arrays.files:
        part, _, rest = key.partition("::")
        parts[part][rest] = torch.from_numpy(arrays[key])
    spec = json.loads((ROOT / f"{name}.json").read_text())
    weights: dict[str, Tensor] = {}
    for key, value in parts["sd"].items():
        key = key.removeprefix("backbone.")
        for pattern, ours in RENAMES:
            key = re.sub(pattern, ours, key)
        if ".ffn.w12." in key:
            for half, tensor in zip(("gate", "up"), value.chunk(2), strict=True):
                weights[key.replace("w12", half)] = tensor
        elif not key.startswith(("head.", "neck.")) and key != "pos_embed":
            weights[key] = value
    head = {key: value for key, value in parts["sd"].items() if key.startswith(("head.", "neck."))}
    return Case(parts["in"], parts["out"], weights, head, spec["suggested_atol"], spec)
