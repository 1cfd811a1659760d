"""Networks, objectives and samplers against tensors of the original DiT and SiT code."""

import json
from collections.abc import Callable

import pytest
import torch

from mmvisionllama.generation import DiT
from mmvisionllama.generation.diffusion import GaussianDiffusion
from mmvisionllama.generation.flow import Interpolant
from mmvisionllama.generation.flow_samplers import ODESampler, SDESampler
from mmvisionllama.generation.guidance import Guidance
from mmvisionllama.generation.samplers import DDIMSampler, DDPMSampler, spaced_steps
from tests.generation.released import ROOT, Case, Replay, load_case

DIT, SIT = load_case("dit_llama"), load_case("sit_llama")
NETWORKS = ["dit_llama", "dit_baseline", "sit_llama", "sit_baseline", "sit_llama_nosigma"]
FULL_MODELS = json.loads((ROOT / "full_models.json").read_text())
PATHS = {"Linear": "LinearPath", "GVP": "GVPPath", "VP": "VPPath"}


def ids(entries: list[dict]) -> list[str]:
    return [entry.get("name") or "_".join(map(str, entry.values())) for entry in entries]


def predictor(case: Case, guidance: Guidance | None = None) -> Callable:
    return (guidance or Guidance()).bind(case.model(), case.inputs["y"])


def interpolant(entry: dict) -> Interpolant:
    path = dict(type=PATHS[entry["path"]])
    return Interpolant(path=path, prediction=entry["prediction"], weighting=entry.get("weight"))


def released_guidance(case: Case) -> Guidance:
    return Guidance(case.spec["run_cfg"]["cfg_scale"], channels="first_three")


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_network_equals_the_original(name: str) -> None:
    case = load_case(name)
    x, t, y = (case.inputs[key] for key in "xty")
    output = case.model()(x, t, y)
    case.check("forward", output[:, : case.outputs["forward"].shape[1]])


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_guidance_of_the_first_three_channels_equals_the_original(name: str) -> None:
    case = load_case(name)
    predict = predictor(case, released_guidance(case))
    output = predict(case.inputs["x"], case.inputs["t"])
    guided = case.outputs["forward_with_cfg"].chunk(2)[0]  # the other half is what guidance moves away from
    torch.testing.assert_close(
        output[:, : guided.shape[1]], guided, atol=case.atol["forward_with_cfg"], rtol=0
    )


