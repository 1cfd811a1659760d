"""Backbones under torch.func, double backward, quantisation, tracing, float64, free sizes, empty batches."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmvisionllama.models.backbone import RotaryBackbone
from tests.generation.networks import noisy, small_network
from tests.models.test_backbones import both, images, plain, pyramid, seeded

WINDOWED = dict(out_type="featmap", window=dict(size=3, global_blocks=(2,)))
KINDS = {"plain": (plain, {}), "windowed": (plain, WINDOWED), "pyramid": (pyramid, {})}
every_kind = pytest.mark.parametrize(("build", "options"), KINDS.values(), ids=KINDS)


def loss_of(model: nn.Module) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    def loss(parameters: dict[str, Tensor], img: Tensor) -> Tensor:
        return functional_call(model, parameters, (img[None],))[-1].square().sum()

    return loss


@every_kind
def test_gradients_of_each_sample_by_vmap_are_those_of_a_loop(build: Callable, options: dict) -> None:
    model = seeded(build, **options).eval()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    loss, batch = loss_of(model), images(2, 3, 32, 40)
    together = vmap(grad(loss), in_dims=(None, 0))(parameters, batch)
    for i in range(2):
        alone = grad(loss)(parameters, batch[i])
        torch.testing.assert_close({k: x[i] for k, x in together.items()}, alone, atol=1e-4, rtol=1e-3)


@every_kind
def test_forward_mode_agrees_with_backward_mode(build: Callable, options: dict) -> None:
    model = seeded(build, **options).double().eval()
    img, direction = images(1, 3, 32, 40).double().requires_grad_(), images(1, 3, 32, 40).double().flip(-1)

    def total(x: Tensor) -> Tensor:
        return model(x)[-1].sin().sum()

    (backward,) = torch.autograd.grad(total(img), img)
    with sdpa_kernel(SDPBackend.MATH):  # torch's other kernels know no forward mode
        _, forward = jvp(total, (img.detach(),), (direction,))
    torch.testing.assert_close(forward, (backward * direction).sum(), atol=1e-8, rtol=1e-8)


@both
def test_a_second_derivative_is_the_slope_of_the_first(build: Callable[..., RotaryBackbone]) -> None:
    model = seeded(build).double().eval()
    img, along = images(1, 3, 32, 32).double(), images(1, 3, 32, 32).double().flip(-1)

    def slope(step: float, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        x = (img + step * along).requires_grad_()
        (first,) = torch.autograd.grad(model(x)[-1].square().sum(), x, create_graph=create_graph)
        return first, x

    with sdpa_kernel(SDPBackend.MATH):  # torch's other kernels have no second derivative
        first, x = slope(0.0, create_graph=True)
        (second,) = torch.autograd.grad((first * along).sum(), x)
    step = 1e-4
    difference = (slope(step)[0] - slope(-step)[0]) / (2 * step)
    torch.testing.assert_close(second, difference, atol=1e-4, rtol=1e-4)


@every_kind
def test_float64_stays_float64_and_is_as_precise(build: Callable, options: dict) -> None:
    model, img = seeded(build, **options).eval(), images(1, 3, 40, 32)
    single = model(img)[-1]
    double = model.double()(img.double())[-1]
    assert double.dtype == torch.float64
    assert 0 < (double - single).abs().max() < 1e-4


@every_kind
def test_dynamic_quantisation_of_a_backbone_runs_and_stays_close(build: Callable, options: dict) -> None:
    model, img = seeded(build, **options).eval(), images(1, 3, 40, 32)
    expected = model(img)[-1]
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    difference = (quantised(img)[-1] - expected).norm() / expected.norm()
    assert 0 < difference < 0.2


def test_dynamic_quantisation_of_a_diffusion_transformer_runs_and_stays_close() -> None:
    network, given = small_network(), noisy()
    expected = network(*given)
    quantised = torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8)
    assert 0 < (quantised(*given) - expected).norm() / expected.norm() < 0.3


@pytest.mark.filterwarnings("ignore")  # the tracer's, about sizes that become constants
@every_kind
def test_a_traced_backbone_computes_the_same(build: Callable, options: dict) -> None:
    model, img = seeded(build, **options).eval(), images(1, 3, 40, 32)
    traced = torch.jit.trace(model, img, check_trace=False)
    other = images(2, 3, 40, 32)[1:]
    torch.testing.assert_close(traced(other), model(other))


@pytest.mark.parametrize("options", [dict(out_type="featmap"), WINDOWED], ids=["plain", "windowed"])
def test_a_program_with_free_height_and_width_computes_the_same_at_other_sizes(options: dict) -> None:
    model = seeded(plain, **options).eval()
    sides = {axis: torch.export.Dim(name, min=32, max=512) for axis, name in ((2, "h"), (3, "w"))}
    program = torch.export.export(
        model,
        (images(1, 3, 72, 104),),
        dynamic_shapes=(sides,),
        prefer_deferred_runtime_asserts_over_guards=True,
    ).module()
    for hw in ((64, 64), (61, 33), (33, 96)):
        img = images(1, 3, *hw)
        torch.testing.assert_close(program(img), model(img))


@every_kind
@pytest.mark.parametrize("out_type", ["featmap", "raw", "avg_featmap"])
def test_an_empty_batch_gives_empty_outputs(build: Callable, options: dict, out_type: str) -> None:
    model = build(**options | dict(out_type=out_type))
    one, none = model(images(1, 3, 40, 72))[0], model(images(0, 3, 40, 72))[0]
    assert none.shape == (0, *one.shape[1:])


@pytest.mark.parametrize("norm", [None, "shared", "each", "last", "both", "none"])
@pytest.mark.parametrize("indices", [(0,), (0, 1), (1,), (-1,)])
def test_whatever_is_trained_gets_a_gradient_also_before_the_last_block(
    norm: str | None, indices: tuple[int, ...]
) -> None:
    require_all_used(plain, dict(out_type="avg_featmap", out_norm=norm, out_indices=indices))


@pytest.mark.parametrize("norm", ["each", "last", "each_fed_on", "none"])
@pytest.mark.parametrize("indices", [(0,), (0, 2), (1,), (-1,)])
def test_whatever_is_trained_gets_a_gradient_also_before_the_last_stage(
    norm: str, indices: tuple[int, ...]
) -> None:
    require_all_used(pyramid, dict(out_type="featmap", out_norm=norm, out_indices=indices))


def require_all_used(build: Callable[..., RotaryBackbone], options: dict) -> None:
    """DistributedDataParallel waits for the gradient of every trained parameter."""
    model = seeded(build, **options)
    whole = seeded(build, **options | dict(out_indices=-1))
    run: list[nn.Module] = []
    for block in model.modules():
        if type(block).__name__ == "VisionLLaMABlock":
            block.register_forward_hook(lambda module, *_: run.append(module))
    outs = model(images(2, 3, 64, 64))
    sum((out * images(*out.shape)).sum() for out in outs).backward()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name, p in model.named_parameters() if p.grad is not None} == trained
    assert all(p.requires_grad for block in run for p in block.parameters())
    blocks = {name for name in model.state_dict() if "norms." not in name}
    assert blocks == {name for name in whole.state_dict() if "norms." not in name}
