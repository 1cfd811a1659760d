"""Inception's features, with random weights: the published ones are no part of the project."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_fidelity
from torch import Tensor
from torch_fidelity import feature_extractor_inceptionv3 as library

from mmvisionllama.errors import CheckpointError
from mmvisionllama.evaluation import evaluate
from mmvisionllama.evaluation.inception import InceptionFeatures
from mmvisionllama.evaluation.reference import Reference
from tests.evaluation.image_arrays import ImageArray
from tests.evaluation.test_scores import Images


def noise(count: int, side: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random weights under the names of the published ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(library.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        network = library.FeatureExtractorInceptionV3("random", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def inception(weights: Path) -> InceptionFeatures:
    return InceptionFeatures(weights)


def test_pooled_features_and_logits_are_those_of_torch_fidelity(
    weights: Path, inception: InceptionFeatures
) -> None:
    theirs = library.FeatureExtractorInceptionV3("x", ["2048", "logits_unbiased"], str(weights))
    pooled_ND, logit_NK = theirs(noise(2))
    found = inception(noise(2))
    assert torch.equal(found.pooled_ND, pooled_ND)
    assert torch.equal(found.logit_NK, logit_NK)
    assert found.logit_NK.shape == (2, 1008)


def test_spatial_features_are_seven_channels_last_as_in_tensorflow(inception: InceptionFeatures) -> None:
    kept: list[Tensor] = []
    hook = inception.network.Mixed_6d.branch1x1.register_forward_hook(
        lambda m, i, output: kept.append(output)
    )
    found = inception(noise(2)).spatial_NS
    hook.remove()
    (map_BCHW,) = kept
    assert found.shape == (2, inception.adm_widths["sfid"]) == (2, 2023)
    assert torch.equal(found.view(2, 17, 17, 7)[1, 3, 5], map_BCHW[1, :7, 3, 5])
    assert not inception.network.Mixed_6d.branch1x1._forward_hooks


def test_grey_images_are_seen_as_rgb(inception: InceptionFeatures) -> None:
    grey = noise(1)[:, :1]
    assert torch.equal(inception(grey).pooled_ND, inception(grey.repeat(1, 3, 1, 1)).pooled_ND)


def test_scores_from_images_are_those_of_torch_fidelity(weights: Path, inception: InceptionFeatures) -> None:
    generated, real = noise(5), noise(5, seed=1) // 2
    library_scores = torch_fidelity.calculate_metrics(
        input1=Images(generated),
        input2=Images(real),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights),
        **dict.fromkeys(("isc", "prc"), True),
        **dict.fromkeys(("cuda", "cache", "verbose", "samples_shuffle"), False),
        isc_splits=1,
    )
    sets = [ImageArray(x, y.permute(0, 2, 3, 1).numpy()) for x, y in (("s", generated), ("r", real))]
    names = ["inception_score", "precision", "recall"]
    found = evaluate(sets[0], Reference("r", images=sets[1]), inception, metrics=names).metrics
    assert found["inception_score"] == pytest.approx(library_scores["inception_score_mean"], rel=1e-6)
    assert found["precision"] == pytest.approx(100 * library_scores["precision"])
    assert found["recall"] == pytest.approx(100 * library_scores["recall"])


def test_a_missing_file_is_named_with_its_source_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    wanted = (
        r"checkpoints/weights-inception-2015-12-05-6726825d\.pth does not exist.*https://github\.com/toshas"
    )
    with pytest.raises(CheckpointError, match=wanted):
        InceptionFeatures()
    with pytest.raises(CheckpointError, match=r"other\.pth does not exist.*https://github\.com/toshas"):
        InceptionFeatures(tmp_path / "other.pth")


class RunsCode:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


def test_code_in_the_file_does_not_run(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1), "x": RunsCode(tmp_path / "witness")}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        InceptionFeatures(tmp_path / "a.pth")
    assert not (tmp_path / "witness").exists()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth holds other weights.*https://github\.com/toshas"):
        InceptionFeatures(tmp_path / "a.pth")
