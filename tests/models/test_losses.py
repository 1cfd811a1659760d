"""The losses against their definition."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch.nn import functional as F

from mmvisionllama.models.losses import BinarizedCrossEntropyLoss


def test_mixed_labels_count_as_whole_ones() -> None:
    score = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    mixed = torch.tensor([[0.3, 0, 0.7, 0, 0], [0, 1.0, 0, 0, 0], [0, 0, 0, 1e-6, 1 - 1e-6]])
    whole = torch.tensor([[1.0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 1]])
    wanted = F.binary_cross_entropy_with_logits(score, whole)
    torch.testing.assert_close(BinarizedCrossEntropyLoss()(score, mixed, avg_factor=3), wanted)


def test_indices_count_as_one_hot_labels() -> None:
    score, label = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 1])
    loss = BinarizedCrossEntropyLoss()
    assert loss(score, label) == loss(score, F.one_hot(label, 4).float())


@pytest.mark.parametrize("mixed", [False, True])
def test_it_serves_a_classifier_of_the_host(mixed: bool) -> None:
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="ImageClassifier",
            backbone=dict(type="mmvisionllama.VisionLLaMA", arch="tiny", img_size=32, patch_size=8),
            head=dict(
                type="LinearClsHead",
                num_classes=4,
                in_channels=96,
                loss=dict(type="mmvisionllama.BinarizedCrossEntropyLoss"),
            ),
            train_cfg=dict(augments=[dict(type="Mixup", alpha=0.8)]) if mixed else None,
            data_preprocessor=dict(num_classes=4),
        )
    )
    model.init_weights()
    from mmpretrain.structures import DataSample

    samples = [DataSample().set_gt_label(label) for label in (0, 3)]
    batch = dict(inputs=torch.zeros(2, 3, 32, 32, dtype=torch.uint8), data_samples=samples)
    loss = model.loss(**model.data_preprocessor(batch, training=True))["loss"]
    assert 0.5 < loss.item() < 1  # logits of an untrained model are near 0, where it is log 2
