"""Low precision, compilers and export."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmvisionllama.models.backbone import RotaryBackbone
from tests.models.test_backbones import PLAIN_ARCH, both, images, plain, pyramid, seeded, short


# Compilers take a second or two for each block: two of several equal ones, one or two stages of four.
def two_blocks(**options: object) -> RotaryBackbone:
    return plain(arch=PLAIN_ARCH | dict(num_layers=2), **options)


def one_stage(**options: object) -> RotaryBackbone:
    """Build a pyramid of one stage, whose two blocks have both kinds of attention."""
    return stages(1, **options)


def two_stages(**options: object) -> RotaryBackbone:
    return stages(2, **options)


def stages(count: int, **options: object) -> RotaryBackbone:
    model = short(out_indices=(count - 1,), out_type="featmap", **options)
    del model.stages[count:]
    return model


as_graph = pytest.mark.parametrize("build", [two_blocks, two_stages])


def relative_error(value: Tensor, exact: Tensor) -> float:
    return ((value.float() - exact).norm() / exact.norm()).item()


@both
def test_bfloat16_weights_give_bfloat16_outputs_close_to_float32(
    build: Callable[..., RotaryBackbone],
) -> None:
    model, img = seeded(build).eval(), images(2, 3, 64, 64)
    (exact,) = model(img)
    (rounded,) = model.to(torch.bfloat16)(img.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert relative_error(rounded, exact) < 0.05


@both
def test_rotary_tables_stay_float32_after_conversion(build: Callable[..., RotaryBackbone]) -> None:
    model = build().to(torch.bfloat16)
    tables = model._tables((4, 4), None) if build is plain else model.stages[2].tables((4, 4), (4, 4), None)
    assert all(
        part.dtype == torch.float32 for pair in tables.values() for table in pair for part in table[:2]
    )


@both
@pytest.mark.parametrize("with_cp", [False, True])
def test_autocast_trains_and_keeps_the_residual_stream_in_float32(
    build: Callable[..., RotaryBackbone], with_cp: bool
) -> None:
    model, img = seeded(build, with_cp=with_cp), images(2, 3, 64, 64)
    (exact,) = model(img)
    with torch.autocast("cpu", torch.bfloat16):
        (out,) = model(img)
        out.sum().backward()
    assert out.dtype == torch.float32
    assert relative_error(out, exact) < 0.05
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("build", "img_hw"), [(two_blocks, (64, 64)), (two_blocks, (40, 72)), (short, (40, 72))]
)
def test_compiles_as_one_graph_and_computes_the_same(
    build: Callable[..., RotaryBackbone], img_hw: tuple[int, int]
) -> None:
    torch._dynamo.reset()
    model, img = seeded(build, drop_path_rate=0.0), images(1, 3, *img_hw)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    expected, actual = model(img)[0], compiled(img)[0]
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)
    expected.square().sum().backward()
    grads = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    actual.square().sum().backward()
    torch.testing.assert_close([p.grad for p in model.parameters()], grads, atol=1e-4, rtol=1e-3)


@as_graph
def test_compiles_as_one_graph_with_drop_path_and_checkpointing(build: Callable[..., RotaryBackbone]) -> None:
    torch._dynamo.reset()
    model = seeded(build, drop_path_rate=0.5, with_cp=True).train()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    compiled(images(2, 3, 64, 64))[0].sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("build", "options"),
    [(plain, dict(arch=PLAIN_ARCH | dict(num_layers=1))), (one_stage, {})],
)
def test_the_default_compiler_computes_the_same(
    build: Callable[..., RotaryBackbone], options: dict[str, object]
) -> None:
    torch._dynamo.reset()
    model, img = seeded(build, **options).eval(), images(1, 3, 40, 72)
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True)(img)[0]
        torch.testing.assert_close(compiled, model(img)[0], atol=1e-4, rtol=1e-3)


def test_the_default_compiler_trains_the_same_at_every_size_with_one_graph() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = seeded(plain, arch=PLAIN_ARCH | dict(num_layers=1))
    compiled = torch.compile(model, dynamic=True, fullgraph=True)
    for img_hw in ((64, 48), (72, 104), (40, 200)):
        img, grads = images(2, 3, *img_hw), []
        for each in (compiled, model):
            each(img)[0].square().mean().backward()
            grads.append([p.grad for p in model.parameters()])
            model.zero_grad()
        torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def operators(module: torch.fx.GraphModule) -> set[str]:
    return {str(node.target) for node in module.graph.nodes if node.op == "call_function"}


@as_graph
def test_a_compiler_gets_tables_as_numbers(build: Callable[..., RotaryBackbone]) -> None:
    def keep(module: torch.fx.GraphModule, _: list[Tensor]) -> Callable:
        captured.update(operators(module))
        return module.forward

    torch._dynamo.reset()
    captured: set[str] = set()
    with torch.no_grad():
        torch.compile(seeded(build).eval(), fullgraph=True, backend=keep)(images(1, 3, 64, 64))
    assert any("mmvisionllama.cos_sin" in name for name in captured)
    assert not any(name.startswith("cos") for name in captured)


@pytest.mark.parametrize("build", [plain, short])
def test_an_export_leaves_the_batch_free_and_needs_no_operator_of_ours_and_no_complex_number(
    build: Callable[..., RotaryBackbone],
) -> None:
    model, batch = seeded(build).eval(), torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(model, (images(2, 3, 40, 72),), dynamic_shapes=({0: batch},))
    module, img = program.module(), images(5, 3, 40, 72)
    torch.testing.assert_close(module(img), model(img), atol=1e-5, rtol=1e-4)
    assert "aten.cos.default" in operators(module)
    assert not any("mmvisionllama" in name for name in operators(module))
    dtypes = {
        node.meta["val"].dtype for node in program.graph.nodes if hasattr(node.meta.get("val"), "dtype")
    }
    assert dtypes
    assert not any(dtype.is_complex for dtype in dtypes)


def test_one_model_runs_at_sizes_with_equal_token_counts() -> None:
    model = seeded(pyramid, out_type="featmap").eval()
    wide, tall = images(1, 3, 64, 128), images(1, 3, 128, 64)
    fresh = seeded(pyramid, out_type="featmap").eval()(tall)
    model(wide)
    torch.testing.assert_close(model(tall), fresh, atol=0, rtol=0)
