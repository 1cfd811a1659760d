"""Corrupt images: named and skipped in training up to a number, an error in an evaluation."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmengine.registry import TRANSFORMS
from PIL import Image

from mmvisionllama.datasets.image_loading import CorruptImageError, LoadImageFromFile

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
SPOIL: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "text": lambda content: b"<html>404</html>",
}


class Folder(BaseDataset):
    """All files of a folder."""

    def load_data_list(self) -> list[dict]:
        return [{"img_path": str(path)} for path in sorted(Path(self.data_root).iterdir())]


def write(path: Path, spoil: str | None = None) -> Path:
    Image.fromarray(PIXELS).save(path)
    if spoil is not None:
        path.write_bytes(SPOIL[spoil](path.read_bytes()))
    return path


def folder_of(root: Path, corrupt: int, **options: object) -> Folder:
    for index in range(6):
        write(root / f"{index}.jpg", "cut off" if index < corrupt else None)
    return Folder(data_root=str(root), pipeline=[LoadImageFromFile(**options)])


@pytest.fixture
def warnings_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, caplog.handler])
    return lambda: [x.getMessage() for x in caplog.records if x.levelno == logging.WARNING]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_sound_image_is_loaded_as_mmcv_loads_it(tmp_path: Path, suffix: str) -> None:
    path = str(write(tmp_path / f"sound.{suffix}"))
    ours = TRANSFORMS.build({"type": "mmvisionllama.LoadImageFromFile", "to_float32": True})
    theirs = TRANSFORMS.build({"type": "mmcv.LoadImageFromFile", "to_float32": True})
    loaded, expected = ours({"img_path": path}), theirs({"img_path": path})
    assert np.array_equal(loaded.pop("img"), expected.pop("img"))
    assert loaded == expected


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("spoil", SPOIL)
@pytest.mark.parametrize("backend", ["cv2", "pillow"])
def test_a_corrupt_image_is_skipped_and_named(
    tmp_path: Path, suffix: str, spoil: str, backend: str, warnings_logged: Callable[[], list[str]]
) -> None:
    path = write(tmp_path / f"broken.{suffix}", spoil)
    assert LoadImageFromFile(imdecode_backend=backend, max_corrupt=10)({"img_path": str(path)}) is None
    (message,) = warnings_logged()
    assert str(path) in message and "1 of at most 10" in message


def test_a_missing_image_is_skipped_and_named(
    tmp_path: Path, warnings_logged: Callable[[], list[str]]
) -> None:
    assert LoadImageFromFile(max_corrupt=1)({"img_path": str(tmp_path / "gone.jpg")}) is None
    assert "gone.jpg: FileNotFoundError" in warnings_logged()[0]


def test_training_goes_on_with_another_image(tmp_path: Path) -> None:
    dataset = folder_of(tmp_path, corrupt=2, max_corrupt=2)
    assert all(Path(dataset[index]["img_path"]).stem in "2345" for index in range(6))


def test_the_same_corrupt_file_counts_and_is_logged_once(
    tmp_path: Path, warnings_logged: Callable[[], list[str]]
) -> None:
    dataset = folder_of(tmp_path, corrupt=1, max_corrupt=1)
    for _ in range(3):
        dataset[0]
    assert len(warnings_logged()) == 1


def test_one_corrupt_file_too_many_ends_the_run_and_lists_them_all(tmp_path: Path) -> None:
    dataset = folder_of(tmp_path, corrupt=3, max_corrupt=2)
    with pytest.raises(CorruptImageError, match=r"3 corrupt images, max_corrupt=2") as error:
        for index in range(3):
            dataset[index]
    assert all(f"{index}.jpg: ValueError: the file is cut off" in str(error.value) for index in range(3))


def test_unless_told_otherwise_the_first_corrupt_image_is_an_error(tmp_path: Path) -> None:
    dataset = folder_of(tmp_path, corrupt=1)
    with pytest.raises(CorruptImageError, match=r"0\.jpg: ValueError: the file is cut off"):
        dataset[0]


def test_a_jpeg_with_a_thumbnail_that_is_cut_off_is_recognised(tmp_path: Path) -> None:
    thumbnail = write(tmp_path / "thumbnail.jpg").read_bytes()
    picture = write(tmp_path / "picture.jpg").read_bytes()
    # An APP15 segment: marker, length including itself, content.
    segment = b"\xff\xef" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = picture[:2] + segment + picture[2:]
    for name, content in {"whole": whole, "cut": whole[:-200]}.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    assert LoadImageFromFile()({"img_path": str(tmp_path / "whole.jpg")}) is not None
    assert LoadImageFromFile(max_corrupt=1)({"img_path": str(tmp_path / "cut.jpg")}) is None


def test_bytes_after_the_end_of_a_picture_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "long.jpg")
    path.write_bytes(path.read_bytes() + bytes(100))
    assert LoadImageFromFile(max_corrupt=0)({"img_path": str(path)}) is not None


def test_a_negative_number_of_corrupt_files_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_corrupt takes a whole number of at least 0, got -1"):
        LoadImageFromFile(max_corrupt=-1)
