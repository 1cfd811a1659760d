"""The model around the network: losses, samples and moving averages, in mmengine's hands."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper

from mmvisionllama.generation import ClassConditionalGenerator
from mmvisionllama.generation.autoencoder import KLAutoencoder
from mmvisionllama.generation.guidance import Guidance
from mmvisionllama.training.precision import BFloat16OptimWrapper
from tests.generation.networks import DIFFUSION, FLOW, PIXELS, SMALL, batch, small_generator

every_objective = pytest.mark.parametrize("parts", [DIFFUSION, FLOW], ids=["diffusion", "flow"])


def train(model: ClassConditionalGenerator, wrapper: OptimWrapper, steps: int) -> list[float]:
    torch.manual_seed(0)
    model.train()
    return [model.train_step(batch(16), wrapper)["loss"].item() for _ in range(steps)]


def adam(model: ClassConditionalGenerator) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)


@every_objective
def test_training_on_a_batch_of_mmpretrain_lowers_the_loss(parts: dict) -> None:
    model = small_generator(parts)
    model.init_weights()
    losses = train(model, OptimWrapper(adam(model)), 40)
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


@every_objective
def test_bfloat16_and_scaled_float16_train_without_nan(parts: dict) -> None:
    for low_precision in (train_in_bfloat16, train_in_float16):
        model = small_generator(parts)
        assert torch.tensor(low_precision(model)).isfinite().all()
        assert all(x.isfinite().all() for x in model.parameters())


def train_in_bfloat16(model: ClassConditionalGenerator) -> list[float]:
    return train(model, BFloat16OptimWrapper(adam(model)), 5)


def train_in_float16(model: ClassConditionalGenerator) -> list[float]:
    # What mmengine's AmpOptimWrapper does, which wants a GPU.
    scaler, optimizer, losses = torch.amp.GradScaler("cpu", init_scale=2.0**10), adam(model), []
    torch.manual_seed(0)
    for _ in range(5):
        with torch.autocast("cpu", dtype=torch.float16):
            data = model.data_preprocessor(batch(16), True)
            loss, _ = model.parse_losses(model(**data, mode="loss"))
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert scaler.get_scale() == 2.0**10  # no step was skipped
    return losses


@every_objective
def test_predictions_are_the_same_in_any_batch_and_leave_the_random_state_alone(parts: dict) -> None:
    model = small_generator(parts)
    before = torch.get_rng_state()
    together = model.val_step(batch(4))
    assert torch.equal(torch.get_rng_state(), before)
    single = batch(4)
    apart = model.val_step({key: value[2:3] for key, value in single.items()})[0]
    assert apart.pred_img.shape == (1, 8, 8)
    assert apart.pred_img.dtype == torch.uint8
    assert (apart.pred_img.int() - together[2].pred_img.int()).abs().max() <= 1
    assert apart.loss == pytest.approx(together[2].loss, rel=1e-4)


@every_objective
def test_the_moving_average_is_of_all_weights_and_predicts(parts: dict) -> None:
    model = small_generator(parts)
    average = ExponentialMovingAverage(model, momentum=1e-4)
    average.update_parameters(model)
    start = copy.deepcopy(model.state_dict())
    train(model, OptimWrapper(adam(model)), 1)
    average.update_parameters(model)
    for name, value in average.module.state_dict().items():
        wanted = start[name] + 1e-4 * (model.state_dict()[name] - start[name])
        torch.testing.assert_close(value, wanted, atol=1e-6, rtol=1e-5)
    assert average.module.eval().val_step(batch(2))[0].loss > 0


def test_samples_of_another_size_than_trained_are_possible() -> None:
    images = small_generator(FLOW).sample(torch.tensor([0, 2]), [5, 6], input_hw=(4, 12))
    assert images.shape == (2, 1, 4, 12)


def test_guidance_and_seed_of_a_call_take_the_place_of_the_model_s() -> None:
    model, label_B = small_generator(FLOW), torch.tensor([1])
    guided = small_generator(FLOW, guidance=dict(scale=3.0), seed=7).sample(label_B, [0])
    assert torch.equal(model.sample(label_B, [0], seed=7, guidance=Guidance(3.0)), guided)
    assert not torch.equal(model.sample(label_B, [0]), guided)


def test_pixels_undo_the_preprocessor() -> None:
    model = small_generator(FLOW)
    data = batch(3)
    inputs = model.data_preprocessor(data)["inputs"]
    assert inputs.min() >= -1
    assert inputs.max() <= 1
    assert torch.equal(model.pixels(inputs), torch.stack(data["inputs"]))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_is_an_error(label: int) -> None:
    model, data = small_generator(FLOW), batch(2)
    data["data_samples"][1].set_gt_label(label)
    with pytest.raises(ValueError, match=rf"labels must be in 0 .. 2, got {label}"):
        model.train_step(data, OptimWrapper(adam(model)))
    with pytest.raises(ValueError, match=rf"labels must be in 0 .. 2, got {label}"):
        model.sample(torch.tensor([label]), [0])


@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        (DIFFUSION, dict(network=dict(learn_sigma=False)), "needs 2 output channels, the network has 1"),
        (DIFFUSION, dict(sampler=dict(type="ODESampler")), "ODESampler samples networks trained with"),
        (DIFFUSION, dict(sampler=dict(type="DDPMSampler", steps=2000)), r"steps must be in 1 .. 1000"),
        (FLOW, dict(guidance=dict(scal=2.0)), "guidance does not take 'scal'"),
        (FLOW, dict(guidance=dict(scale=2.0), network=dict(label_dropout=0.0)), "label_dropout > 0"),
        (FLOW, dict(autoencoder=dict(type="KLAutoencoder", path="./nowhere")), "nowhere has no config.json"),
    ],
)
def test_parts_that_do_not_fit_are_an_error(parts: dict, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_generator(parts, **options)


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a small autoencoder with random weights: 16 px images to 4 x 8 x 8 latents."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("autoencoder")
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.3,
    ).save_pretrained(folder)
    return str(folder)


def latent_generator(path: str, **options: Any) -> ClassConditionalGenerator:
    return ClassConditionalGenerator(
        dict(type="DiT", **SMALL | dict(in_channels=4)),
        **FLOW,
        autoencoder=dict(type="KLAutoencoder", path=path, **options),
        data_preprocessor=dict(PIXELS, mean=[127.5] * 3, std=[127.5] * 3),
    )


def test_latents_are_the_scaled_distribution_of_the_autoencoder(autoencoder: str) -> None:
    model, img = latent_generator(autoencoder), torch.rand(64, 3, 16, 16) * 2 - 1
    mean, deviation = model.autoencoder.encode(img)
    assert mean.shape == (64, 4, 8, 8)
    assert torch.equal(model.encode(img), mean)
    torch.manual_seed(0)
    drawn = (model.encode(img, resample=True) - mean) / deviation
    assert drawn.std().item() == pytest.approx(1, rel=0.02)
    unscaled = KLAutoencoder(autoencoder, scale=1.0).encode(img)[0]
    torch.testing.assert_close(mean, 0.3 * unscaled)


def test_an_autoencoder_is_trained_through_but_never_trained_or_saved(autoencoder: str) -> None:
    model = latent_generator(autoencoder)
    data = batch(2)
    data["inputs"] = [torch.zeros(3, 16, 16, dtype=torch.uint8)] * 2
    assert model.train_step(data, OptimWrapper(adam(model)))["loss"].isfinite()
    assert all(name.startswith("network.") for name in model.state_dict())
    assert copy.deepcopy(model).autoencoder is model.autoencoder
    images = model.sample(torch.tensor([0, 1]), [0, 1])
    assert images.shape == (2, 3, 16, 16)


def test_latents_of_other_channels_are_an_error(autoencoder: str) -> None:
    model = small_generator(FLOW, autoencoder=dict(type="KLAutoencoder", path=autoencoder))
    with pytest.raises(ValueError, match=r"latents have 4 channels, network.in_channels is 1"):
        model.encode(torch.zeros(1, 3, 16, 16))


def test_a_folder_that_holds_no_weights_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no folder with an AutoencoderKL"):
        KLAutoencoder(str(tmp_path)).encode(torch.zeros(1, 3, 16, 16))
