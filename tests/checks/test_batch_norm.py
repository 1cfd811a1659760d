"""Batch norm over one value of each channel is refused before a training, not by torch within it."""

import pytest
from mmengine.config import ConfigDict
from torch import nn

from mmvisionllama.checks.batch_norm import require_enough_for_batch_norm
from mmvisionllama.errors import ConfigError
from tests.tools import toy  # noqa: F401  (registers its data set)

POOLED = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)))
OF_VECTORS = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
OF_MAPS = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1))


def config(batch: int, count: int = 9, **options: object) -> ConfigDict:
    dataset = dict(type="ToyPoints", count=count)
    loader = dict(batch_size=batch, dataset=dataset, sampler=dict(type="DefaultSampler", shuffle=True))
    return ConfigDict(train_dataloader={**loader, **options})


@pytest.mark.parametrize("model", [POOLED, OF_VECTORS], ids=["pooled", "vectors"])
def test_a_batch_of_one_image_is_refused(model: nn.Module) -> None:
    with pytest.raises(ConfigError, match=r"batch of a process has 1 image, so \S*1\S* would get one"):
        require_enough_for_batch_norm(config(1), model, 1)


def test_a_last_batch_of_one_image_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"last batch of 9 images by 4 has 1 image \(drop_last=True\)"):
        require_enough_for_batch_norm(config(4), OF_VECTORS, 1)


def test_what_torch_can_train_is_accepted() -> None:
    require_enough_for_batch_norm(config(1), OF_MAPS, 1)
    require_enough_for_batch_norm(config(1), nn.Linear(2, 2), 1)
    require_enough_for_batch_norm(config(4, drop_last=True), OF_VECTORS, 1)
    require_enough_for_batch_norm(config(4, count=10), OF_VECTORS, 1)
    require_enough_for_batch_norm(config(4, count=11), OF_VECTORS, 2)  # six images each
    require_enough_for_batch_norm(config(4, sampler=dict(type="InfiniteSampler")), OF_VECTORS, 1)


def test_the_norm_of_all_processes_needs_one_image_of_each() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.SyncBatchNorm(2))
    require_enough_for_batch_norm(config(1), model, 2)
    with pytest.raises(ConfigError):
        require_enough_for_batch_norm(config(1), model, 1)
