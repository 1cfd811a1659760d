import pytest

from mmvisionllama.benchmark.model_specs import parse_model
from mmvisionllama.benchmark.process_scaling import WAYS, Scaling, measure_scaling
from mmvisionllama.benchmark.scale_estimates import GPULoad, gpu_loads, tables
from tests.tools.commands import main

# A thousand parameters of 4 bytes.
MODEL = GPULoad("one", 1000)


def test_ddp_sends_every_gradient_twice_but_for_the_share_of_the_gpu() -> None:
    assert MODEL.all_reduced(8) == 2 * 7 / 8 * 4000
    assert MODEL.all_reduced(1) == 0


def test_fsdp_sends_weights_twice_and_gradients_once() -> None:
    assert MODEL.sharded(8) == 7 / 8 * (2 * 4000 + 4000)
    assert MODEL.sharded(8, weight_bytes=2) == MODEL.all_reduced(8)


def test_machines_that_shard_by_themselves_send_one_another_the_gradients_of_a_share() -> None:
    assert MODEL.between_machines(64, shard_size=8) == 2 * 7 / 8 * 4000 / 8
    assert MODEL.between_machines(8, shard_size=8) == 0


def test_the_state_is_five_tensors_a_parameter_and_a_checkpoint_four() -> None:
    assert (MODEL.state, MODEL.checkpoint, MODEL.share(8)) == (20000, 16000, 2500)
    without = GPULoad("one", 1000, averages=False)
    assert (without.state, without.checkpoint) == (16000, 12000)


def test_the_sizes_are_those_of_the_package() -> None:
    """DiT-XL's published size is 675 M (DiT, Tab. 1), which the blocks of LLaMA keep."""
    found = {x.name: x.parameters for x in gpu_loads()}
    assert found["DiT-LLaMA xlarge, patch 2"] == pytest.approx(675e6, rel=0.001)
    assert found["VisionLLaMA base"] == pytest.approx(86e6, rel=0.01)  # ViT-B's, VisionLLaMA, Tab. 5
    assert len(found) == 11


def test_the_tool_prints_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("scale_table") == 0
    assert capsys.readouterr().out == f"{tables()}\n"
    rows = [line for line in tables().splitlines() if line.startswith("| DiT-LLaMA xlarge, patch 2")]
    assert len(rows) == 2
    assert all(len({line.count("|") for line in part.splitlines()}) == 1 for part in tables().split("\n\n"))


def test_a_rate_counts_the_images_of_all_processes() -> None:
    seconds = {WAYS[0]: [1.0, 2.0, 1.0], "DDP": [1.0, 2.5, 1.25], "FSDP": [2.0, 4.0, 2.0]}
    found = Scaling(processes=2, batch=8, seconds=seconds)
    assert found.images_per_second(WAYS[0]) == 8
    assert found.images_per_second("DDP") == 16 / 1.25
    assert found.speed_up("DDP") == (1.6, 1.6, 1.8)
    assert found.speed_up("FSDP") == (1.0, 1.0, 1.0)


def test_all_ways_are_measured_in_every_round() -> None:
    spec = parse_model(
        "mmvisionllama.VisionLLaMA(arch={'embed_dims': 8, 'num_layers': 1, 'num_heads': 1}, img_size=16)"
    )
    found = measure_scaling(spec, processes=2, size=16, batch=1, rounds=2, warmup=1)
    assert found.seconds.keys() == set(WAYS)
    assert all(len(x) == 2 and min(x) > 0 for x in found.seconds.values())


def test_one_process_does_not_scale(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main("measure_scaling", "mmvisionllama.VisionLLaMA(arch='tiny')", "--processes", "1")
    assert ended.value.code == 2
    assert (
        "--processes: takes a whole number of at least 2 and at most 4,096, got '1'"
        in capsys.readouterr().err
    )