@pytest.mark.parametrize("name", [key for key in FULL_MODELS if key.startswith(("dit.", "sit."))])
def test_parameters_equal_the_original_count(name: str) -> None:
    model = name.partition(".")[2]
    llama = "LLaMA" in model
    size, patch = model.removesuffix(".learn_sigma_False").replace("_", "/").replace("-", "/").split("/")[1:]
    arch = {"S": "small", "B": "base", "L": "large", "XL": "xlarge"}[size]
    with torch.device("meta"):
        network = DiT(
            arch,
            patch_size=int(patch),
            block="llama" if llama else "vit",
            learn_sigma=not model.endswith("learn_sigma_False"),
        )
    count = sum(parameter.numel() for parameter in network.parameters())
    table = (32 // int(patch)) ** 2 * network.embed_dims  # frozen, and part of the release's count
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert count == FULL_MODELS[name]["num_trainable"]
    assert count + table == FULL_MODELS[name]["num_params"]


def test_diffusion_losses_and_their_gradients_equal_the_original() -> None:
    network, inputs = DIT.model(), DIT.inputs
    diffusion = GaussianDiffusion()
    args = (inputs["x_start"], inputs["t_train"], inputs["noise_train"])
    DIT.check("train_x_t", diffusion.diffuse(*args))
    losses = diffusion.loss(network, args[0], inputs["y_train"], *args[1:])
    DIT.check("train_mse", losses["loss_mse"])
    DIT.check("train_vb", losses["loss_vb"])
    total = sum(losses.values())
    DIT.check("train_loss", total)
    total.mean().backward()
    DIT.check("train_grad_final_linear_weight", network.head.linear.weight.grad)
    DIT.check("train_grad_final_linear_bias", network.head.linear.bias.grad)


@pytest.mark.parametrize("clip", [False, True])
@torch.no_grad()
def test_reverse_distribution_equals_the_original(clip: bool) -> None:
    x, t, y = (DIT.inputs[key] for key in ("x_start", "t_train", "y_train"))
    output = DIT.model()(x, t, y)
    reverse = GaussianDiffusion().reverse(output, x, t, clip=clip)
    suffix = "_clip" if clip else ""
    DIT.check(f"pmv_mean{suffix}", reverse.mean)
    DIT.check(f"pmv_log_variance{suffix}", reverse.log_variance)
    DIT.check(f"pmv_variance{suffix}", reverse.log_variance.exp())
    DIT.check(f"pmv_pred_xstart{suffix}", reverse.clean)


@pytest.mark.parametrize(
    ("name", "spacing", "clip"),
    [("ddim_ddim10", "stride", False), ("ddim_10", "even", False), ("ddim_clip", "stride", True)],
)
@torch.no_grad()
def test_ddim_equals_the_original(name: str, spacing: str, clip: bool) -> None:
    sampler = DDIMSampler(steps=10, spacing=spacing, clip=clip)
    draw = Replay(DIT.inputs["x"])
    DIT.check(name, sampler.sample(GaussianDiffusion(), predictor(DIT), draw))


@torch.no_grad()
def test_guided_ddpm_equals_the_original() -> None:
    predict = predictor(DIT, released_guidance(DIT))
    draw = Replay(DIT.inputs["x"], *(noise.chunk(2)[0] for noise in DIT.inputs["ddpm_noise"]))
    ours = DDPMSampler(steps=5).sample(GaussianDiffusion(), predict, draw)
    wanted = DIT.outputs["ddpm_cfg"].chunk(2)[0]
    torch.testing.assert_close(ours, wanted, atol=DIT.atol["ddpm_cfg"], rtol=0)


@pytest.mark.parametrize(
    ("steps", "spacing", "name"), [(10, "stride", "ddim10"), (10, "even", "10"), (5, "even", "5")]
)
def test_kept_steps_equal_the_original(steps: int, spacing: str, name: str) -> None:
    assert spaced_steps(1000, steps, spacing) == DIT.spec["extra"][f"kept_timesteps[{name}]"]


@pytest.mark.parametrize("entry", SIT.spec["run_cfg"]["losses"], ids=ids(SIT.spec["run_cfg"]["losses"]))
@torch.no_grad()
def test_interpolant_losses_equal_the_original(entry: dict) -> None:
    network, objective = SIT.model(), interpolant(entry)
    x, noise, y = (SIT.inputs[key] for key in ("loss_x1", "loss_x0", "loss_y"))
    time_B = objective.times(SIT.inputs["loss_u"])
    losses = objective.loss(network, x, y, time_B, noise)
    SIT.check(f"loss_{entry['path']}_{entry['prediction']}_{entry['weight']}", losses["loss_mse"])


@torch.no_grad()
def test_prediction_inside_the_loss_equals_the_original() -> None:
    objective = Interpolant()
    time_B = objective.times(SIT.inputs["loss_u"])
    noisy = objective.diffuse(SIT.inputs["loss_x1"], time_B, SIT.inputs["loss_x0"])
    output = SIT.model()(noisy, time_B, SIT.inputs["loss_y"])
    SIT.check("pred_Linear_velocity", objective.cut(output, noisy))


@pytest.mark.parametrize("entry", SIT.spec["run_cfg"]["odes"], ids=ids(SIT.spec["run_cfg"]["odes"]))
@torch.no_grad()
def test_ode_samples_equal_the_original(entry: dict) -> None:
    tolerances = {key: entry[key] for key in ("atol", "rtol") if key in entry}
    # The original counts the points of its grid.
    sampler = ODESampler(method=entry["method"], steps=entry["num_steps"] - 1, eps=entry["eps"], **tolerances)
    predict = predictor(SIT, released_guidance(SIT) if entry.get("cfg") else None)
    states = list(sampler.states(interpolant(entry), predict, Replay(SIT.inputs["x"])))
    name = f"ode_{entry['name']}"
    wanted = SIT.outputs[name].chunk(2)[0] if entry.get("cfg") else SIT.outputs[name]
    torch.testing.assert_close(states[-1], wanted, atol=SIT.atol[name], rtol=0)
    if entry.get("trajectory"):
        SIT.check(f"{name}_trajectory", torch.stack([SIT.inputs["x"], *states]))


@pytest.mark.parametrize("entry", SIT.spec["run_cfg"]["sdes"], ids=ids(SIT.spec["run_cfg"]["sdes"]))
@torch.no_grad()
def test_sde_samples_equal_the_original(entry: dict) -> None:
    no_last = entry["last_step"] is None
    sampler = SDESampler(
        method=entry["method"].lower(),
        steps=entry["num_steps"] - no_last,  # its grid has as many points, its last step is one more
        diffusion=entry["form"].replace("inccreasing", "increasing"),
        diffusion_norm=entry["norm"],
        last_step=None if no_last else entry["last_step"].lower(),
        last_step_size=entry["last_step_size"],
        eps=entry["eps"] or 0.0,
    )
    objective = interpolant(entry)
    sampler.check(objective)
    draw = Replay(SIT.inputs["x"], *SIT.inputs["sde_noise"])
    states = list(sampler.states(objective, predictor(SIT), draw))
    SIT.check(f"sde_{entry['name']}", states[-1])
    SIT.check(f"sde_{entry['name']}_before_last", states[-1 if no_last else -2])


@torch.no_grad()
def test_log_likelihood_equals_the_original() -> None:
    sampler = ODESampler(method="euler", steps=SIT.spec["run_cfg"]["likelihood"]["num_steps"] - 1)
    draw = Replay(*SIT.inputs["likelihood_probe"])
    log_p, noise = sampler.log_likelihood(Interpolant(), predictor(SIT), SIT.inputs["x"], draw)
    SIT.check("likelihood_logp", log_p)
    SIT.check("likelihood_z", noise)
