import hashlib
import json
import runpy
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmpretrain.datasets import CustomDataset
from PIL import Image
from pycocotools.coco import COCO

from mmvisionllama.datasets.digitscenes import CLASSES, write_digitscenes, writer
from mmvisionllama.datasets.digitscenes.layouts import SegLayout
from mmvisionllama.datasets.digitscenes.sources import PHOTOGRAPHS, digit_indices, load_sources, read_digits
from mmvisionllama.registry import DATASETS

SMALL = {"num_train": 30, "num_val": 10}
TINY = {"num_train": 3, "num_val": 2, "layouts": ["seg"]}
TOOL = Path(__file__).parents[2] / "tools" / "prepare_digitscenes.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "digitscenes"
    assert write_digitscenes(out, **SMALL)
    return out


@pytest.fixture(scope="module")
def hard_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "hard"
    assert write_digitscenes(out, **SMALL, hard=True, layouts=["seg", "det"])
    return out


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def seg_labels(root: Path, folder: str) -> list[np.ndarray]:
    return [np.array(Image.open(path)) for path in sorted((root / "seg/annotations" / folder).iterdir())]


def load_coco(root: Path, split: str) -> COCO:
    return COCO(str(root / "det/annotations" / f"instances_{split}.json"))


# The files are a function of the arguments


def test_the_digits_are_those_that_scikit_learn_loads() -> None:
    from sklearn.datasets import load_digits  # each process of the tests reads this file

    images, labels = read_digits()
    expected = load_digits()
    np.testing.assert_array_equal(images, expected.images)
    np.testing.assert_array_equal(labels, expected.target)


def test_files_are_the_same_with_any_number_of_workers(data: Path, tmp_path: Path) -> None:
    for workers in (1, 3):
        write_digitscenes(tmp_path / str(workers), **SMALL, workers=workers)
    assert hashes(tmp_path / "1") == hashes(tmp_path / "3") == hashes(data)


def test_another_seed_gives_other_images(data: Path, tmp_path: Path) -> None:
    write_digitscenes(tmp_path / "new", **SMALL, seed=1)
    old, new = hashes(data), hashes(tmp_path / "new")
    images = [name for name in old if name.startswith("seg/images")]
    assert len(images) == 40
    assert all(old[name] != new[name] for name in images)


def test_a_layout_does_not_depend_on_the_other_layouts_or_on_the_number_of_images(
    data: Path, tmp_path: Path
) -> None:
    write_digitscenes(tmp_path / "new", **TINY)
    written = {name: value for name, value in hashes(tmp_path / "new").items() if name.startswith("seg/")}
    assert len(written) == 10
    assert written.items() <= hashes(data).items()


# Segmentation


@pytest.mark.parametrize(("folder", "count"), [("training", 30), ("validation", 10)])
def test_every_segmentation_image_has_labels_of_its_name_and_size(
    data: Path, folder: str, count: int
) -> None:
    images = sorted((data / "seg/images" / folder).iterdir())
    labels = sorted((data / "seg/annotations" / folder).iterdir())
    assert len(images) == count
    assert [path.stem for path in images] == [path.stem for path in labels]
    assert {Image.open(path).size for path in [*images, *labels]} == {(64, 64)}


def test_segmentation_labels_are_0_to_11_and_all_occur(data: Path) -> None:
    labels = seg_labels(data, "training")
    assert all(label.dtype == np.uint8 for label in labels)
    assert set(np.unique(labels)) == set(range(12))


def test_unlabelled_pixels_are_a_thin_edge_of_every_image(data: Path) -> None:
    for label in seg_labels(data, "training"):
        digits = np.pad(label >= 2, 3)
        views = [digits[y : y + 64, x : x + 64] for y in range(7) for x in range(7)]
        edge = label == 0
        assert 0 < edge.mean() < 0.15
        assert np.mean(np.any(views, axis=0)[edge]) > 0.9


def test_segmentation_loads_through_the_registered_dataset(data: Path) -> None:
    dataset = DATASETS.build(
        {
            "type": "mmvisionllama.DigitScenesSegDataset",
            "data_root": str(data / "seg"),
            "data_prefix": {"img_path": "images/training", "seg_map_path": "annotations/training"},
            "pipeline": [
                {"type": "mmvisionllama.LoadImageFromFile"},
                {"type": "mmseg.LoadAnnotations"},
                {"type": "mmseg.PackSegInputs"},
            ],
        }
    )
    samples = [dataset[i] for i in range(len(dataset))]
    assert len(samples) == 30
    assert dataset.metainfo["classes"] == CLASSES
    values = np.unique([sample["data_samples"].gt_sem_seg.data.numpy() for sample in samples])
    assert values.tolist() == [*range(11), 255]


def test_every_class_has_a_colour_of_its_own() -> None:
    palette = DATASETS.get("mmvisionllama.DigitScenesSegDataset").METAINFO["palette"]
    assert len({tuple(colour) for colour in palette}) == len(CLASSES) == 11


