"""Diffusion and interpolants: what holds whatever the network says."""

import math

import pytest
import torch
from torch import Tensor

from mmvisionllama.generation.diffusion import GaussianDiffusion, NoiseSchedule, cosine_betas, linear_betas
from mmvisionllama.generation.flow import GVPPath, Interpolant, InterpolantPath, LinearPath, VPPath

PATHS = {"linear": LinearPath(), "gvp": GVPPath(), "vp": VPPath()}
every_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def data(count: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 2, 4, 4, generator=generator) * 2 - 1
    return x, torch.randn(count, 2, 4, 4, generator=generator)


@pytest.mark.parametrize("betas", [linear_betas, cosine_betas])
@pytest.mark.parametrize("steps", [100, 1000])
def test_schedules_go_from_data_to_noise(betas: object, steps: int) -> None:
    signal_T = NoiseSchedule(betas(steps)).signal_T
    assert signal_T[0] > 0.99
    assert signal_T[-1] < 1e-4
    assert (signal_T.diff() < 0).all()


def test_a_respaced_schedule_has_the_noise_levels_of_the_steps_that_it_keeps() -> None:
    schedule = NoiseSchedule(linear_betas(1000))
    kept = [0, 10, 500, 999]
    short = schedule.respaced(kept)
    torch.testing.assert_close(short.signal_T, schedule.signal_T[kept])
    assert short.time_T.tolist() == kept
    assert short.respaced([1, 3]).time_T.tolist() == [10, 999]


def truth(diffusion: GaussianDiffusion, x: Tensor, step_B: Tensor, noise: Tensor) -> Tensor:
    """Give what a network that knows the data and the noise predicts."""
    if diffusion.prediction == "noise":
        return noise
    signal_B = diffusion.schedule.signal_T[step_B][:, None, None, None]
    return signal_B.sqrt().float() * noise - (1 - signal_B).sqrt().float() * x


every_prediction = pytest.mark.parametrize("prediction", ["noise", "velocity"])


@every_prediction
@pytest.mark.parametrize("variance", ["learned_range", "posterior", "beta"])
def test_knowing_the_truth_gives_back_the_data_at_no_loss(variance: str, prediction: str) -> None:
    diffusion, (x, noise) = GaussianDiffusion(variance=variance, prediction=prediction), data()
    step_B = torch.tensor([0, 1, 300, 700])
    width = diffusion.outputs * x.shape[1]

    def oracle(noisy: Tensor, time_B: Tensor, label_B: Tensor) -> Tensor:
        return torch.cat((truth(diffusion, x, step_B, noise), torch.zeros(4, width - 2, 4, 4)), dim=1)

    losses = diffusion.loss(oracle, x, torch.zeros(4), step_B, noise)
    assert set(losses) == {"loss_mse"} | ({"loss_vb"} if variance == "learned_range" else set())
    assert not losses["loss_mse"].any()
    noisy = diffusion.diffuse(x, step_B, noise)
    reverse = diffusion.reverse(oracle(noisy, step_B, step_B), noisy, step_B)
    torch.testing.assert_close(reverse.clean, x, atol=1e-3, rtol=0)


def test_an_error_of_the_velocity_is_never_larger_in_the_data_and_one_of_the_noise_is() -> None:
    (x, noise), step_B, wrong = data(), torch.tensor([10, 400, 900, 999]), 0.01

    def error(prediction: str) -> Tensor:
        diffusion = GaussianDiffusion(schedule="cosine", variance="beta", prediction=prediction)
        noisy, output = diffusion.diffuse(x, step_B, noise), truth(diffusion, x, step_B, noise) + wrong
        return (diffusion.reverse(output, noisy, step_B).clean - x).abs().amax((1, 2, 3)) / wrong

    assert (error("velocity") < 1.01).all()
    assert error("noise")[0] < 0.1 and error("noise")[2] > 6 and error("noise")[3] > 10_000


@every_prediction
def test_the_bound_is_least_where_the_variance_is_that_of_the_posterior(prediction: str) -> None:
    diffusion, (x, noise) = GaussianDiffusion(prediction=prediction), data(1)
    step_B = torch.tensor([500])

    def bound(share: float) -> float:
        output = torch.cat((truth(diffusion, x, step_B, noise), torch.full_like(noise, share)), dim=1)
        return diffusion.loss(lambda *_: output, x, step_B, step_B, noise)["loss_vb"].item()

    assert bound(-1.0) == pytest.approx(0.0, abs=1e-7)  # -1: the posterior's own variance
    assert bound(-1.0) < bound(0.0) < bound(1.0)


