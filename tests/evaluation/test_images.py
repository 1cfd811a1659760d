"""Sets of images on disk."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation import open_images, write_npz, write_png
from mmvisionllama.evaluation.images import ImageSet
from tests.evaluation.image_arrays import ImageArray


def noise(*shape: int) -> NDArray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def content(images: ImageSet, size: int = 3) -> NDArray:
    return np.concatenate(list(images.batches(size)))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_npz_file_is_what_numpy_and_so_adm_reads(channels: int, tmp_path: Path) -> None:
    images, labels = noise(7, 4, 5, channels), np.arange(7)
    write_npz(tmp_path / "a.npz", ImageArray("a", images, labels))
    with np.load(tmp_path / "a.npz") as found:
        assert np.array_equal(found["arr_0"], images)
        assert np.array_equal(found["arr_1"], labels)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_comes_back_in_batches_of_any_size(save: object, tmp_path: Path) -> None:
    images = noise(7, 4, 5, 3)
    save(tmp_path / "a.npz", images, np.arange(7))
    found = open_images(tmp_path / "a.npz")
    assert found.image_shape == (4, 5, 3)
    assert np.array_equal(found.labels, np.arange(7))
    assert [len(x) for x in found.batches(3)] == [3, 3, 1]
    assert np.array_equal(content(found), images)
    assert np.array_equal(content(found, 100), images)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_gives_images_and_labels_in_the_order_of_their_indices(
    channels: int, tmp_path: Path
) -> None:
    images, labels = noise(12, 4, 5, channels), np.arange(12)[::-1] % 5
    for index in reversed(range(12)):
        write_png(tmp_path, index, images[index], int(labels[index]))
    found = open_images(tmp_path)
    assert np.array_equal(content(found, 5), images)
    assert np.array_equal(found.labels, labels)


def test_a_folder_is_packed_into_an_npz_file_without_loss(tmp_path: Path) -> None:
    images = noise(5, 4, 4, 3)
    for index, image in enumerate(images):
        write_png(tmp_path / "png", index, image)
    write_npz(tmp_path / "a.npz", open_images(tmp_path / "png"))
    found = open_images(tmp_path / "a.npz")
    assert np.array_equal(content(found), images)
    assert found.labels is None


def test_half_written_files_of_a_killed_sampling_are_no_samples(tmp_path: Path) -> None:
    write_png(tmp_path, 0, noise(4, 4, 3))
    (tmp_path / ".000001.4711.png").write_bytes(b"\x89PNG")
    assert len(open_images(tmp_path)) == 1


def test_writing_that_fails_leaves_nothing(tmp_path: Path) -> None:
    class Broken(ImageArray):
        def batches(self, size: int) -> object:
            yield self._images[:1]
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_npz(tmp_path / "a.npz", Broken("a", noise(3, 4, 4, 3)))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", noise(50, 8, 8, 3))
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:3000])
    with pytest.raises(EvaluationError, match=r"b\.npz is neither a folder .* nor a whole \.npz file"):
        open_images(tmp_path / "b.npz")


def test_a_file_with_a_changed_byte_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", noise(50, 8, 8, 3))
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    whole[3000] ^= 1
    (tmp_path / "a.npz").write_bytes(whole)
    with pytest.raises(EvaluationError, match=r"a\.npz is damaged: Bad CRC-32"):
        content(open_images(tmp_path / "a.npz"))


def test_fewer_bytes_than_the_header_says_are_damage(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("arr_0.npy", "w") as file:
        header = dict(descr="|u1", fortran_order=False, shape=(9, 4, 4, 3))
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(100))
    with pytest.raises(EvaluationError, match="is damaged"):
        content(open_images(tmp_path / "a.npz"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (dict(images=noise(2, 4, 4, 3)), "no array 'arr_0' of images; it has images"),
        (dict(arr_0=np.zeros((2, 4, 4, 3), np.float32)), "must be uint8"),
        (dict(arr_0=noise(2, 4, 4)), "must be uint8 of"),
        (dict(arr_0=noise(2, 4, 4, 2)), "height x width x 1 or 3"),
        (dict(arr_0=noise(0, 4, 4, 3)), "holds no image"),
        (dict(arr_0=noise(2, 4, 4, 3), arr_1=np.arange(3)), r"2 images, but labels of the shape \(3,\)"),
        (dict(arr_0=noise(2, 4, 4, 3), arr_1=np.array([{}, {}])), "arr_1 cannot be read"),
    ],
)
def test_an_npz_file_of_something_else_is_refused(arrays: dict, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(EvaluationError, match=message):
        open_images(tmp_path / "a.npz")


def test_a_folder_with_labels_in_some_names_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path, 0, noise(4, 4, 3), 1)
    write_png(tmp_path, 1, noise(4, 4, 3))
    with pytest.raises(EvaluationError, match=r"1 of 2 files have a class.*000001\.png has none"):
        open_images(tmp_path)


def test_a_png_of_another_size_or_kind_is_named(tmp_path: Path) -> None:
    write_png(tmp_path, 0, noise(4, 4, 3))
    write_png(tmp_path, 1, noise(4, 5, 3))
    with pytest.raises(EvaluationError, match=r"000001\.png is \(4, 5, 3\), 000000\.png is \(4, 4, 3\)"):
        content(open_images(tmp_path))
    Image.fromarray(noise(4, 4, 4)).save(tmp_path / "000001.png")
    with pytest.raises(EvaluationError, match=r"000001\.png is of the mode RGBA"):
        content(open_images(tmp_path))
    (tmp_path / "000001.png").write_bytes((tmp_path / "000000.png").read_bytes()[:60])
    with pytest.raises(EvaluationError, match=r"000001\.png: the picture cannot be read"):
        content(open_images(tmp_path))


def test_a_path_that_does_not_exist_comes_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "samples.npz").touch()
    with pytest.raises(EvaluationError, match=r"sample\.npz does not exist\. Did you mean 'samples\.npz'"):
        open_images(tmp_path / "sample.npz")
    with pytest.raises(EvaluationError, match="Nor does the folder"):
        open_images(tmp_path / "no" / "sample.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match=r"empty holds no \.png file"):
        open_images(tmp_path / "empty")
