import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.errors import CheckpointError, InputError
from mmvisionllama.inference.trained_model import TrainedModel, load
from tests.inference.models import CONFIGS, FOLDERS, PREDICTING, assert_equal, config_of


@pytest.mark.parametrize("task", PREDICTING)
def test_a_prediction_is_drawn_and_written_as_json(
    task: str, data: Path, models: dict[str, TrainedModel], tmp_path: Path
) -> None:
    image = sorted((data / FOLDERS[task]).rglob("*.jpg"))[0]
    prediction = models[task].predict(image)
    assert prediction.image.name == str(image)
    prediction.save(tmp_path / "made" / "picture.png")
    with Image.open(tmp_path / "made" / "picture.png") as picture:
        assert min(picture.size) > 50
    prediction.save(tmp_path / "numbers.json")
    assert json.loads((tmp_path / "numbers.json").read_text())["image"] == str(image)
    with pytest.raises(InputError, match=r"picture.gif: a prediction is saved as .png"):
        prediction.save(tmp_path / "picture.gif")


def test_an_image_is_predicted_alike_from_a_file_pillow_an_array_and_a_tensor(
    models: dict[str, TrainedModel], photo: Path, tmp_path: Path
) -> None:
    model = models["classification"]
    bgr = cv2.imread(str(photo))
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    Image.fromarray(rgb).save(tmp_path / "image.png")
    of_file = model.predict(tmp_path / "image.png")
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    for x in (str(tmp_path / "image.png"), Image.fromarray(rgb), rgb, tensor, tensor / 255, rgb / 255):
        assert_equal(model.predict(x), of_file)
    assert_equal(model.predict(bgr, channel_order="bgr"), of_file)
    assert not np.array_equal(model.predict(bgr).scores, of_file.scores)


def test_lists_folders_and_patterns_keep_their_order(models: dict[str, TrainedModel], data: Path) -> None:
    model = models["segmentation"]
    folder = data / FOLDERS["segmentation"]
    files = sorted(folder.iterdir())
    forwards = model.predict(files)
    backwards = model.predict([np.asarray(Image.open(files[-1])), *map(str, files[-2::-1])])
    assert [x.image.name for x in forwards] == [str(x) for x in files]
    assert [x.image.name for x in backwards[1:]] == [str(x) for x in files[-2::-1]]
    assert [x.image.name for x in model.predict(f"{folder}/*.jpg")] == [str(x) for x in files]
    assert [x.image.name for x in model.predict(folder)] == [str(x) for x in files]
    assert isinstance(model.predict([files[0]]), list)


def _saved(path: Path, mode: str) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 4), dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(noise, "RGBA").convert(mode)
    image.save(path)
    return image


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "I;16"])
def test_unusual_images_are_read_as_the_training_reads_their_files(
    mode: str, models: dict[str, TrainedModel], tmp_path: Path
) -> None:
    image = _saved(tmp_path / "image.png", mode)
    model = models["classification"]
    assert_equal(model.predict(image), model.predict(tmp_path / "image.png"))


def test_photos_are_turned_as_their_exif_entry_says(models: dict[str, TrainedModel], tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tmp_path / "photo.png", exif=exif)
    model = models["segmentation"]
    turned = model.predict(image.transpose(Image.Transpose.ROTATE_270))
    assert turned.labels.shape == (64, 48)
    assert_equal(model.predict(tmp_path / "photo.png"), turned)
    with Image.open(tmp_path / "photo.png") as opened:
        assert_equal(model.predict(opened), turned)


def test_images_of_several_sizes_are_predicted_together(models: dict[str, TrainedModel], photo: Path) -> None:
    big = np.asarray(Image.open(photo))
    images = [big, big[:48], big, big[:, :40]]
    for task in ("classification", "segmentation", "detection"):
        together = models[task].predict(images, batch_size=4)
        alone = [models[task].predict(x) for x in images]
        if task == "detection":
            assert [len(x) for x in together] == [len(x) for x in alone]
        if task == "segmentation":
            assert [x.labels.shape for x in together] == [x.shape[:2] for x in images]
        if task == "classification":
            for one, other in zip(together, alone, strict=True):
                np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4)


def test_features_are_the_maps_of_the_backbone(models: dict[str, TrainedModel], data: Path) -> None:
    files = sorted((data / FOLDERS["segmentation"]).iterdir())
    model = models["segmentation"]
    maps = model.features(files, batch_size=4)
    assert len(maps) == len(model.module.backbone.out_indices)
    assert all(x.shape[0] == len(files) and x.ndim == 4 for x in maps)
    again = model.features(files[:4])
    for x, y in zip(maps, again, strict=True):
        assert torch.equal(x[:4], y)
    assert models["reconstruction"].features(files)[0].shape[0] == len(files)


def test_objects_are_written_as_coco_wants_them(models: dict[str, TrainedModel], data: Path) -> None:
    from pycocotools import mask as coco_masks

    image = sorted((data / FOLDERS["detection"]).iterdir())[0]
    found = models["detection"].predict(image)
    annotations = json.loads((data / "det/annotations/instances_val.json").read_text())
    ids = {x["name"]: x["id"] for x in annotations["categories"]}
    results = found.to_coco(image_id=4)
    assert len(results) == len(found)
    for i, result in enumerate(results):
        assert result["image_id"] == 4
        assert result["category_id"] == ids[found.name_of(int(found.labels[i]))]
        x, y, width, height = result["bbox"]
        np.testing.assert_allclose([x, y, x + width, y + height], found.boxes[i], rtol=1e-5)
        np.testing.assert_array_equal(coco_masks.decode(result["segmentation"]), found.masks[i])
    assert len(found.above(1.0)) == 0
    assert found.above(1.0).to_coco() == []


