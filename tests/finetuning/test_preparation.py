"""From data to a config that a training accepts, for every task, backbone and kind of start."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mmvisionllama.checks.run import build_model, check_training
from mmvisionllama.config import load_config
from mmvisionllama.errors import LaunchError, UserError
from mmvisionllama.finetuning.found_data import Task
from mmvisionllama.finetuning.preparation import Prepared, prepare
from mmvisionllama.training.checkpoint_content import plain_config
from mmvisionllama.training.dry_run import DryRun
from tests.finetuning.trees import coco, image, images, mask

PLAIN, PYRAMID, SMALL = "visionllama_tiny", "pyramid_visionllama_tiny", "visionllama_small"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of every task, each in a folder of its name."""
    root = tmp_path_factory.mktemp("data")
    for label in ("cat", "dog", "fox"):
        images(root / "cls" / label, 4)
    for i in range(5):
        image(root / "seg" / "images" / f"{i}.jpg")
        mask(root / "seg" / "masks" / f"{i}.png")
    for part, count in (("train", 4), ("val", 2)):
        coco(root / "det", part, count, masks=True)
        coco(root / "boxes", part, count, masks=False)
    images(root / "pretrain", 6, width=64, height=64)
    return root


def prepared(data: Path, out: Path, name: str, **options: Any) -> Prepared:
    task: Task = "det" if name == "boxes" else name
    return prepare(data / name, task, out=out, **{"model": PLAIN, "epochs": 2, **options})


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("cls", PLAIN),
        ("cls", PYRAMID),
        ("cls", SMALL),
        ("seg", PLAIN),
        ("seg", PYRAMID),
        ("det", PLAIN),
        ("det", PYRAMID),
        ("boxes", PLAIN),
        ("boxes", PYRAMID),
        ("boxes", SMALL),
        ("boxes", "pyramid_visionllama_small"),
        ("pretrain", PLAIN),
        ("pretrain", SMALL),
    ],
)
def test_a_training_accepts_what_is_written(data: Path, tmp_path: Path, name: str, model: str) -> None:
    made = prepared(data, tmp_path / "out", name, model=model)
    cfg = load_config(made.config)
    check_training(cfg)
    assert cfg.work_dir == str(made.work_dir)
    head = cfg.model.get("roi_head", {})
    assert ("mask_head" in head and head["mask_head"] is not None) == (name == "det")
    text = made.config.read_text()
    assert len(text.splitlines()) <= 90
    assert max(map(len, text.splitlines())) <= 110 + len(str(tmp_path))


def test_the_class_names_of_many_classes_lie_in_a_file(tmp_path: Path) -> None:
    for i in range(30):
        images(tmp_path / "data" / f"kind {i:02}", 2)
    made = prepare(tmp_path / "data", "cls", out=tmp_path / "out", model=PLAIN)
    cfg = load_config(made.config)
    check_training(cfg)
    assert (tmp_path / "out" / "data" / "classes.txt").read_text().splitlines()[3] == "kind 03"
    assert cfg.model.head.num_classes == 30


def test_a_test_part_is_tested_and_without_one_the_validation_is(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for label in ("a", "b"):
            images(tmp_path / "data" / part / label, 2)
    options = dict(out=tmp_path / "out", model=PLAIN)
    cfg = load_config(prepare(tmp_path / "data", "cls", **options).config)
    assert cfg.test_dataloader.dataset.ann_file.endswith("test.txt")
    (tmp_path / "data" / "test").rename(tmp_path / "elsewhere")
    cfg = load_config(prepare(tmp_path / "data", "cls", **options, overwrite=True).config)
    assert cfg.test_dataloader.dataset.ann_file.endswith("val.txt")


def test_no_flips_means_none(data: Path, tmp_path: Path) -> None:
    for name in ("cls", "seg", "boxes", "pretrain"):
        texts = [
            prepared(data, tmp_path / f"{name}{flips}", name, flips=flips).config.read_text()
            for flips in (True, False)
        ]
        assert ["RandomFlip" in x for x in texts] == [True, False]


def test_the_same_seed_writes_the_same_files(data: Path, tmp_path: Path) -> None:
    def files(seed: int, overwrite: bool) -> dict[str, bytes]:
        prepared(data, tmp_path / "out", "cls", seed=seed, overwrite=overwrite)
        written = (x for x in (tmp_path / "out").rglob("*") if "overwritten_" not in str(x))
        found = sorted(x for x in written if x.is_file())
        return {str(x): x.read_bytes() for x in found}

    first = files(0, False)
    assert files(0, True) == first
    assert files(1, True) != first


def test_a_folder_with_a_config_is_not_written_over_and_the_command_to_train_is_named(
    data: Path, tmp_path: Path
) -> None:
    made = prepared(data, tmp_path / "out", "cls")
    made.config.write_text("# edited\n")
    with pytest.raises(
        LaunchError, match=r"not empty; train by its config: .*out/visionllama_tiny_cls_cls\.py"
    ):
        prepared(data, tmp_path / "out", "cls")
    assert made.config.read_text() == "# edited\n"
    again = prepared(data, tmp_path / "out", "cls", overwrite=True)
    (aside,) = (tmp_path / "out").glob("overwritten_*")
    assert (aside / made.config.name).read_text() == "# edited\n"
    assert any(str(aside) in line for line in again.told)


@pytest.mark.parametrize("out", [".", "cls", "cls/results", "data"])
def test_results_and_data_lie_apart_so_that_neither_is_taken_for_the_other(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "cls"
    for label in ("a", "b"):
        images(folder / label, 4)
    with pytest.raises(LaunchError, match="lie one in the other: give another --out"):
        prepare(folder, "cls", out=out.replace("cls", "data/cls"), model=PLAIN, overwrite=True)
    assert len([*folder.rglob("*.png"), *folder.rglob("*.jpg")]) == 8


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cls", {"batch": 999}),
        ("cls", {"epochs": 2, "minutes": 3.0}),
        ("cls", {"init": "no/such.pth", "model": None}),
        ("cls", {"model": "visionllama_tinny"}),
        ("seg", {"ignore_label": 1, "classes": Path("no_such_file.txt")}),
    ],
)
def test_a_mistake_leaves_nothing_behind(data: Path, tmp_path: Path, name: str, options: dict) -> None:
    with pytest.raises(UserError):
        prepared(data, tmp_path / "made" / "out", name, **options)
    assert not (tmp_path / "made").exists()