def test_the_first_step_is_charged_for_the_8_bit_values() -> None:
    diffusion = GaussianDiffusion(variance="learned_range")
    x = torch.linspace(-1, 1, 256).round(decimals=6).view(1, 1, 16, 16)
    noise, step_B = torch.zeros_like(x), torch.zeros(1, dtype=torch.long)
    output = torch.cat((noise, -torch.ones_like(noise)), dim=1)
    bits = diffusion.loss(lambda *_: output, x, step_B, step_B, noise)["loss_vb"].item()
    # The deviation at step 0 is 0.0073, under a bin of 0.0078: close to the entropy of a rounded Gaussian.
    deviation = math.exp(diffusion.schedule.posterior_log_variance_T[0] / 2)
    assert 0 < bits < math.log2(deviation * 255 / 2 * math.sqrt(2 * math.pi * math.e)) + 1


def test_times_cover_all_steps_evenly() -> None:
    uniform_B = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    counts = GaussianDiffusion(num_steps=1000).times(uniform_B).bincount()
    assert counts.tolist() == [100] * 1000


@every_path
def test_derivatives_of_a_path_are_its_slopes(path: InterpolantPath) -> None:
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    h = 1e-6
    for value, slope in ((path.alpha, path.d_alpha), (path.sigma, path.d_sigma)):
        torch.testing.assert_close((value(t + h) - value(t - h)) / (2 * h), slope(t), atol=1e-7, rtol=1e-6)


@every_path
def test_a_path_ends_in_the_data(path: InterpolantPath) -> None:
    start, end = torch.zeros(1), torch.ones(1)
    assert path.sigma(start).item() == pytest.approx(1, abs=1e-4)
    assert path.alpha(end).item() == pytest.approx(1)
    assert path.sigma(end).item() == pytest.approx(0, abs=1e-6)
    assert (path.alpha(start).item() == 0) == path.pure_noise_at_0


@every_path
@pytest.mark.parametrize("prediction", ["velocity", "noise", "score"])
def test_velocity_score_and_data_are_the_same_from_every_prediction(
    path: InterpolantPath, prediction: str
) -> None:
    name = type(path).__name__
    objective = Interpolant(path=dict(type=name), prediction=prediction)
    x, noise = data()
    time_B = torch.tensor([0.2, 0.4, 0.6, 0.8])
    t = time_B[:, None, None, None]
    target = {
        "velocity": path.d_alpha(t) * x + path.d_sigma(t) * noise,
        "noise": noise,
        "score": -noise / path.sigma(t),
    }
    mixed, output = objective.diffuse(x, time_B, noise), target[prediction]
    close = dict(atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(objective.velocity(output, mixed, time_B), target["velocity"], **close)
    torch.testing.assert_close(objective.score(output, mixed, time_B), target["score"], **close)
    torch.testing.assert_close(objective.expected_data(output, mixed, time_B), x, **close)
    losses = objective.loss(lambda *_: output, x, time_B, time_B, noise)
    torch.testing.assert_close(losses["loss_mse"], torch.zeros(4), atol=1e-6, rtol=0)


@every_path
def test_a_noise_weighted_as_a_velocity_costs_what_the_velocity_costs(path: InterpolantPath) -> None:
    (x, noise), time_B = data(), torch.tensor([0.2, 0.4, 0.6, 0.8])
    cfg = dict(type=type(path).__name__)
    wrong = noise + 0.1
    weighted = Interpolant(path=cfg, prediction="noise", weighting="velocity")
    plain = Interpolant(path=cfg)
    velocity = weighted.velocity(wrong, plain.diffuse(x, time_B, noise), time_B)
    as_noise = weighted.loss(lambda *_: wrong, x, time_B, time_B, noise)["loss_mse"]
    as_velocity = plain.loss(lambda *_: velocity, x, time_B, time_B, noise)["loss_mse"]
    torch.testing.assert_close(as_noise, as_velocity, atol=1e-5, rtol=1e-4)


def test_an_interpolant_ignores_the_outputs_of_a_learned_variance() -> None:
    objective, (x, noise) = Interpolant(), data()
    output = torch.randn(4, 4, 4, 4)
    time_B = torch.full((4,), 0.5)
    full = objective.loss(lambda *_: output, x, time_B, time_B, noise)["loss_mse"]
    half = objective.loss(lambda *_: output[:, :2], x, time_B, time_B, noise)["loss_mse"]
    assert torch.equal(full, half)


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (GaussianDiffusion, dict(schedule="square"), "schedule takes 'linear' or 'cosine', got 'square'"),
        (GaussianDiffusion, dict(variance="fixed"), "variance takes 'learned_range' or .*, got 'fixed'"),
        (GaussianDiffusion, dict(prediction="data"), "prediction takes 'noise' or 'velocity', got 'data'"),
        (GaussianDiffusion, dict(num_steps=1), "num_steps takes a whole number of at least 2, got 1"),
        (
            Interpolant,
            dict(prediction="data"),
            "prediction takes 'velocity' or .* 'score', got 'data'",
        ),
        (Interpolant, dict(weighting="likelihood"), "weighting 'likelihood' is for prediction"),
        (Interpolant, dict(path=dict(type="LinearPat")), "unknown component type 'LinearPat'"),
        (Interpolant, dict(path=dict(type="VPPath", beta_min=30.0)), "need 0 < beta_min <= beta_max"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_is_allowed(
    build: type, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)
