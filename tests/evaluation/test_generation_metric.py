"""The metrics in the validation loop."""

import logging
from pathlib import Path

import pytest
import torch
from mmengine import dist
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, MODELS
from torch import Tensor

from mmvisionllama.config import check_config, load_config
from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation import generation_metric
from mmvisionllama.evaluation.generation_metric import GenerationMetric
from mmvisionllama.evaluation.scores import Target, score
from tests.evaluation.classifiers import MNIST, save_classifier
from tests.evaluation.extractors import PixelFeatures
from tests.processes import in_processes

DIGITS = "configs/toy/dit_visionllama_tiny_digits.py"
PIXEL_METRIC = dict(features=dict(type="PixelFeatures"), to_rgb=False)
COUNT = 41


def images(seed: int, most: int, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, most, (COUNT, channels, 4, 4), generator=generator, dtype=torch.uint8)


def evaluated(
    metric: GenerationMetric, batch_size: int = 5, generated: Tensor | None = None
) -> dict[str, float]:
    """Let this process do its share of the 41 images as a validation does."""
    generated, real = images(0, 256) if generated is None else generated, images(1, 200)
    for indices in torch.tensor(list(DefaultSampler(range(COUNT), shuffle=False))).split(batch_size):
        samples = [dict(pred_img=generated[i], gt_label=torch.tensor([i % 10])) for i in indices.tolist()]
        metric.process(dict(inputs=list(real[indices])), samples)
    return metric.evaluate(COUNT)


def test_values_are_those_of_all_images_at_once() -> None:
    look = PixelFeatures()
    label_N = torch.arange(COUNT) % 10
    expected = score(look.metrics, look(images(0, 256)), Target(look(images(1, 200))), label_N)
    found = evaluated(GenerationMetric(**PIXEL_METRIC))
    assert found == pytest.approx({f"generation/{name}": x for name, x in expected.items()})


def test_every_process_gets_the_values_that_one_process_gets(tmp_path: Path) -> None:
    def evaluated_here(rank: int) -> tuple[dict[str, float], int]:
        metric = GenerationMetric(**PIXEL_METRIC, collect_dir=str(tmp_path / "parts"))
        return evaluated(metric), dist.get_world_size()

    expected = evaluated(GenerationMetric(**PIXEL_METRIC))
    for found, processes in in_processes(2, evaluated_here):
        assert processes == 2
        assert found == pytest.approx(expected, rel=1e-6)


def test_batches_do_not_matter() -> None:
    one, other = (evaluated(GenerationMetric(**PIXEL_METRIC), size) for size in (1, 41))
    assert one == pytest.approx(other)


def test_floats_in_0_to_1_are_the_images_that_they_mean() -> None:
    floats = images(0, 256).float() / 255
    found = evaluated(GenerationMetric(**PIXEL_METRIC), generated=floats)
    assert found == evaluated(GenerationMetric(**PIXEL_METRIC))
    with pytest.raises(EvaluationError, match=r"pred_img must be uint8, or floats in \[0, 1\]"):
        evaluated(GenerationMetric(**PIXEL_METRIC), generated=floats * 2 - 1)


def test_real_images_in_bgr_are_compared_in_rgb() -> None:
    rgb = images(0, 256, channels=3)
    metric = GenerationMetric(dict(type="PixelFeatures"), scores=["fid"])
    samples = [dict(pred_img=img, gt_label=0) for img in rgb]
    metric.process(dict(inputs=list(rgb.flip(1))), samples)
    assert metric.evaluate(COUNT)["generation/fid"] == pytest.approx(0, abs=1e-6)


def test_few_images_are_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(
        generation_metric, "print_log", lambda text, logger, level: told.append((text, level))
    )
    metric = GenerationMetric(**PIXEL_METRIC, scores=["fid"])
    samples = [dict(pred_img=img, gt_label=0) for img in images(0, 256)[:16]]
    for _ in range(2):
        metric.process(dict(inputs=list(images(1, 200)[:16])), samples)
        metric.evaluate(16)
    assert [level for _, level in told] == [logging.WARNING] * 2
    assert "16 generated images are too few" in told[0][0]


def test_what_does_not_suit_the_metric_is_refused() -> None:
    with pytest.raises(EvaluationError, match="pixels gives no sfid"):
        GenerationMetric(**PIXEL_METRIC, scores=["sfid"])
    metric, real = GenerationMetric(**PIXEL_METRIC), images(1, 200)
    with pytest.raises(EvaluationError, match="the model generates no images"):
        metric.process(dict(inputs=list(real[:1])), [dict(gt_label=0)])
    with pytest.raises(EvaluationError, match=r"generated images are \(1, 4, 3\), real ones \(1, 4, 4\)"):
        metric.process(dict(inputs=list(real[:1])), [dict(pred_img=real[0, :, :, :3], gt_label=0)])
    with pytest.raises(EvaluationError, match="the real images of a batch must be of one size"):
        metric.process(
            dict(inputs=[real[0], real[1, :, :3]]), [dict(pred_img=x, gt_label=0) for x in real[:2]]
        )


def _with_metric(checkpoint: Path) -> dict[str, object]:
    features = dict(type="mmvisionllama.ClassifierFeatures", config=MNIST, checkpoint=str(checkpoint))
    return dict(type="mmvisionllama.GenerationMetric", features=features)


def test_a_config_with_the_metric_is_checked_down_to_its_features(tmp_path: Path) -> None:
    cfg = load_config(DIGITS)
    cfg.val_evaluator = [dict(type="mmvisionllama.DenoisingLoss"), _with_metric(tmp_path / "c.pth")]
    assert check_config(cfg) == []
    cfg.val_evaluator[1].features.checkpont = "x"
    (problem,) = check_config(cfg)
    assert problem.path == "val_evaluator.1.features.checkpont"
    assert problem.nearest == "checkpoint"


def test_a_generator_is_watched_by_it_in_a_validation(tmp_path: Path) -> None:
    save_classifier(MNIST, tmp_path / "c.pth")
    cfg = load_config(DIGITS, {"model.sampler.steps": 2})
    parts = {**cfg.model, "data_preprocessor": cfg.data_preprocessor, "_scope_": cfg.default_scope}
    torch.manual_seed(0)
    model = MODELS.build(parts).eval()
    data = DATASETS.build({**cfg.val_dataloader.dataset, "indices": 12, "_scope_": cfg.default_scope})
    evaluator = Evaluator([dict(type="mmvisionllama.DenoisingLoss"), _with_metric(tmp_path / "c.pth")])
    for start in (0, 6):
        batch = pseudo_collate([data[i] for i in range(start, start + 6)])
        evaluator.process(model.val_step(batch), batch)
    found = evaluator.evaluate(12)
    assert found["generation/fid"] > 0
    assert 0 <= found["generation/class_accuracy"] <= 100
    assert found["denoising/loss"] > 0
