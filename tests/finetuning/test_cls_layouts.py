"""Class folders and tables of labels."""

from pathlib import Path

import pytest

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.annotation_files import write_annotations
from mmvisionllama.finetuning.layouts import find_data
from tests.finetuning.trees import image, images, text


def labels(found: object, part: str = "train") -> dict[str, str]:
    return {x.image.name: x.label for x in found.parts[part]}


def test_class_folders_are_classes_in_the_order_of_the_alphabet(tmp_path: Path) -> None:
    for name in ("dog", "cat"):
        images(tmp_path / name, 3)
    image(tmp_path / "dog" / "deeper" / "x.webp")
    found = find_data(tmp_path, "cls")
    assert found.classes == ("cat", "dog")
    assert labels(found)["x.webp"] == "dog"
    assert len(found.parts["train"]) == 7


@pytest.mark.parametrize("names", [("train", "val", "test"), ("training", "validation", "testing")])
def test_parts_are_read_where_they_are(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for part in names:
        for label in ("a", "b"):
            images(tmp_path / part / label, 2)
    found = find_data(tmp_path, "cls")
    assert {part: len(x) for part, x in found.parts.items()} == {"train": 4, "val": 4, "test": 4}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "train", "test"):
        images(tmp_path / name, 2)
    found = find_data(tmp_path, "cls")
    assert (found.classes, len(found.parts["train"])) == (("bus", "test", "train"), 6)


def test_hidden_folders_and_files_that_are_no_images_are_ignored_and_said(tmp_path: Path) -> None:
    for name in ("a", "b", ".ipynb_checkpoints", "__MACOSX", "a/.ipynb_checkpoints"):
        images(tmp_path / name, 2)
    text(tmp_path / "a" / "._0.png", "")
    text(tmp_path / "b" / "clip.heic", "")
    text(tmp_path / "notes.txt", "")
    found = find_data(tmp_path, "cls")
    assert found.classes == ("a", "b")
    assert len(found.parts["train"]) == 4
    told = "\n".join(found.notes)
    for what in (".ipynb_checkpoints", "__MACOSX", "._0.png", "1 .heic", "notes.txt"):
        assert what in told


def test_a_class_without_images_is_said_and_is_none(tmp_path: Path) -> None:
    images(tmp_path / "a", 2)
    images(tmp_path / "b", 2)
    (tmp_path / "empty").mkdir()
    found = find_data(tmp_path, "cls")
    assert found.classes == ("a", "b")
    assert any("empty" in x and "no image" in x for x in found.notes)


def test_one_class_alone_is_an_error(tmp_path: Path) -> None:
    images(tmp_path / "a", 2)
    with pytest.raises(DataError, match=r"1 class folders hold images \(a\); a classifier needs two"):
        find_data(tmp_path, "cls")


def test_a_class_that_only_the_validation_has_is_an_error(tmp_path: Path) -> None:
    for folder in ("train/a", "train/b", "val/a", "val/c"):
        images(tmp_path / folder, 2)
    with pytest.raises(DataError, match=r"val has classes that .*train has no images of: c"):
        find_data(tmp_path, "cls")


def test_a_test_folder_without_labels_is_left_for_prediction(tmp_path: Path) -> None:
    for folder in ("train/a", "train/b", "test"):
        images(tmp_path / folder, 2)
    found = find_data(tmp_path, "cls")
    assert list(found.parts) == ["train"]
    assert "mmvisionllama predict takes its images later" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "file,label\n0.png,cat\n1.png,dog\n2.png,cat\n"),
        ("labels.csv", "0.png,cat\n1.png,dog\n2.png,cat\n"),
        ("anything.tsv", "image_id\tspecies\textra\n0\tcat\tx\n1\tdog\tx\n2\tcat\tx\n"),
        ("train.csv", "\ufeffid;class\n0;cat\n1;dog\n2;cat\n"),
    ],
)
def test_tables_are_read_with_and_without_header_endings_and_commas(
    tmp_path: Path, name: str, content: str
) -> None:
    images(tmp_path / "images", 3)
    text(tmp_path / name, content)
    found = find_data(tmp_path, "cls")
    assert labels(found) == {"0.png": "cat", "1.png": "dog", "2.png": "cat"}


def test_files_of_a_table_may_lie_anywhere(tmp_path: Path) -> None:
    far, near = images(tmp_path / "far", 2), images(tmp_path / "tables" / "in", 2)
    rows = [f"{far[0]},a", "../far/1.png,b", "in/0.png,a", f"{near[1]},b"]
    found = find_data(text(tmp_path / "tables" / "labels.csv", "\n".join(["file,label", *rows])), "cls")
    data = write_annotations("cls", found, tmp_path / "out", tmp_path / "out")
    lines = [x.rsplit(" ", 1) for x in data.files["train"].read_text().splitlines()]
    assert [label for _, label in lines] == ["0", "1", "0", "1"]
    assert [(data.root / name).resolve() for name, _ in lines] == [*far, *near]


def test_a_column_names_the_part_and_numbers_are_ordered_by_value(tmp_path: Path) -> None:
    images(tmp_path, 5)
    rows = "0.png,10,train\n1.png,2,train\n2.png,10,valid\n3.png,2,test\n4.png,,train\n"
    found = find_data(text(tmp_path / "table.csv", "path,target,split\n" + rows), "cls")
    assert found.classes == ("2", "10")
    assert labels(found, "val") == {"2.png": "10"}
    assert labels(found, "test") == {"3.png": "2"}
    assert "1 of 5 rows have no label" in found.notes[0]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("file,label\nno.png,cat\n0.png,dog\n", "1 of 2 files do not exist"),
        ("a,b,c\n1,2,3\n", "has the columns a, b, c; needed are one of file"),
        ("file,label\n0.png,cat\n1.png,cat\n", "all 2 rows are of one class, 'cat'"),
        ("file,label\n0.png\n", "row 2: 1 columns, the header has 2"),
        ("file,label,split\n0.png,cat,holdout\n", "part 'holdout'; parts are train"),
        ("", "is empty"),
    ],
)
def test_a_wrong_table_is_named_with_what_is_wrong(tmp_path: Path, content: str, told: str) -> None:
    images(tmp_path, 2)
    with pytest.raises(DataError, match=told):
        find_data(text(tmp_path / "labels.csv", content), "cls")


def test_a_file_that_is_named_twice_is_said(tmp_path: Path) -> None:
    images(tmp_path, 2)
    found = find_data(text(tmp_path / "labels.csv", "file,label\n0.png,a\n1.png,b\n0.png,b\n"), "cls")
    assert "1 files more than once: 0.png" in found.notes[0]


def test_a_folder_in_no_layout_is_an_error_that_lists_the_layouts(tmp_path: Path) -> None:
    text(tmp_path / "readme.md", "")
    with pytest.raises(
        DataError,
        match=r"holds readme\.md. Known are\n  a CSV table of file and label\n  a folder for each class",
    ):
        find_data(tmp_path, "cls")
    with pytest.raises(DataError, match=r"does not exist; did you mean"):
        find_data(tmp_path.parent / (tmp_path.name + "x"), "cls")
