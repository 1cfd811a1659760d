"""Features of data sets: k-NN, t-SNE, PCA, and the files that keep them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvisionllama.analysis.features import FeatureSet, classify, features_of, plot_places, projected
from mmvisionllama.analysis.labelled_images import labelled_images
from mmvisionllama.errors import InputError, UserError
from mmvisionllama.inference.trained_model import TrainedModel

Tiny = Callable[[str], TrainedModel]


def separable(count: int = 30, classes: int = 3) -> FeatureSet:
    labels = torch.arange(count) % classes
    noise = 0.01 * torch.randn(count, 8, generator=torch.Generator().manual_seed(1))
    names = [str(x) for x in range(count)]
    return FeatureSet(torch.eye(8)[labels] + noise, labels, tuple("abcdefgh"[:classes]), names)


def test_separable_features_are_classified_without_a_mistake() -> None:
    result = classify(separable(), separable(9), count=4)
    assert (result.accuracy, result.count, result.among, result.leave_one_out) == (100, 4, (30, 9), False)
    assert result.by_class.tolist() == [100, 100, 100]
    alone = classify(separable(), None)
    assert alone.accuracy == 100
    assert (alone.leave_one_out, max(alone.by_count)) == (True, 20)
    assert len(alone.plot("title").axes) == 2


def test_separable_features_lie_apart_in_the_plane_and_the_same_each_time() -> None:
    found = separable()
    for method in ("pca", "tsne"):
        places, told = projected(found, method)
        assert places.shape == (30, 2)
        assert method[:3] in told.lower().replace("-", "")
        centres = np.stack([places[(found.labels == i).numpy()].mean(0) for i in range(3)])
        own = np.linalg.norm(places - centres[found.labels.numpy()], axis=1)
        assert own.max() < min(np.linalg.norm(centres[i] - centres[j]) for i in range(3) for j in range(i))
        np.testing.assert_array_equal(places, projected(found, method)[0])
    (ax,) = plot_places(found, places, "title").axes
    assert [x.get_text() for x in ax.get_legend().get_texts()] == ["a", "b", "c"]


def test_features_of_a_config_and_of_its_folders_are_the_same_in_any_batch(
    tiny: Tiny, scenes: Path, tmp_path: Path
) -> None:
    model = tiny("classification")
    by_config = labelled_images("configs/toy/visionllama_tiny_digitscenes.py")
    (folder,) = labelled_images(str(scenes / "cls" / "val")).values()
    assert {x: len(y) for x, y in by_config.items()} == {"train": 8, "val": len(folder)}
    one, other = (features_of(model, x, batch_size=n) for x, n in ((by_config["val"], 6), (folder, 1)))
    names = [folder.classes[i] for i in folder.labels]
    assert [one.classes[i] for i in one.labels] == names  # a folder has those classes alone that it shows
    torch.testing.assert_close(one.features, other.features, atol=1e-5, rtol=1e-4)
    expected = model.features([x.name for x in by_config["val"].images])[-1]
    torch.testing.assert_close(one.features, expected, atol=1e-5, rtol=1e-4)
    one.save(tmp_path / "features.npz")
    with np.load(tmp_path / "features.npz") as kept:
        np.testing.assert_array_equal(kept["features"], one.features.numpy())
        np.testing.assert_array_equal(kept["labels"], one.labels.numpy())
        assert list(kept["classes"]) == list(one.classes)
    few = by_config["train"].at_most(3)
    assert len(few) == len(few.labels) == 3


@pytest.mark.parametrize("task", ["segmentation", "detection", "reconstruction"])
def test_backbones_of_all_tasks_have_one_feature_an_image(task: str, tiny: Tiny, scenes: Path) -> None:
    found = features_of(tiny(task), labelled_images(str(scenes / "cls" / "val"))["train"])
    assert found.features.shape == (6, 96)
    assert found.features.isfinite().all()


def test_what_has_no_classes_is_refused(tiny: Tiny, scenes: Path, tmp_path: Path) -> None:
    data = labelled_images("configs/toy/visionllama_tiny_upernet_digitscenes.py")
    assert data["val"].labels is None
    with pytest.raises(InputError, match="no classes of images"):
        classify(features_of(tiny("classification"), data["val"]), None)
    with pytest.raises(InputError, match="expected a folder for each class"):
        labelled_images(str(tmp_path))
    with pytest.raises(InputError, match="three images at least, got 2"):
        projected(separable(2), "pca")
    with pytest.raises(UserError, match="no config 'configs/toy/nothing"):
        labelled_images("configs/toy/nothing")
    with pytest.raises(InputError, match="has no features"):
        features_of(tiny("generation"), labelled_images(str(scenes / "cls" / "val"))["train"])
