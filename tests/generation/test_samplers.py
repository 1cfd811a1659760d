"""Samplers and guidance: samples that belong to seed and index alone, and steps that can be taken."""

import math

import pytest
import torch
from torch import Tensor
from torchdiffeq import odeint

from mmvisionllama.errors import SamplingError
from mmvisionllama.generation.diffusion import GaussianDiffusion
from mmvisionllama.generation.dormand_prince import integrate
from mmvisionllama.generation.flow import Interpolant
from mmvisionllama.generation.flow_samplers import DIFFUSIONS, ODESampler, SDESampler
from mmvisionllama.generation.guidance import Guidance
from mmvisionllama.generation.noise import SampleNoise
from mmvisionllama.generation.samplers import DDIMSampler, DDPMSampler, Sampler, spaced_steps
from tests.generation.networks import noisy, small_network

DIFFUSION, FLOW = GaussianDiffusion(), Interpolant()
SAMPLERS = {
    "ddpm": (DIFFUSION, DDPMSampler(steps=4, clip=True)),
    "ddim": (DIFFUSION, DDIMSampler(steps=4, clip=True)),
    "ddim_eta": (DIFFUSION, DDIMSampler(steps=4, eta=0.5, clip=True)),
    "dopri5": (FLOW, ODESampler()),
    "euler": (FLOW, ODESampler(method="euler", steps=4)),
    "heun": (FLOW, ODESampler(method="heun2", steps=3)),
    "sde": (FLOW, SDESampler(steps=4)),
    "sde_heun": (FLOW, SDESampler(method="heun", steps=4, diffusion="SBDM", last_step="tweedie")),
    "noise_vp": (Interpolant(path=dict(type="VPPath"), prediction="noise"), ODESampler(eps=0.01)),
}
every_sampler = pytest.mark.parametrize("name", SAMPLERS)
LABELS = torch.tensor([2, 0, 1, 2, 1])
NETWORK = small_network()


@torch.no_grad()
def draw_samples(name: str, indices: list[int], seed: int = 3) -> Tensor:
    objective, sampler = SAMPLERS[name]
    predict = Guidance(1.5).bind(NETWORK, LABELS[indices])
    return sampler.sample(objective, predict, SampleNoise(seed, indices, (1, 8, 8)))


@every_sampler
def test_a_sample_is_the_same_in_any_batch(name: str) -> None:
    together = draw_samples(name, [0, 1, 2, 3, 4])
    apart = torch.cat([draw_samples(name, [3]), draw_samples(name, [4, 0])])
    torch.testing.assert_close(apart, together[[3, 4, 0]], atol=1e-4, rtol=1e-4)


@every_sampler
def test_another_seed_gives_other_samples_and_the_same_seed_the_same(name: str) -> None:
    assert torch.equal(draw_samples(name, [0, 1]), draw_samples(name, [0, 1]))
    assert not torch.allclose(draw_samples(name, [0, 1]), draw_samples(name, [0, 1], seed=4))


@every_sampler
def test_sampling_leaves_the_random_state_alone(name: str) -> None:
    before = torch.get_rng_state()
    draw_samples(name, [0])
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_of_50000_samples_has_no_repetition() -> None:
    first = SampleNoise(0, range(50_000), (2,))()
    assert len(first.unique(dim=0)) == 50_000
    assert first.mean().item() == pytest.approx(0, abs=0.02)
    assert first.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("form", DIFFUSIONS)
@torch.no_grad()
def test_ode_and_sde_bring_a_gaussian_to_the_same_deviation(form: str) -> None:
    # Data of deviation 2: the velocity is known, and any diffusion must keep the marginals.
    def predict(x: Tensor, time_B: Tensor) -> Tensor:
        t = time_B[:, None, None, None]
        return x * (4 * t - (1 - t)) / (4 * t**2 + (1 - t) ** 2)

    ode = ODESampler(method="heun2", steps=50).sample(FLOW, predict, SampleNoise(0, range(4), (1, 32, 32)))
    assert ode.std().item() == pytest.approx(2, rel=0.02)
    sampler = SDESampler(steps=300, diffusion=form, last_step_size=0.01)
    sde = sampler.sample(FLOW, predict, SampleNoise(1, range(4), (1, 32, 32)))
    assert sde.std().item() == pytest.approx(2, rel=0.05)


