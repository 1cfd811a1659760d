"""Evaluating a masked autoencoder: losses, pictures, the metric."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from mmpretrain.registry import MODELS

from mmvisionllama.evaluation.mean_loss import ReconstructionLoss
from mmvisionllama.hosts.mae import MAE
from mmvisionllama.reports.mae_pictures import MAEPicturesHook
from tests.models.test_backbones import PLAIN_ARCH, SMALL_FFN


def autoencoder(norm_pix: bool = True) -> MAE:
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type="mmvisionllama.MAE",
            backbone=dict(
                type="mmvisionllama.MAEVisionLLaMA",
                arch=PLAIN_ARCH,
                img_size=32,
                patch_size=8,
                ffn=SMALL_FFN,
                mask_ratio=0.5,
            ),
            neck=dict(
                type="MAEPretrainDecoder",
                num_patches=16,
                patch_size=8,
                embed_dim=32,
                decoder_embed_dim=16,
                decoder_depth=1,
                decoder_num_heads=2,
            ),
            head=dict(
                type="MAEPretrainHead",
                norm_pix=norm_pix,
                patch_size=8,
                loss=dict(type="PixelReconstructionLoss", criterion="L2"),
            ),
            data_preprocessor=dict(
                type="SelfSupDataPreprocessor",
                mean=[120.0, 110.0, 100.0],
                std=[60.0, 50.0, 40.0],
                to_rgb=True,
            ),
        )
    ).eval()


def pixels(count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)


def evaluate(model: MAE, images: torch.Tensor) -> list[BaseDataElement]:
    batch = dict(inputs=images, data_samples=[BaseDataElement() for _ in images])
    return model.val_step(batch)


@pytest.mark.parametrize("norm_pix", [False, True])
def test_the_mean_loss_of_images_is_the_training_loss_under_the_same_masks(norm_pix: bool) -> None:
    model, images = autoencoder(norm_pix), pixels()
    samples = evaluate(model, images)
    torch.manual_seed(0)
    batch = model.data_preprocessor(dict(inputs=images, data_samples=None))
    wanted = model.loss(batch["inputs"], None)["loss"].item()
    assert np.mean([sample.loss for sample in samples]) == pytest.approx(wanted, rel=1e-5)


def test_evaluations_hide_the_same_patches_and_leave_the_random_state_alone() -> None:
    model, images = autoencoder(), pixels()
    torch.manual_seed(7)
    first = evaluate(model, images)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(1), drawn)
    second = evaluate(model, images)
    assert all(torch.equal(a.masked, b.masked) for a, b in zip(first, second, strict=True))


def test_pictures_keep_what_was_seen_and_grey_out_what_was_not() -> None:
    images = pixels()
    for sample, bgr in zip(evaluate(autoencoder(), images), images, strict=True):
        assert torch.equal(sample.original, bgr.flip(0))
        mean = torch.tensor([120, 110, 100], dtype=torch.uint8)[:, None, None].expand(3, 32, 32)
        seen = (sample.masked == sample.original).all(0)
        assert torch.equal(sample.masked[:, ~seen], mean[:, ~seen])
        assert seen.float().mean() == pytest.approx(0.5, abs=0.01)
        assert torch.equal(sample.reconstruction[:, seen], sample.original[:, seen])
        assert not torch.equal(sample.reconstruction, sample.original)


def test_a_perfect_decoder_reconstructs_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = autoencoder(), pixels()
    normed = model.data_preprocessor(dict(inputs=images, data_samples=None))["inputs"]
    monkeypatch.setattr(model.neck, "forward", lambda *_: model.head.construct_target(normed))
    for sample in evaluate(model, images):
        assert sample.loss == 0
        difference = sample.reconstruction.int() - sample.original.int()
        assert difference.abs().max() <= 1  # of rounding


def test_training_is_the_host_s() -> None:
    model = autoencoder().train()
    batch = model.data_preprocessor(dict(inputs=pixels(), data_samples=None), training=True)
    model(**batch, mode="loss")["loss"].backward()
    missing = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert missing == {"neck.decoder_pos_embed"}  # fixed


def test_the_metric_averages_over_images() -> None:
    metric = ReconstructionLoss()
    metric.process(None, [dict(loss=1.0), dict(loss=2.0)])
    metric.process(None, [dict(loss=6.0)])
    assert metric.evaluate(size=3) == {"reconstruction/loss": 3.0}


def test_the_sheet_has_a_column_for_every_image() -> None:
    hook = MAEPicturesHook()
    kept = [hook.keep(sample, {}) for sample in evaluate(autoencoder(), pixels(2))]
    figure: Figure = hook.draw(kept, {})
    assert [ax.get_ylabel() for ax in figure.axes[::2]] == ["original", "masked", "reconstruction"]
    assert figure.axes[0].get_title() == f"loss {kept[0]['loss']:.3f}"
    assert np.array_equal(figure.axes[3].images[0].get_array(), kept[1]["masked"])


def test_a_model_that_reconstructs_nothing_is_an_error_with_what_it_gave() -> None:
    keep: Callable = MAEPicturesHook().keep
    with pytest.raises(TypeError, match=r"MAEPicturesHook draws reconstruction,.*\['score'\]"):
        keep(BaseDataElement(score=1.0), {})
