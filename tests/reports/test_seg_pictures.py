"""predictions.png: which pictures, what they show, and where they are written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from PIL import Image

from mmvisionllama.reports.pictures import PicturesHook
from mmvisionllama.reports.seg_pictures import SegPicturesHook

META = {"classes": ("ground", "square"), "palette": [[20, 60, 160], [240, 200, 40]]}


class NamesHook(PicturesHook):
    """Keep the file names of the chosen pictures, and write them as the title of an empty figure."""

    drawn: list[list[str]]

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.drawn = []

    def keep(self, sample: BaseDataElement, metainfo: dict, img: torch.Tensor | None = None) -> str:
        return Path(sample.img_path).stem

    def draw(self, kept: list[str], metainfo: dict) -> Figure:
        self.drawn.append(kept)
        return Figure(figsize=(1, 1))


def sample_of(root: Path, truth: np.ndarray | None, predicted: np.ndarray) -> BaseDataElement:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    sample = SegDataSample(metainfo={"img_path": str(root / "images" / "0.jpg")})
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(predicted)[None])
    if truth is not None:
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(truth)[None])
    return sample


def drawn_panels(figure: Figure) -> list[np.ndarray]:
    return [ax.images[0].get_array() for ax in figure.axes if ax.images]


@pytest.mark.parametrize(
    ("number", "chosen"), [(1, ["0"]), (4, ["0", "3", "6", "9"]), (99, list("0123456789"))]
)
def test_the_pictures_are_evenly_spaced_and_the_same_at_every_evaluation(
    build_runner: Callable[..., Runner], number: int, chosen: list[str]
) -> None:
    hook = NamesHook(number)
    runner = build_runner()
    runner.register_hook(hook)
    runner.test()
    runner.test()
    assert hook.drawn == [chosen, chosen]


def test_a_finished_training_leaves_a_sheet_of_predictions(finished: Runner) -> None:
    with Image.open(Path(finished.work_dir) / "predictions.png") as picture:
        picture.load()
        assert picture.format == "PNG" and picture.height > picture.width > 500


def test_a_test_draws_in_the_work_directory_and_in_the_given_folder(
    build_runner: Callable[..., Runner], tmp_path: Path
) -> None:
    runner = build_runner(
        {"type": "mmvisionllama.SegPicturesHook", "out_dir": str(tmp_path / "shown"), "number": 2}
    )
    runner.test()
    pictures = [Path(runner.work_dir) / "predictions.png", tmp_path / "shown" / "predictions.png"]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_a_training_without_validation_draws_nothing_and_ends_well(
    build_runner: Callable[..., Runner],
) -> None:
    hooks = {"checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": 4}}
    off = {"val_dataloader": None, "val_cfg": None, "val_evaluator": None, "default_hooks": hooks}
    runner = build_runner({"type": "mmvisionllama.SegPicturesHook"}, **off)
    runner.train()
    assert not (Path(runner.work_dir) / "predictions.png").exists()


def test_a_row_shows_image_ground_truth_and_prediction_in_the_palette(squares: Path) -> None:
    truth = np.zeros((32, 32), np.int64)
    predicted = np.ones((32, 32), np.int64)
    hook = SegPicturesHook()
    figure = hook.draw([hook.keep(sample_of(squares, truth, predicted), META)], META)
    image, truth_panel, predicted_panel = drawn_panels(figure)
    assert np.array_equal(image, np.asarray(Image.open(squares / "images" / "0.jpg")))
    assert np.array_equal(np.unique(truth_panel.reshape(-1, 3), axis=0), [META["palette"][0]])
    assert np.array_equal(np.unique(predicted_panel.reshape(-1, 3), axis=0), [META["palette"][1]])


def test_ignored_pixels_look_like_no_class_and_are_in_the_legend(squares: Path) -> None:
    truth = np.full((32, 32), 255, np.int64)
    hook = SegPicturesHook()
    figure = hook.draw([hook.keep(sample_of(squares, truth, np.zeros_like(truth)), META)], META)
    colours = {tuple(x) for x in drawn_panels(figure)[1].reshape(-1, 3).tolist()}
    assert len(colours) == 2 and not colours & {tuple(x) for x in META["palette"]}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ground", "ignored"]


def test_pictures_without_ground_truth_have_two_columns(squares: Path) -> None:
    hook = SegPicturesHook()
    figure = hook.draw([hook.keep(sample_of(squares, None, np.zeros((32, 32), np.int64)), META)], META)
    assert [ax.get_title() for ax in figure.axes] == ["image", "prediction"]


def test_a_large_picture_is_kept_small(squares: Path) -> None:
    labels = np.zeros((1024, 2048), np.int64)
    kept = SegPicturesHook().keep(sample_of(squares, labels, labels), META)
    assert {kept[key].shape[:2] for key in ("image", "truth", "predicted")} == {(256, 512)}


def test_a_model_that_predicts_no_segmentation_is_an_error_that_says_so() -> None:
    with pytest.raises(
        TypeError, match=r"draws pred_sem_seg, but the model gave BaseDataElement with \['bboxes'\]"
    ):
        SegPicturesHook().keep(BaseDataElement(bboxes=torch.zeros(1, 4)), META)


def test_no_picture_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="number takes a whole number of at least 1, got 0"):
        SegPicturesHook(number=0)
