"""Two training steps and a prediction of a toy detector, the same on any operators."""

from typing import Any

import torch
from mmdet.testing import demo_mm_inputs
from mmengine.registry import MODELS, init_default_scope

from mmvisionllama.config import load_config
from tests.without_operators import ROOT


def steps_of(name: str) -> dict[str, Any]:
    """Return the losses before and after a step, and how many objects the detector then finds."""
    init_default_scope("mmdet")
    torch.manual_seed(0)
    model = MODELS.build(load_config(ROOT / f"configs/toy/{name}.py").model)
    data = demo_mm_inputs(2, (3, 64, 64), [3, 3], num_classes=10, with_mask=True)
    data = model.data_preprocessor(data, training=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for step in range(2):
        torch.manual_seed(step)  # regions are drawn
        total, parts = model.parse_losses(model(**data, mode="loss"))
        losses.append({key: value.item() for key, value in parts.items()})
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        found = model.eval()(**data, mode="predict")[0].pred_instances
    return {"losses": losses, "objects": len(found.masks)}
