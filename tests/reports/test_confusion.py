"""confusion.png of a classifier."""

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from mmvisionllama.reports import confusion
from mmvisionllama.reports.confusion import ConfusionHook, draw_confusion

CLASSES = ("ant", "bee, honey bee")


def test_the_confusion_matrix_shows_shares_counts_and_accuracies() -> None:
    figure = draw_confusion(np.array([[3, 1], [1, 1]]), CLASSES)
    matrix, accuracy = figure.axes[:2]
    assert matrix.images[0].get_array().tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert [text.get_text() for text in matrix.texts] == ["3", "1", "1", "1"]
    assert [bar.get_width() for bar in accuracy.patches] == [75, 50]
    assert [label.get_text() for label in matrix.get_yticklabels()] == ["ant", "bee"]


def test_a_thousand_classes_are_drawn_without_names() -> None:
    figure = draw_confusion(np.eye(1000, dtype=int), [f"class {i}" for i in range(1000)])
    assert not figure.axes[0].texts
    assert figure.get_size_inches().max() < 25


def test_a_test_run_draws_all_its_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(confusion, "draw_confusion", lambda *x: drawn.append(x) or draw_confusion(*x))
    scores = torch.tensor([0.2, 0.8])
    samples = [DataSample().set_gt_label(x).set_pred_score(scores).set_pred_label(1) for x in (0, 1, 1)]
    dataset = type("Dataset", (list,), {"metainfo": {"classes": CLASSES}})(samples)
    runner = SimpleNamespace(
        test_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset)),
        work_dir=tmp_path,
        logger=logging.getLogger("confusion"),
    )
    hook = ConfusionHook()
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, None, samples[:2])
    hook.after_test_iter(runner, 1, None, samples[2:])
    hook.after_test_epoch(runner)
    assert drawn[0][0].tolist() == [[0, 1], [0, 2]]
    assert (tmp_path / "confusion.png").is_file()
