"""Evaluators that score something else than what is loaded, and tests left behind."""

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmvisionllama.checks.left_behind import remark_on_left_behind
from tests.checks.generated import annotation, coco, detection, said


def evaluated(root: Path, file: str, split: str = "val") -> Config:
    cfg = detection(**{split: coco(root, split)})
    metric = dict(type="CocoMetric", ann_file=str(root / file), metric="bbox")
    cfg[f"{split}_evaluator"] = metric
    return cfg


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: dict(type="Evaluator", metrics=[x])])
def test_an_evaluator_of_another_annotation_file_than_its_loaders(
    tmp_path: Path, split: str, wrap: Any
) -> None:
    coco(tmp_path, "other", annotations=[annotation(1)])
    cfg = evaluated(tmp_path, "other.json", split)
    cfg[f"{split}_evaluator"] = wrap(cfg[f"{split}_evaluator"])
    errors, _ = said(cfg)
    assert (
        f"CocoMetric is {tmp_path}/other.json, but {split}_dataloader loads {tmp_path}/{split}.json" in errors
    )
    assert f"set {split}_evaluator.ann_file={tmp_path}/{split}.json" in errors


def test_a_copy_a_link_and_another_path_of_the_file_are_the_same(tmp_path: Path) -> None:
    coco(tmp_path, "val")
    (tmp_path / "link.json").symlink_to(tmp_path / "val.json")
    (tmp_path / "copy.json").write_text((tmp_path / "val.json").read_text() + "\n")
    (tmp_path / "below").mkdir()
    for file in ("val.json", "link.json", "copy.json", "below/../val.json"):
        assert said(evaluated(tmp_path, file)) == ("", "")


def test_an_evaluator_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "none.json does not exist" in said(evaluated(tmp_path, "none.json"))[0]


def left_behind(root: Path, child: str, **changes: Any) -> list[str]:
    base = root / "base.py"
    base.write_text(
        "val_dataloader = dict(batch_size=1, dataset=dict(type='CocoDataset', ann_file='val.json'))\n"
        "test_dataloader = val_dataloader\n"
        "val_evaluator = dict(type='CocoMetric', ann_file='val.json')\n"
        "test_evaluator = val_evaluator\n"
    )
    (root / "child.py").write_text(f"_base_ = 'base.py'\n{child}\n")
    cfg = Config.fromfile(root / "child.py")
    cfg.merge_from_dict(changes)
    return remark_on_left_behind(cfg)


OWN = "val_dataloader = dict(dataset=dict(ann_file='own.json'))"


def test_a_test_that_stays_on_the_data_of_a_base_is_said(tmp_path: Path) -> None:
    (note,) = left_behind(tmp_path, OWN)
    assert "test_dataloader was left behind" in note and "ann_file is 'val.json', not 'own.json'" in note
    assert "write test_dataloader = val_dataloader in the config that changes it" in note


def test_an_option_leaves_the_test_behind_too(tmp_path: Path) -> None:
    (note,) = left_behind(tmp_path, "", **{"val_evaluator.ann_file": "own.json"})
    assert "test_evaluator was left behind" in note


@pytest.mark.parametrize(
    "child",
    [
        "",
        f"{OWN}\ntest_dataloader = val_dataloader",
        f"{OWN}\ntest_dataloader = dict(dataset=dict(ann_file='third.json'))",
        "val_dataloader = dict(batch_size=8)",
    ],
    ids=["unchanged", "changed alike", "of its own", "faster"],
)
def test_a_test_that_is_meant_as_it_is(tmp_path: Path, child: str) -> None:
    assert left_behind(tmp_path, child) == []