@torch.no_grad()
def test_ddpm_and_ddim_bring_noise_to_the_deviation_of_gaussian_data() -> None:
    variance = 0.25
    diffusion = GaussianDiffusion(variance="posterior")

    def predict(x: Tensor, step_B: Tensor) -> Tensor:
        signal = diffusion.schedule.signal_T[step_B].float()[:, None, None, None]
        return x * (1 - signal).sqrt() / (signal * variance + 1 - signal)

    for sampler in (DDPMSampler(steps=500), DDIMSampler(steps=200), DDIMSampler(steps=500, eta=1.0)):
        x = sampler.sample(diffusion, predict, SampleNoise(0, range(4), (1, 32, 32)))
        assert x.std().item() == pytest.approx(variance**0.5, rel=0.04)


def test_dopri5_agrees_with_torchdiffeq() -> None:
    def slope(t: Tensor, x: Tensor) -> Tensor:
        return torch.sin(5 * t).view(-1, 1) * x.flip(1) - 0.5 * x

    x = torch.linspace(-2, 2, 12).view(4, 3)
    wanted = odeint(lambda t, y: slope(t.expand(4), y), x, torch.tensor([0.0, 2.0]), rtol=1e-7, atol=1e-8)
    ours = integrate(slope, x, 0.0, 2.0, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(ours, wanted[1], atol=1e-5, rtol=1e-5)


def test_dopri5_takes_for_every_sample_the_steps_that_it_needs() -> None:
    rate_B1 = torch.tensor([[1.0], [60.0]])
    evaluated = []

    def slope(t: Tensor, x: Tensor) -> Tensor:
        evaluated.append(t.clone())
        return -rate_B1 * (x - torch.cos(t)[:, None])

    ours = integrate(slope, torch.zeros(2, 1), 0.0, 1.0, rtol=1e-4, atol=1e-6)
    exact = (rate_B1**2 * math.cos(1) + rate_B1 * math.sin(1) - rate_B1**2 * (-rate_B1).exp()) / (
        1 + rate_B1**2
    )
    torch.testing.assert_close(ours, exact, atol=1e-3, rtol=0)
    arrived = [(torch.stack(evaluated)[:, i] < 1).sum() for i in range(2)]
    assert arrived[0] < arrived[1]


def test_dopri5_refuses_slopes_that_are_not_finite() -> None:
    with pytest.raises(SamplingError, match="step 1: dopri5 met a slope that is not finite"):
        integrate(lambda t, x: x * math.nan, torch.ones(1, 1), 0.0, 1.0, rtol=1e-3, atol=1e-6)


@torch.no_grad()
def test_log_likelihood_of_gaussian_data_is_its_density() -> None:
    def predict(x: Tensor, time_B: Tensor) -> Tensor:
        t = time_B[:, None, None, None]
        return x * (4 * t - (1 - t)) / (4 * t**2 + (1 - t) ** 2)

    x = SampleNoise(0, range(3), (1, 2, 2))() * 2
    log_p, noise = ODESampler(rtol=1e-5).log_likelihood(FLOW, predict, x, SampleNoise(1, range(3), (1, 2, 2)))
    exact = torch.distributions.Normal(0.0, 2.0).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(log_p, exact, atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(noise, x / 2, atol=1e-2, rtol=1e-3)


@torch.no_grad()
def test_guidance_of_one_equals_the_conditional_network_and_evaluates_nothing_else() -> None:
    network, (x, time_B, label_B) = small_network(), noisy()
    sizes = []
    network.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    output = Guidance(1.0).bind(network, label_B)(x, time_B)
    assert torch.equal(output, network(x, time_B, label_B))
    assert sizes == [3, 3]


@torch.no_grad()
def test_guidance_moves_all_channels_but_the_variance_away_from_no_class() -> None:
    network, label_B = small_network(in_channels=4), torch.tensor([0, 1])
    x, time_B = torch.randn(2, 4, 8, 8), torch.tensor([0.3, 0.6])
    toward = network(x, time_B, label_B)
    away = network(x, time_B, torch.full((2,), network.null_label))
    for channels, guided in (("all", 4), ("first_three", 3)):
        output = Guidance(3.0, channels=channels).bind(network, label_B)(x, time_B)
        wanted = torch.cat((away[:, :guided] + 3 * (toward - away)[:, :guided], toward[:, guided:]), dim=1)
        torch.testing.assert_close(output, wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("in_channels", [1, 2, 3])
def test_guidance_of_the_first_three_of_fewer_channels_leaves_the_variance_alone(in_channels: int) -> None:
    network, label_B = small_network(in_channels=in_channels), torch.tensor([0, 1])
    x, time_B = torch.randn(2, in_channels, 8, 8), torch.tensor([0.3, 0.6])
    three, every = (
        Guidance(3.0, channels=c).bind(network, label_B)(x, time_B) for c in ("first_three", "all")
    )
    variance = network(x, time_B, label_B)[:, in_channels:]
    assert variance.shape[1] == in_channels
    torch.testing.assert_close(three[:, in_channels:], variance, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(three, every)


def test_guidance_of_a_network_without_label_dropout_is_an_error() -> None:
    network = small_network(label_dropout=0.0)
    with pytest.raises(ValueError, match=r"guidance of scale 1.5 needs .* label_dropout > 0"):
        Guidance(1.5).bind(network, torch.zeros(1, dtype=torch.long))
    Guidance(1.0).bind(network, torch.zeros(1, dtype=torch.long))


@pytest.mark.parametrize("steps", [1, 2, 7, 250, 1000])
def test_even_steps_begin_with_the_data_and_end_in_the_noise(steps: int) -> None:
    kept = spaced_steps(1000, steps)
    assert len(set(kept)) == steps
    assert kept[0] == (0 if steps > 1 else 999)
    assert kept[-1] == 999


@pytest.mark.parametrize("kind", [DDPMSampler, DDIMSampler])
@torch.no_grad()
def test_one_step_starts_at_the_last_step_and_gives_the_data_that_it_predicts(kind: type) -> None:
    times = []

    def predict(x: Tensor, step_B: Tensor) -> Tensor:
        times.append(step_B.tolist())
        return x  # all of it is noise

    noise = SampleNoise(0, [0, 1], (1, 8, 8))()
    objective = GaussianDiffusion(variance="posterior")
    x = kind(steps=1).sample(objective, predict, SampleNoise(0, [0, 1], (1, 8, 8)))
    assert times == [[999, 999]]
    signal = objective.schedule.signal_T[-1].item()
    wanted = noise * (1 - (1 - signal) ** 0.5) / signal**0.5
    torch.testing.assert_close(x, wanted, atol=1e-4, rtol=1e-3)


def test_250_steps_are_those_of_the_release() -> None:
    # iDDPM's rule for "250": the first and the last step, and what lies between them, rounded.
    stride, place, wanted = 999 / 249, 0.0, []
    for _ in range(250):
        wanted.append(round(place))
        place += stride
    assert spaced_steps(1000, 250) == wanted


@torch.no_grad()
def draw_once(objective: object, sampler: Sampler) -> Tensor:
    sampler.check(objective)
    predict = Guidance().bind(NETWORK, LABELS[:1])
    return sampler.sample(objective, predict, SampleNoise(0, [0], (1, 8, 8)))


@pytest.mark.parametrize("form", DIFFUSIONS)
@pytest.mark.parametrize("last_step", ["mean", "euler", "tweedie", None])
@pytest.mark.parametrize("method", ["euler", "heun"])
@pytest.mark.parametrize("path", ["LinearPath", "GVPPath", "VPPath"])
def test_every_sde_is_finite(form: str, last_step: str | None, method: str, path: str) -> None:
    sampler = SDESampler(method=method, steps=4, diffusion=form, last_step=last_step)
    assert draw_once(Interpolant(path=dict(type=path)), sampler).isfinite().all()


@pytest.mark.parametrize("prediction", ["velocity", "noise", "score"])
@pytest.mark.parametrize("path", ["LinearPath", "GVPPath", "VPPath"])
@pytest.mark.parametrize("method", ["euler", "heun2", "rk4"])
def test_every_ode_is_finite(prediction: str, path: str, method: str) -> None:
    objective = Interpolant(path=dict(type=path), prediction=prediction)
    assert draw_once(objective, ODESampler(method=method, steps=3)).isfinite().all()


@pytest.mark.parametrize(
    ("objective", "sampler", "message"),
    [
        (
            FLOW,
            DDPMSampler(),
            "DDPMSampler samples networks trained with GaussianDiffusion, .* is Interpolant",
        ),
        (DIFFUSION, ODESampler(), "ODESampler samples networks trained with Interpolant"),
        (DIFFUSION, DDPMSampler(steps=1001), r"steps must be in 1 .. 1000, .* got 1001"),
        (
            DIFFUSION,
            DDIMSampler(steps=1, spacing="stride"),
            "steps=1 with spacing='stride' .* spacing='even'",
        ),
        (
            DIFFUSION,
            DDIMSampler(steps=300, spacing="stride"),
            r"no stride .* gives steps=300 .* \[250, 334\]",
        ),
        (
            Interpolant(prediction="noise"),
            ODESampler(eps=0.0),
            "eps must be above 0, got 0: the velocity",
        ),
        (FLOW, SDESampler(diffusion="SBDM", eps=0.0), "eps must be above 0, got 0: 'SBDM' diffusion"),
        (FLOW, SDESampler(method="heun", last_step=None, eps=0.0), "heun without last_step"),
        (
            Interpolant(prediction="noise"),
            SDESampler(eps=0.4, last_step_size=0.7),
            "eps=0.4 and last_step_size=0.7 leave no time",
        ),
    ],
)
def test_what_a_sampler_cannot_do_is_an_error(objective: object, sampler: Sampler, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampler.check(objective)


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (ODESampler, dict(method="heun"), "method takes 'dopri5' or 'euler' .*, got 'heun'"),
        (ODESampler, dict(steps=0), "steps takes a whole number of at least 1, got 0"),
        (SDESampler, dict(steps=1), "steps must be at least 2, the last one being 'mean', got 1"),
        (SDESampler, dict(diffusion="inccreasing-decreasing"), "diffusion must be one of"),
        (SDESampler, dict(last_step_size=0.0), r"last_step_size takes a number in \(0, 1\), got 0.0"),
        (DDIMSampler, dict(eta=2.0), r"eta takes a number in \[0, 1\], got 2.0"),
        (Guidance, dict(channels="three"), "channels takes 'all' or 'first_three', got 'three'"),
        (Guidance, dict(scale=math.nan), "scale takes a number of at least 0, got nan"),
        (Guidance, dict(scale=-1.0), "scale takes a number of at least 0, got -1.0"),
        (ODESampler, dict(eps=0.9), r"eps takes a number in \[0, 0.5\) or None, got 0.9"),
        (ODESampler, dict(rtol=-1e-3), r"rtol takes a number in \[0, 1\), got -0.001"),
        (ODESampler, dict(atol=0.0), r"atol takes a number in \(0, inf\), got 0.0"),
        (SDESampler, dict(diffusion_norm=-1.0), "diffusion_norm takes a number of at least 0, got -1.0"),
        (SDESampler, dict(eps=math.inf), r"eps takes a number in \[0, 0.5\) or None, got inf"),
        (Interpolant, dict(eps=0.5), r"eps takes a number in \[0, 0.5\) or None, got 0.5"),
        (DDPMSampler, dict(steps=True), "steps takes a whole number of at least 1, got True"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_is_allowed(
    build: type, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_a_negative_seed_is_an_error() -> None:
    with pytest.raises(ValueError, match="seed takes a whole number of at least 0, got -1"):
        SampleNoise(-1, [0], (1,))


@every_sampler
@pytest.mark.parametrize("scale", [1.0, 1.5])
@torch.no_grad()
def test_a_network_of_nan_is_an_error_that_names_the_step(name: str, scale: float) -> None:
    objective, sampler = SAMPLERS[name]
    network = small_network()
    network.blocks[1].ffn.down.weight[0, 0] = math.nan
    predict = Guidance(scale).bind(network, LABELS[:2])
    with pytest.raises(SamplingError, match=r"^step 1\b.* not finite"):
        sampler.sample(objective, predict, SampleNoise(0, [0, 1], (1, 8, 8)))


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ("dopri5", "noise_vp")])
@torch.no_grad()
def test_the_first_step_that_is_not_finite_is_the_one_that_is_named(name: str) -> None:
    objective, sampler = SAMPLERS[name]
    predict, seen = Guidance().bind(NETWORK, LABELS[:1]), []

    def failing(x: Tensor, time_B: Tensor) -> Tensor:
        seen.append(time_B)
        return predict(x, time_B) / (len(seen) < at_call)

    calls = dict(heun=2, sde_heun=2).get(name, 1)  # of the network, in a step
    at_call = 2 * calls + 1
    with pytest.raises(SamplingError, match=f"^step 3 of {type(sampler).__name__}, time .* output is not"):
        sampler.sample(objective, failing, SampleNoise(0, [0], (1, 8, 8)))


@torch.no_grad()
def test_what_clipping_would_hide_is_an_error_too() -> None:
    sampler = DDIMSampler(steps=2, clip=True)
    with pytest.raises(SamplingError, match=r"step 1 of DDIMSampler, time 999: the network's output"):
        sampler.sample(
            GaussianDiffusion(variance="posterior"),
            lambda x, time_B: torch.full_like(x, math.inf),
            SampleNoise(0, [0], (1, 8, 8)),
        )


@pytest.mark.parametrize("method", ["midpoint", "heun3", "rk4"])
def test_other_methods_tell_the_times_at_which_they_ask(method: str) -> None:
    _hold_times(FLOW, ODESampler(method=method, steps=2))


@pytest.mark.parametrize(
    "name", [name for name in SAMPLERS if SAMPLERS[name][1].times(SAMPLERS[name][0]) is not None]
)
def test_a_sampler_tells_the_times_at_which_it_will_ask_the_network(name: str) -> None:
    _hold_times(*SAMPLERS[name])


@torch.no_grad()
def _hold_times(objective: GaussianDiffusion | Interpolant, sampler: Sampler) -> None:
    asked = []

    def predict(x: Tensor, time_B: Tensor) -> Tensor:
        asked.append(time_B)
        return torch.cat((x, x), dim=1)

    sampler.sample(objective, predict, SampleNoise(0, [0], (1, 8, 8)))
    torch.testing.assert_close(sampler.times(objective), torch.cat(asked), atol=1e-6, rtol=0)


@pytest.mark.parametrize("ahead", [1, 2**20])  # one call at a time, all at once
@pytest.mark.parametrize("scale", [1.0, 1.5])
@torch.no_grad()
def test_modulations_made_ahead_change_a_sample_by_rounding_alone(ahead: int, scale: float) -> None:
    label_B, indices = LABELS, [0, 1, 2, 3, 4]  # two classes have two samples each
    for objective, sampler in (SAMPLERS["ddim_eta"], SAMPLERS["heun"]):
        drawn = [
            sampler.sample(objective, predict, SampleNoise(0, indices, (1, 8, 8)))
            for predict in (
                Guidance(scale).bind(NETWORK, label_B),
                Guidance(scale).bind(NETWORK, label_B, sampler.times(objective), ahead=ahead),
            )
        ]
        torch.testing.assert_close(*drawn, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_reverse_step_of_a_number_is_that_of_the_number_for_every_sample() -> None:
    noisy_x, output = torch.randn(2, 3, 1, 8, 8).unbind(0)
    for variance, channels in (("learned_range", 2), ("posterior", 1), ("beta", 1)):
        diffusion = GaussianDiffusion(variance=variance)
        given = output.repeat(1, channels, 1, 1), noisy_x
        for one, each in zip(
            diffusion.reverse(*given, 7), diffusion.reverse(*given, torch.full((3,), 7)), strict=True
        ):
            assert torch.equal(one, each)
