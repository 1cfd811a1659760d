"""The metrics: against torch-fidelity's own, against closed forms, and what must hold of any."""

import numpy as np
import pytest
import torch
import torch_fidelity
from torch import Tensor
from torch.utils.data import Dataset

from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.features import Features
from mmvisionllama.evaluation.scores import (
    Moments,
    Target,
    choose_metrics,
    class_accuracy,
    frechet_distance,
    inception_score,
    precision_recall,
    remarks,
    score,
)
from tests.evaluation.extractors import PixelFeatures


def normal(count: int, width: int, seed: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


class LibraryPixels(torch_fidelity.FeatureExtractorBase):
    """The same features in the clothes of torch-fidelity."""

    def __init__(self, name: str, features_list: list[str], **_: object) -> None:
        super().__init__(name, features_list)
        self.pixels = PixelFeatures()

    def forward(self, img_BCHW: Tensor) -> tuple[Tensor, ...]:
        found = self.pixels(img_BCHW)
        return tuple({"pooled": found.pooled_ND, "logits": found.logit_NK}[x] for x in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "pooled", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "pooled"

    @staticmethod
    def can_be_compiled() -> bool:
        return False


class Images(Dataset):
    def __init__(self, img_NCHW: Tensor) -> None:
        self.img_NCHW = img_NCHW

    def __len__(self) -> int:
        return len(self.img_NCHW)

    def __getitem__(self, index: int) -> Tensor:
        return self.img_NCHW[index]


def test_all_metrics_equal_those_that_torch_fidelity_computes_from_the_images() -> None:
    draw = np.random.default_rng(0)
    generated, real = (
        torch.from_numpy(draw.integers(0, most, (60, 3, 4, 4), dtype=np.uint8)) for most in (256, 200)
    )
    torch_fidelity.register_feature_extractor("test-pixels", LibraryPixels)
    library = torch_fidelity.calculate_metrics(
        input1=Images(generated),
        input2=Images(real),
        feature_extractor="test-pixels",
        **dict.fromkeys(("isc", "fid", "prc"), True),
        **dict.fromkeys(("cuda", "cache", "verbose", "samples_shuffle"), False),
        isc_splits=1,
    )
    look = PixelFeatures()
    found = score(look.metrics, look(generated), Target(look(real)), torch.zeros(60, dtype=torch.long))
    assert found["fid"] == pytest.approx(library["frechet_inception_distance"], rel=1e-5)
    assert found["inception_score"] == pytest.approx(library["inception_score_mean"], rel=1e-6)
    assert found["precision"] == pytest.approx(100 * library["precision"])
    assert found["recall"] == pytest.approx(100 * library["recall"])
    assert 0 < library["precision"] < 1 or 0 < library["recall"] < 1


def test_the_distance_of_normal_distributions_with_one_covariance_is_that_of_their_means() -> None:
    cov_DD = np.diag([1.0, 4.0, 9.0])
    distance = frechet_distance(Moments(np.zeros(3), cov_DD), Moments(np.array([3.0, 0.0, 4.0]), cov_DD))
    assert distance == pytest.approx(25)


def test_the_distance_of_covariances_with_common_axes_is_that_of_their_deviations() -> None:
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    one, other = (Moments(np.ones(3), axes @ np.diag(x) @ axes.T) for x in ([1.0, 4.0, 9.0], [4.0, 4.0, 1.0]))
    assert frechet_distance(one, other) == pytest.approx((1 - 2) ** 2 + 0 + (3 - 1) ** 2)


def test_the_distance_of_general_covariances_is_the_closed_form_of_two_dimensions() -> None:
    # tr sqrt(M) of a 2 x 2 matrix is sqrt(tr M + 2 sqrt(det M)).
    one, other = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.3], [-0.3, 3.0]])
    product = one @ other
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(one) + np.trace(other) - 2 * root
    distance = frechet_distance(Moments(np.zeros(2), one), Moments(np.zeros(2), other))
    assert distance == pytest.approx(expected)


def test_the_distance_of_samples_comes_near_that_of_their_distributions() -> None:
    shifted = normal(20000, 4, 1) * 2 + 1
    distance = frechet_distance(Moments.of(normal(20000, 4, 0)), Moments.of(shifted))
    assert distance == pytest.approx(4 * 1 + 4 * (2 - 1) ** 2, rel=0.03)


def test_a_set_has_no_distance_to_itself_even_with_fewer_images_than_features() -> None:
    moments = Moments.of(normal(10, 32, 0))
    assert frechet_distance(moments, moments) == pytest.approx(0, abs=1e-4)


def test_the_mean_of_many_float32_features_is_exact() -> None:
    feature_ND = torch.full((30000, 1), 0.1)
    assert Moments.of(feature_ND).mean_D[0] == pytest.approx(np.float32(0.1), rel=1e-12)