# Detection


@pytest.mark.parametrize(("split", "count"), [("train", 30), ("val", 10)])
def test_coco_lists_every_image_with_its_size(data: Path, split: str, count: int) -> None:
    images = load_coco(data, split).dataset["images"]
    assert len(images) == count
    for image in images:
        file = Image.open(data / "det/images" / split / image["file_name"])
        assert file.size == (image["width"], image["height"])


@pytest.mark.parametrize("name", ["data", "hard_data"])
def test_boxes_and_areas_agree_with_masks(name: str, request: pytest.FixtureRequest) -> None:
    coco = load_coco(request.getfixturevalue(name), "train")
    for instance in coco.dataset["annotations"]:
        rows, columns = np.nonzero(coco.annToMask(instance))
        left, top, width, height = instance["bbox"]
        assert (left, top) == (columns.min(), rows.min())
        assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
        assert instance["area"] == len(rows)
        assert instance["iscrowd"] == 0


@pytest.mark.parametrize("name", ["data", "hard_data"])
def test_masks_of_an_image_are_disjoint_and_agree_with_its_segmentation(
    name: str, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(name)
    coco = load_coco(root, "train")
    for image, labels in zip(coco.getImgIds(), seg_labels(root, "training"), strict=True):
        instances = coco.loadAnns(coco.getAnnIds(image))
        masks = np.stack([coco.annToMask(x) for x in instances])
        assert masks.sum(axis=0).max() == 1
        digits = [1 + int(coco.cats[x["category_id"]]["name"]) for x in instances]
        from_masks = 1 + np.tensordot(digits, masks, axes=1)
        assert np.array_equal(from_masks[labels > 0], labels[labels > 0])


def test_some_digits_overlap(data: Path) -> None:
    coco = load_coco(data, "train")
    boxes = [np.array([x["bbox"] for x in coco.imgToAnns[image]]) for image in coco.getImgIds()]
    pairs = [box for box in boxes if len(box) == 2]
    met = [(abs(a[:2] + a[2:] / 2 - b[:2] - b[2:] / 2) < (a[2:] + b[2:]) / 2).all() for a, b in pairs]
    assert sum(met) > 0


def test_hard_scenes_have_four_to_seven_small_digits_on_96_pixels(hard_data: Path) -> None:
    coco = load_coco(hard_data, "train")
    assert {len(coco.imgToAnns[image]) for image in coco.getImgIds()} == {4, 5, 6, 7}
    assert all(max(x["bbox"][2:]) <= 48 for x in coco.dataset["annotations"])
    assert {image["width"] for image in coco.dataset["images"]} == {96}


# Classification


@pytest.mark.parametrize(("split", "each"), [("train", 3), ("val", 1)])
def test_classification_folders_load_and_are_balanced(data: Path, split: str, each: int) -> None:
    dataset = CustomDataset(data_root=str(data / "cls"), data_prefix=split)
    assert CLASSES[1:] == dataset.CLASSES
    assert np.bincount(dataset.get_gt_labels()).tolist() == [each] * 10


# What is written beside the data


@pytest.mark.parametrize("name", ["data", "hard_data"])
def test_every_planned_digit_can_be_seen_and_is_counted(name: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(name)
    recorded = json.loads((root / "digitscenes.json").read_text())["digits_per_class"]["det"]
    for split in ("train", "val"):
        coco = load_coco(root, split)
        found = {coco.cats[i]["name"]: len(coco.getAnnIds(catIds=[i])) for i in coco.getCatIds()}
        assert found == recorded[split]
        assert sum(found.values()) == len(coco.dataset["annotations"])


def test_classes_are_equally_frequent_by_construction(data: Path) -> None:
    counts = json.loads((data / "digitscenes.json").read_text())["digits_per_class"]
    assert set(counts["cls"]["train"].values()) == {3}
    assert set(counts["seg"]["train"].values()) == {4}


def test_train_and_validation_share_no_digit() -> None:
    train, val = digit_indices("train"), digit_indices("val")
    assert sorted(train + val) == list(range(1797))
    images = [{x.tobytes() for pool in load_sources(s, 64).digits for x in pool} for s in ("train", "val")]
    assert not images[0] & images[1]


def test_a_fifth_of_each_digit_validates() -> None:
    sizes = [[len(pool) for pool in load_sources(split, 64).digits] for split in ("train", "val")]
    assert all(4 <= train / val <= 4.2 for train, val in zip(*sizes, strict=True))


def test_train_and_validation_share_no_photograph() -> None:
    photographs = [*PHOTOGRAPHS["train"], *PHOTOGRAPHS["val"]]
    assert len(set(photographs)) == len(photographs) == 17


def test_sources_are_read_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    sources = load_sources("val", 64)
    assert len(sources.photographs) == 5
    assert all(photograph.std() > 5 for photograph in sources.photographs)


def test_description_records_arguments_and_split(data: Path) -> None:
    description = json.loads((data / "digitscenes.json").read_text())
    asked = {**SMALL, "size": 64, "hard": False, "seed": 0, "layouts": ["seg", "cls", "det"], "format": 1}
    assert description["arguments"] == asked
    assert description["images"]["seg"] == {"train": 30, "val": 10}
    assert description["digit_indices"]["val"] == digit_indices("val")
    assert description["photographs"]["train"] == list(PHOTOGRAPHS["train"])


def test_contact_sheet_shows_the_images_on_disk(data: Path) -> None:
    sheet = np.array(Image.open(data / "contact_sheet.png"))
    first = Image.open(data / "seg/images/training/DigitScenes_train_000000.jpg")
    tile = np.array(first.resize((128, 128), Image.Resampling.BICUBIC))
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:160, :, 0], (128, 128))
    assert (windows == tile[..., 0]).all(axis=(2, 3)).any()


