"""A regression that trains in milliseconds, for tests of the commands rather than of models."""

import time
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from torch import Tensor, nn


@MODELS.register_module()
class ToyBackbone(BaseModule):
    def __init__(self, width: int = 8, frozen: bool = False, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if width % 2:
            raise ValueError(f"width must be even, got {width}")
        self.hidden = nn.Linear(4, width).requires_grad_(not frozen)

    def forward(self, x: Tensor) -> Tensor:
        return self.hidden(x).tanh()


@MODELS.register_module()
class ToyRegression(BaseModel):
    def __init__(self, backbone: dict) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.head = nn.Linear(self.backbone.hidden.out_features, 1)

    def forward(
        self, inputs: Tensor, target: Tensor, sample_idx: Tensor | None = None, mode: str = "tensor"
    ) -> Any:
        predicted = self.head(self.backbone(inputs)).squeeze(1)
        if mode == "loss":
            return {"loss": (predicted - target).square().mean()}
        return [{"error": x} for x in (predicted - target).abs()]


@MODELS.register_module()
class ToyWithSpare(ToyRegression):
    """Has a layer that it does not use."""

    def __init__(self, backbone: dict) -> None:
        super().__init__(backbone)
        self.spare = nn.Linear(2, 1)


@DATASETS.register_module()
class ToyPoints(BaseDataset):
    def __init__(self, count: int = 32, **kwargs: Any) -> None:
        self.count = count
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Tensor]]:
        points = torch.randn(self.count, 4, generator=torch.Generator().manual_seed(1))
        return [{"inputs": point, "target": point.prod()} for point in points]


@HOOKS.register_module()
class SlowStepHook(Hook):
    """Let the step after so many others take long."""

    def __init__(self, step: int, seconds: float) -> None:
        self.step, self.seconds = step, seconds

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.step:
            time.sleep(self.seconds)


@METRICS.register_module()
class ToyError(BaseMetric):
    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += [x["error"].item() for x in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {"error": sum(results) / len(results)}