@pytest.mark.parametrize("task", CONFIGS)
def test_torch_reads_every_checkpoint_by_its_defaults(task: str, checkpoints: dict[str, Path]) -> None:
    files = sorted(checkpoints[task].parent.glob("*.pth"))
    assert any(x.name.startswith("best_") for x in files)
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()  # of mmengine's and of anyone else in this process
    try:
        assert all(torch.load(file)["state_dict"] for file in files)
    finally:
        torch.serialization.add_safe_globals(allowed)


def test_a_checkpoint_from_before_the_model_was_kept_apart_is_loaded(
    checkpoints: dict[str, Path], photo: Path, models: dict[str, TrainedModel], tmp_path: Path
) -> None:
    old = read_checkpoint(checkpoints["classification"])
    for key in ("model", "category_ids"):
        old["meta"].pop(key, None)
    torch.save(old, tmp_path / "old.pth")
    assert_equal(load(tmp_path / "old.pth").predict(photo), models["classification"].predict(photo))


def test_a_work_directory_stands_for_its_newest_checkpoint(
    checkpoints: dict[str, Path], photo: Path, models: dict[str, TrainedModel], tmp_path: Path
) -> None:
    assert_equal(
        load(checkpoints["classification"].parent).predict(photo), models["classification"].predict(photo)
    )
    with pytest.raises(CheckpointError, match="has no good checkpoint"):
        load(tmp_path)


def test_weights_alone_need_a_config(
    checkpoints: dict[str, Path], photo: Path, models: dict[str, TrainedModel], tmp_path: Path
) -> None:
    torch.save(read_checkpoint(checkpoints["classification"])["state_dict"], tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"does not say what model it is of.*config="):
        load(tmp_path / "weights.pth")
    model = load(tmp_path / "weights.pth", config=config_of(checkpoints["classification"]))
    np.testing.assert_array_equal(model.predict(photo).scores, models["classification"].predict(photo).scores)


@pytest.mark.parametrize("place", ["model", "model.backbone.rope", "pipeline"])
@pytest.mark.parametrize("type_", ["this", "tests.inference.planted.Payload", "os.system"])
def test_a_checkpoint_whose_config_names_foreign_code_imports_nothing(
    place: str, type_: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    bad = read_checkpoint(checkpoints["classification"])
    if place == "pipeline":
        steps = "dict(type='PackInputs')"
        assert steps in bad["meta"]["cfg"]
        bad["meta"]["cfg"] = bad["meta"]["cfg"].replace(steps, f"dict(type={type_!r})")
    else:
        part = bad["meta"]["model"]
        for key in place.split(".")[1:]:
            part = part.setdefault(key, {})
        part["type"] = type_
    torch.save(bad, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match=f"the type '{type_}', which no registry knows"):
        load(tmp_path / "bad.pth")
    assert not {"this", "tests.inference.planted"} & set(sys.modules)


def test_a_checkpoint_whose_config_has_text_that_a_host_would_evaluate_runs_nothing(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    payload = f"float32 or open({str(marker)!r}, 'w')"
    bad = read_checkpoint(checkpoints["classification"])
    step = f"dict(type='torchvision/ConvertImageDtype', dtype={payload!r}), dict(type='PackInputs')"
    bad["meta"]["cfg"] = bad["meta"]["cfg"].replace("dict(type='PackInputs')", step)
    torch.save(bad, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="the text"):
        load(tmp_path / "bad.pth").predict(np.zeros((64, 64, 3), np.uint8))
    assert not marker.exists()


WRONG = {
    "nothing.jpg": r"image nothing.jpg does not exist",
    "*.nothing": r"no file fits '\*.nothing'",
    "https://host/image.jpg": r"is an address; download the image",
    "empty": r"holds no image",
}


@pytest.mark.parametrize("given", WRONG)
def test_what_is_no_image_is_named(
    given: str, models: dict[str, TrainedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=WRONG[given]):
        models["classification"].predict(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((4, 4, 5), np.uint8), r"expected \(H, W\).* got \(4, 4, 5\) of uint8"),
        (np.zeros((4, 4), np.int64), r"expected uint8, uint16 or floats .* of int64"),
        (np.full((4, 4), 2.0), r"floats must lie in \[0, 1\]"),
        (np.full((4, 4), np.nan), r"floats must lie in \[0, 1\]"),
        (np.zeros((0, 4), np.uint8), "has no pixels"),
        (torch.zeros(4, 4), r"expected a tensor \(C, H, W\)"),
        (5, "got int"),
        ([5], "image 0: .* got int"),
        (b"bytes", "got bytes"),
        (None, "got NoneType"),
    ],
)
def test_an_array_that_is_no_image_is_named(given: Any, told: str, models: dict[str, TrainedModel]) -> None:
    with pytest.raises(InputError, match=told):
        models["classification"].predict(given)


def test_a_corrupt_image_is_named(models: dict[str, TrainedModel], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken.jpg cannot be read"):
        models["classification"].predict(tmp_path / "broken.jpg")


def test_a_model_says_which_method_it_has(models: dict[str, TrainedModel], photo: Path) -> None:
    with pytest.raises(InputError, match=r"is a model for generation: use sample\(\)"):
        models["generation"].predict(photo)
    with pytest.raises(InputError, match=r"is a model for classification: use predict\(\)"):
        models["classification"].sample()
    with pytest.raises(InputError, match=r"there is no class 'nine'"):
        models["generation"].sample("nine")
    with pytest.raises(InputError, match=r"batch_size: expected a whole number"):
        models["classification"].predict(photo, batch_size=0)