def test_minutes_and_auto_are_measured_on_configs_that_can_be_trained(data: Path, tmp_path: Path) -> None:
    seen = []

    def measure(config: Path) -> DryRun:
        cfg = load_config(config)
        check_training(cfg)
        seen.append(cfg.train_dataloader.batch_size)
        return DryRun(1.0, 6.0, 1, 0, {})

    made = prepared(data, tmp_path / "out", "cls", epochs=None, minutes=1.0, batch="auto", measure=measure)
    assert seen == [2, 2]  # the smallest batch, of which an epoch has five steps; then its time
    assert made.recipe.epochs == 1
    assert sorted(x.name for x in (tmp_path / "out").iterdir()) == ["data", made.config.name]


def test_what_was_found_and_chosen_is_told(data: Path, tmp_path: Path) -> None:
    told = "\n".join(prepared(data, tmp_path / "out", "cls").told)
    for what in (
        "class folders",
        "9 for train, 3 for val",
        "3 classes: cat, dog, fox",
        "held out (seed 0)",
        "VisionLLaMA-tiny from random values: 24 x 24 px",
        "9 images are few to learn from random values: --init CHECKPOINT",
    ):
        assert what in told


def saved(config: Path, folder: Path) -> Path:
    """Save the first weights of a config's model as a training would."""
    cfg = load_config(config)
    model = build_model(cfg)
    model.init_weights()
    meta = {"model": plain_config(cfg.model), "cfg": cfg.pretty_text}
    meta["dataset_meta"] = {"classes": cfg.train_dataloader.dataset.get("metainfo", {}).get("classes")}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, folder / "start.pth")
    return folder / "start.pth"


@pytest.mark.parametrize(
    ("start", "name", "model"),
    [
        ("pretrain", "cls", PLAIN),
        ("pretrain", "seg", PLAIN),
        ("pretrain", "boxes", PLAIN),
        ("cls", "seg", PLAIN),
        ("cls", "det", PYRAMID),
        ("seg", "cls", PYRAMID),
        ("det", "boxes", PLAIN),
        ("boxes", "det", PYRAMID),
        ("det", "pretrain", PLAIN),
    ],
)
def test_a_training_may_start_from_a_model_of_another_task(
    data: Path, tmp_path: Path, start: str, name: str, model: str
) -> None:
    first = prepared(data, tmp_path / "first", start, model=model)
    made = prepared(data, tmp_path / "out", name, model=None, init=saved(first.config, tmp_path))
    cfg = load_config(made.config)
    notes = "\n".join(check_training(cfg))
    assert made.recipe.backbone.model == model
    assert "loads in part" in notes
    assert cfg.optim_wrapper.paramwise_cfg.get("layer_decay_rate") == (None if name == "pretrain" else 0.9)


def test_patches_too_small_for_a_detector_are_refused_with_a_way_out(data: Path, tmp_path: Path) -> None:
    first = prepared(data, tmp_path / "first", "pretrain", size=16)
    with pytest.raises(UserError, match=r"patches of 2 px are too small for a detector(?s:.*)--size 64"):
        prepared(data, tmp_path / "out", "boxes", model=None, init=saved(first.config, tmp_path))


def test_heads_of_another_width_begin_anew_and_the_rest_is_kept(data: Path, tmp_path: Path) -> None:
    first = prepared(data, tmp_path / "first", "seg", model=PYRAMID)
    narrow = first.config.with_name("narrow.py")
    narrow.write_text(first.config.read_text().replace("channels=64", "channels=32"))
    made = prepared(data, tmp_path / "out", "seg", model=None, init=saved(narrow, tmp_path))
    cfg = load_config(made.config)
    assert cfg.accepted_differences == ["model.auxiliary_head", "model.decode_head"]
    notes = "\n".join(check_training(cfg))
    assert "of another shape and accepted, so these begin anew: decode_head" in notes
    assert any("begin anew" in x for x in made.told)

    def measure(config: Path) -> DryRun:
        check_training(load_config(config))
        return DryRun(1.0, 1.0, 1, 0, {})

    options = dict(model=None, init=made.recipe.backbone.start, epochs=None, minutes=1.0, measure=measure)
    assert prepared(data, tmp_path / "timed", "seg", **options).recipe.epochs == 27  # of two steps each
