"""curves.png: what it draws, over a resume, without validation, and with losses that are not finite."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot
import numpy as np
import pytest
from matplotlib.figure import Figure
from mmengine.runner import Runner
from PIL import Image

from mmvisionllama.reports import figures as figures_file
from mmvisionllama.reports.curves import CurvesHook

CURVES = {"type": "mmvisionllama.CurvesHook"}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Collect every figure that is saved, and save it still."""
    seen, png_of = [], figures_file.png_of

    def seen_png_of(figure: Figure) -> bytes:
        seen.append(figure)
        return png_of(figure)

    monkeypatch.setattr(figures_file, "png_of", seen_png_of)
    return seen


def test_a_finished_training_leaves_a_picture_of_its_curves(finished: Runner) -> None:
    with Image.open(Path(finished.work_dir) / "curves.png") as picture:
        picture.load()
        assert picture.format == "PNG" and min(picture.size) > 500


def test_the_curves_are_those_that_were_logged(
    finished: Runner, figures: list[Figure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "_work_dir", str(tmp_path))
    CurvesHook(smoothing=2).report(finished, "finished")
    loss, rate, metrics = figures[-1].axes
    raw = finished.message_hub.get_scalar("train/loss").data[0]
    assert loss.lines[0].get_xydata() == pytest.approx(np.stack([[1, 2, 3, 4], raw], axis=1))
    assert loss.lines[1].get_ydata() == pytest.approx([raw[0], *(raw[1:] + raw[:-1]) / 2])
    assert rate.lines[0].get_ydata()[0] == pytest.approx(1e-3)
    assert [line.get_label().split(",")[0] for line in metrics.lines] == ["aAcc", "mIoU", "mAcc"]
    assert metrics.lines[0].get_xdata().tolist() == [2, 4]


def test_a_resumed_training_draws_the_curves_from_its_start(
    build_runner: Callable[..., Runner], figures: list[Figure]
) -> None:
    short = {"type": "IterBasedTrainLoop", "max_iters": 2, "val_interval": 2}
    build_runner(CURVES, train_cfg=short).train()
    build_runner(CURVES, train_cfg={**short, "max_iters": 4}, resume=True).train()
    loss, _, metrics = figures[-1].axes
    assert loss.lines[0].get_xdata().tolist() == [1, 2, 3, 4]
    assert metrics.lines[0].get_xdata().tolist() == [2, 4]


def test_a_training_without_validation_has_curves_without_metrics(
    build_runner: Callable[..., Runner], figures: list[Figure]
) -> None:
    hooks = {"checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": 4}}
    build_runner(CURVES, val_dataloader=None, val_cfg=None, val_evaluator=None, default_hooks=hooks).train()
    assert len(figures[-1].axes) == 2


def test_losses_that_are_not_finite_are_counted_in_the_title(
    finished: Runner, figures: list[Figure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "_work_dir", str(tmp_path))
    losses = np.array([1.0, np.nan, np.inf, 2.0])
    monkeypatch.setattr(finished.message_hub.get_scalar("train/loss"), "_log_history", losses)
    CurvesHook(smoothing=4).report(finished, "finished")
    loss = figures[-1].axes[0]
    assert loss.get_title() == "Training loss (2 values are not finite)"
    assert loss.lines[1].get_ydata()[-1] == pytest.approx(1.5)


def test_drawing_leaves_no_figure_in_pyplot(finished: Runner) -> None:
    assert (Path(finished.work_dir) / "curves.png").exists()
    assert matplotlib.pyplot.get_fignums() == []


def test_a_smoothing_below_one_iteration_is_an_error() -> None:
    with pytest.raises(ValueError, match="smoothing takes a whole number of at least 1 or None, got 0"):
        CurvesHook(smoothing=0)