# Nothing is written twice, over other data, or in half


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    assert write_digitscenes(tmp_path / "out", **TINY)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert not write_digitscenes(tmp_path / "out", **TINY)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_other_arguments_are_refused_with_both_sets(tmp_path: Path) -> None:
    write_digitscenes(tmp_path / "out", **TINY)
    before = hashes(tmp_path)
    with pytest.raises(FileExistsError, match=r"(?s)--force.*there: .*seed=0.*asked: .*seed=7"):
        write_digitscenes(tmp_path / "out", **TINY, seed=7)
    assert hashes(tmp_path) == before


def test_force_replaces_a_data_set_completely(tmp_path: Path) -> None:
    write_digitscenes(tmp_path / "out", **TINY)
    assert write_digitscenes(tmp_path / "out", num_train=1, num_val=1, layouts=["cls"], force=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "cls",
        "contact_sheet.png",
        "digitscenes.json",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_force_does_not_delete_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="is no DigitScenes folder"):
        write_digitscenes(tmp_path, **TINY, force=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("earlier", [False, True])
def test_an_interrupted_run_changes_nothing(
    earlier: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if earlier:
        write_digitscenes(tmp_path / "out", **TINY)
    before = hashes(tmp_path)

    def interrupt(root: Path) -> None:
        assert len(list((root / "seg").rglob("*.png"))) == 5
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "draw_contact_sheet", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_digitscenes(tmp_path / "out", **TINY, seed=1, force=True)
    assert hashes(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if earlier else [])


def test_ctrl_c_while_threads_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = SegLayout.write

    def write_and_interrupt(self: SegLayout, index: int, *args: Any) -> None:
        write(self, index, *args)
        if index == 20:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    monkeypatch.setattr(SegLayout, "write", write_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_digitscenes(tmp_path / "out", num_train=300, num_val=1, layouts=["seg"], workers=3)
    assert not list(tmp_path.iterdir())


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_train": 0}, "num_train must lie between 1 and 999999, got 0"),
        ({"num_val": 10**6}, "num_val must lie between 1 and 999999, got 1000000"),
        ({"size": 16}, "size must lie between 20 and 1024, got 16"),
        ({"size": 48, "hard": True}, "size must lie between 59 and 1024, got 48"),
        ({"seed": -1}, "seed must lie between 0 and 4294967295, got -1"),
        ({"workers": 0}, "workers must lie between 1 and 256, got 0"),
        ({"layouts": ["sge"]}, "'sge' is unknown. Did you mean 'seg'. Allowed: seg, cls, det"),
        ({"layouts": []}, "layouts is empty; allowed: seg, cls, det"),
    ],
)
def test_a_bad_argument_is_named_and_nothing_is_written(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        write_digitscenes(tmp_path / "out", **arguments)
    assert not list(tmp_path.iterdir())


def test_the_smallest_size_is_composed(tmp_path: Path) -> None:
    assert write_digitscenes(tmp_path / "out", **TINY, size=23)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=f"cannot write below {tmp_path}/file"):
        write_digitscenes(tmp_path / "file" / "out", **TINY)


# The tool


def run_tool(*arguments: str) -> int:
    return runpy.run_path(str(TOOL))["main"](list(arguments))


def test_the_tool_writes_below_the_data_root_and_then_says_it_is_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path))
    arguments = ["--num-train", "3", "--num-val", "2", "--layouts", "seg"]
    assert run_tool(*arguments) == 0
    assert (tmp_path / "digitscenes" / "digitscenes.json").is_file()
    capsys.readouterr()
    assert run_tool(*arguments) == 0
    assert capsys.readouterr().out == f"{tmp_path}/digitscenes is up to date\n"


def test_the_tool_fails_with_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool("--out", str(tmp_path / "out"), "--size", "8") == 2
    assert capsys.readouterr().err == "error: size must lie between 20 and 1024, got 8\n"