def test_images_of_every_class_alike_score_1() -> None:
    assert inception_score(torch.zeros(50, 10)) == pytest.approx(1)


def test_certain_images_of_k_classes_in_equal_numbers_score_k() -> None:
    assert inception_score(100.0 * torch.eye(10).repeat(5, 1)) == pytest.approx(10)


def test_the_score_is_the_mean_over_splits_in_the_order_of_the_images() -> None:
    logit_NK = 3 * normal(40, 5, 0)
    parts = [inception_score(x) for x in logit_NK.split(10)]
    assert inception_score(logit_NK, split_size=10) == pytest.approx(sum(parts) / 4)
    assert inception_score(logit_NK) != pytest.approx(sum(parts) / 4)


def test_a_set_covers_itself() -> None:
    x_ND = normal(50, 8, 0)
    assert precision_recall(x_ND, x_ND) == (1, 1)


def test_far_sets_cover_nothing_of_each_other() -> None:
    x_ND = normal(50, 8, 0)
    assert precision_recall(x_ND, x_ND + 100) == (0, 0)


def test_samples_of_one_of_two_clusters_are_precise_and_recall_half() -> None:
    near = normal(40, 2, 0)
    real_ND = torch.cat([near, normal(40, 2, 1) + 100])
    precision, recall = precision_recall(near.clone(), real_ND)
    assert precision == 1
    assert recall == 0.5


def test_precision_and_recall_change_places_with_the_sets() -> None:
    one, other = normal(40, 4, 0), 1.5 * normal(50, 4, 1)
    assert precision_recall(one, other) == precision_recall(other, one)[::-1]


def test_class_accuracy_is_the_share_of_right_classes() -> None:
    assert class_accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0])) == 0.75


def test_a_label_that_the_classifier_does_not_know_is_named() -> None:
    with pytest.raises(EvaluationError, match=r"label 4, the classifier knows 0 \.\. 3"):
        class_accuracy(torch.eye(4), torch.tensor([0, 1, 2, 4]))


def test_too_few_images_are_named() -> None:
    with pytest.raises(EvaluationError, match="more than 3 images, got 3"):
        precision_recall(normal(3, 2, 0), normal(9, 2, 0))
    with pytest.raises(EvaluationError, match="at least 2 images, got 1"):
        Moments.of(normal(1, 2, 0))


def test_only_what_was_asked_for_is_computed_and_shares_are_in_per_cent() -> None:
    features = Features(normal(20, 4, 0), normal(20, 3, 0))
    assert score(["recall"], features, Target(features)) == {"recall": 100}


def test_known_moments_go_before_those_of_the_images() -> None:
    features = Features(normal(20, 2, 0), normal(20, 3, 0))
    known = Moments(np.full(2, 1000.0), np.eye(2))
    assert score(["fid"], features, Target(features, {"fid": known}))["fid"] > 1e6


def test_spatial_features_give_sfid() -> None:
    features = Features(normal(20, 2, 0), normal(20, 3, 0), normal(20, 5, 1))
    moved = Features(features.pooled_ND, features.logit_NK, features.spatial_NS + 1)
    found = score(["fid", "sfid"], moved, Target(features))
    assert found["fid"] == pytest.approx(0, abs=1e-6)
    assert found["sfid"] == pytest.approx(5, rel=1e-4)


def test_covariances_without_full_rank_are_remarked_on_for_either_side() -> None:
    few, many = (Features(normal(count, 8, 0), normal(count, 3, 0)) for count in (8, 9))
    (found,) = remarks(["fid"], few, Target(many))
    assert found.startswith("fid: 8 generated images are too few")
    (found,) = remarks(["fid"], many, Target(few))
    assert "8 real images" in found
    assert remarks(["fid"], many, Target(many)) == []
    assert remarks(["precision"], few, Target(few)) == []


def test_images_in_the_order_of_their_classes_are_remarked_on_if_the_score_is_of_splits() -> None:
    features = Features(normal(5001, 2, 0), normal(5001, 3, 0))
    label_N = torch.arange(5001) // 1000
    (found,) = remarks(["inception_score"], features, Target(), label_N)
    assert "order of their classes" in found
    assert remarks(["inception_score"], features, Target(), label_N.flip(0)) == []


def test_a_metric_that_is_unknown_or_that_the_features_do_not_give_is_named() -> None:
    with pytest.raises(EvaluationError, match="Did you mean 'recall'"):
        choose_metrics(["recal"], PixelFeatures())
    with pytest.raises(EvaluationError, match="pixels gives no sfid; it gives fid"):
        choose_metrics(["fid", "sfid"], PixelFeatures())
    assert choose_metrics(None, PixelFeatures()) == PixelFeatures.metrics
