"""Loading of random crops: the host's crops, antialiased as by Pillow, decoded once and at a fraction."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpretrain.datasets.transforms import RandomResizedCrop
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader

from mmvisionllama.datasets.crop_loading import LoadRandomResizedCrop
from mmvisionllama.datasets.image_loading import CorruptImageError, LoadImageFromFile
from mmvisionllama.fault_tolerance.exact_data_order import KeyedDataset, KeyedIndex


def picture(width: int, height: int) -> NDArray:
    cell = max(width // 10, 16)
    small = np.random.default_rng(0).integers(0, 256, (height // cell, width // cell, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def saved(path: Path, width: int = 160, height: int = 112, orientation: int = 1) -> str:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture(width, height)).save(path, **(dict(exif=exif) if orientation > 1 else {}))
    return str(path)


def loaded(transform: LoadRandomResizedCrop, path: str, seed: int) -> NDArray:
    np.random.seed(seed)
    return transform(dict(img_path=path))["img"]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_crops_are_the_hosts_resized_as_by_pillow(
    tmp_path: Path, suffix: str, interpolation: str, orientation: int
) -> None:
    path = saved(tmp_path / f"x.{suffix}", orientation=orientation)
    ours = LoadRandomResizedCrop((48, 32), interpolation=interpolation)
    host = RandomResizedCrop((48, 32), interpolation=interpolation, backend="pillow")
    load = LoadImageFromFile()
    for seed in range(4):
        np.random.seed(seed)
        result, after = ours(dict(img_path=path)), np.random.rand()
        np.random.seed(seed)
        whole = load(dict(img_path=path))
        size = whole["ori_shape"]
        expected = host(whole)["img"]
        assert after == np.random.rand()
        assert np.abs(result["img"].astype(int) - expected).max() <= 1
        assert (result["img_shape"], result["ori_shape"]) == ((48, 32), size)


def test_large_jpegs_are_decoded_at_a_fraction_and_show_the_same_crop(tmp_path: Path) -> None:
    path = saved(tmp_path / "large.jpg", 800, 608, orientation=8)
    factors = set()
    for seed in range(6):
        reduced, whole = LoadRandomResizedCrop(64), LoadRandomResizedCrop(64, reducing_gap=None)
        result, expected = (loaded(transform, path, seed) for transform in (reduced, whole))
        assert np.abs(result.astype(int) - expected).mean() < 2
        factors.add(reduced._last[1])
    assert {2, 4} <= factors


def test_an_image_in_memory_is_cropped_colour_or_grey() -> None:
    image = picture(96, 64)
    image.setflags(write=False)
    result = LoadRandomResizedCrop(32)(dict(img=image))
    assert (result["img"].shape, result["ori_shape"]) == ((32, 32, 3), (64, 96))
    assert LoadRandomResizedCrop(32)(dict(img=image[..., 0]))["img"].shape == (32, 32)


def test_a_corrupt_image_is_skipped_up_to_a_number(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "x.jpg", 800, 608))
    path.write_bytes(path.read_bytes()[:-3000])
    assert LoadRandomResizedCrop(32, max_corrupt=1)(dict(img_path=str(path))) is None
    with pytest.raises(CorruptImageError, match=r"x\.jpg: ValueError: the file is cut off"):
        LoadRandomResizedCrop(32)(dict(img_path=str(path)))


def test_repeated_views_are_decoded_once_and_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = saved(tmp_path / "a.jpg"), saved(tmp_path / "b.jpg", 176)
    decoded = []
    decode = LoadRandomResizedCrop._decode
    monkeypatch.setattr(LoadRandomResizedCrop, "_decode", lambda *x: decoded.append(x) or decode(*x))
    transform = LoadRandomResizedCrop(32)
    views = [loaded(transform, path, seed) for seed, path in enumerate((first, first, first, second, second))]
    assert len(decoded) == 2
    assert not np.array_equal(views[0], views[1])
    views[0][:] = 0  # what follows may change a view in place
    assert np.array_equal(loaded(transform, second, 4), views[4])
    assert np.array_equal(loaded(transform, first, 1), views[1])


def test_a_scale_or_gap_out_of_range_is_refused() -> None:
    for wrong in (dict(scale=0), dict(scale=32, reducing_gap=0.5), dict(scale=32, interpolation="nearest")):
        with pytest.raises(ValueError, match=next(reversed(wrong))):
            LoadRandomResizedCrop(**wrong)


def test_keyed_samples_are_the_same_in_any_process_from_any_place(tmp_path: Path) -> None:
    """The transforms of the shipped recipe of RandAugment, by the key of each draw."""
    init_default_scope("mmpretrain")
    for name in "abcd":
        (tmp_path / "n0").mkdir(exist_ok=True)
        saved(tmp_path / "n0" / f"{name}.jpg")
    steps = [
        dict(type="mmvisionllama.LoadRandomResizedCrop", scale=32),
        dict(type="mmvisionllama.RandomFlip", prob=0.5),
        dict(type="mmvisionllama.RandAugment", policies="timm_increasing", num_policies=2, magnitude_level=9),
        dict(type="mmvisionllama.ThreeAugment"),
        dict(type="mmvisionllama.RandomErasing", erase_prob=1.0, mode="rand", fill_std=50.0),
        dict(type="mmpretrain.PackInputs"),
    ]
    dataset = dict(type="mmpretrain.CustomDataset", data_root=str(tmp_path), pipeline=steps)
    keyed = KeyedDataset(dataset, seed=3)
    draws = [KeyedIndex(place % 4, (1, place)) for place in range(8)]
    here = [keyed[draw]["inputs"] for draw in draws]
    loader = DataLoader(keyed, 2, sampler=draws[2:], num_workers=2, collate_fn=list)
    there = [sample["inputs"] for batch in loader for sample in batch]
    assert all(x.equal(y) for x, y in zip(here[2:], there, strict=True))
    assert not here[0].equal(here[4])
