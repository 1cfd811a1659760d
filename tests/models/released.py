"""Reference cases of the original research code, and models of ours with their weights."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmvisionllama.checkpoint import Converted, convert_released
from mmvisionllama.registry import MODELS

ROOT = Path(__file__).parents[1] / "data/refs"


class Case(NamedTuple):
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    weights: dict[str, Tensor]  # as released
    atol: dict[str, float]
    spec: dict[str, Any]

    def check(self, name: str, ours: Tensor) -> None:
        torch.testing.assert_close(ours, self.outputs[name], atol=self.atol[name], rtol=0)

    @property
    def num_heads(self) -> int | list[int]:
        spec = self.spec["constructor"]
        return (spec.get("backbone", spec).get("arch") or spec)["num_heads"]

    def converted(self, **known: Any) -> Converted:
        return convert_released(self.weights, **dict(num_heads=self.num_heads) | known)

    def model(self, **known: Any) -> nn.Module:
        """Build the model that the converter makes of the weights, in evaluation mode."""
        converted = self.converted(**known)
        model = MODELS.build(converted.model)
        model.load_state_dict(converted.state_dict, strict=True)
        return model.eval()


def load_case(name: str) -> Case:
    arrays = np.load(ROOT / f"{name}.npz")
    parts: dict[str, dict[str, Tensor]] = {"in": {}, "out": {}, "sd": {}}
    for key in arrays.files:
        part, _, rest = key.partition("::")
        parts[part][rest] = torch.from_numpy(arrays[key])
    spec = json.loads((ROOT / f"{name}.json").read_text())
    return Case(parts["in"], parts["out"], parts["sd"], spec["suggested_atol"], spec)
