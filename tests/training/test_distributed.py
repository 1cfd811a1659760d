import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmvisionllama.errors import LaunchError
from mmvisionllama.training.distributed import fit_to_cpu, init_distributed, port_of, rank_of, slurm_variables
from mmvisionllama.training.precision import BFloat16OptimWrapper, mixed_precision_wrapper
from tests.fault_tolerance.resume_cases import training
from tests.processes import in_processes

TASK = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "77"}


def test_a_slurm_task_knows_its_place() -> None:
    found = slurm_variables({**TASK, "SLURM_JOB_NODELIST": "a1,a2"})
    assert (found["RANK"], found["WORLD_SIZE"], found["LOCAL_RANK"]) == ("3", "4", "1")


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"SLURM_JOB_NODELIST": "login,gpu7"}, "login"),
        ({"SLURM_JOB_NODELIST": "gpu[003-008,12],login"}, "gpu003"),
        ({"SLURM_JOB_NODELIST": "gpu[3,5]-ib.site"}, "gpu3-ib.site"),
        ({"SLURM_JOB_NODELIST": "gpu[1-4]", "SLURM_STEP_NODELIST": "gpu[2-3]"}, "gpu2"),
        ({"SLURM_JOB_NODELIST": "gpu1", "SLURM_NNODES": "1"}, "127.0.0.1"),
        ({"SLURM_JOB_NODELIST": "gpu[1-2]", "SLURM_NNODES": "2", "SLURM_STEP_NUM_NODES": "1"}, "127.0.0.1"),
        ({"SLURM_JOB_NODELIST": "gpu1", "MASTER_ADDR": "10.0.0.1"}, "10.0.0.1"),
    ],
)
def test_slurm_tasks_meet_on_the_first_node(variables: dict[str, str], address: str) -> None:
    assert slurm_variables({**TASK, **variables})["MASTER_ADDR"] == address


def test_a_given_port_is_kept_under_slurm() -> None:
    found = slurm_variables({**TASK, "SLURM_JOB_NODELIST": "a", "MASTER_PORT": "1234"})
    assert found["MASTER_PORT"] == "1234"


def test_neighbouring_jobs_and_steps_meet_at_different_ports() -> None:
    ports = {port_of(job, step) for job in range(1000, 2000) for step in range(16)}
    assert len(ports) == 16000
    assert min(ports) >= 10000
    assert max(ports) < 30000


def test_a_process_that_srun_did_not_start_is_told_to_use_the_script() -> None:
    with pytest.raises(LaunchError, match=r"SLURM_PROCID.*tools/slurm_train\.sh"):
        slurm_variables({"SLURM_JOB_ID": "77", "SLURM_NTASKS": "4"})


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for name, value in {**TASK, "SLURM_PROCID": "0", "MASTER_ADDR": "a", "MASTER_PORT": port}.items():
            monkeypatch.setenv(name, value)
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            monkeypatch.setenv(name, "")  # set by the call, so that the end of the test restores them
        with pytest.raises(LaunchError, match=f"port {port} is taken"):
            init_distributed("slurm", {})


@pytest.mark.parametrize(("variables", "rank"), [({}, 0), ({"RANK": "2"}, 2), ({"SLURM_PROCID": "5"}, 5)])
def test_the_rank_is_known_before_the_processes_join(variables: dict[str, str], rank: int) -> None:
    assert rank_of(variables) == rank


def test_on_the_cpu_the_model_is_wrapped_without_devices() -> None:
    cfg: dict[str, Any] = {"model": {}, "find_unused_parameters": True}
    assert fit_to_cpu(cfg) == []
    assert cfg["model_wrapper_cfg"] == {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        "find_unused_parameters": True,
        "device_ids": None,
    }


def test_on_the_cpu_bn_stands_in_for_every_sync_bn_and_the_log_says_so() -> None:
    norm = {"type": "SyncBN", "requires_grad": True}
    cfg: dict[str, Any] = {"model": {"head": {"norm_cfg": dict(norm)}, "necks": [dict(norm)]}}
    (note,) = fit_to_cpu(cfg)
    assert "SyncBN needs GPUs" in note
    expected = {"type": "BN", "requires_grad": True}
    assert cfg["model"] == {"head": {"norm_cfg": expected}, "necks": [expected]}


def test_mixed_precision_computes_in_bfloat16_and_updates_float32_weights() -> None:
    layer = nn.Linear(4, 2)
    before = layer.weight.detach().clone()
    wrapper = BFloat16OptimWrapper(optimizer=torch.optim.SGD(layer.parameters(), lr=1.0))
    with wrapper.optim_context(layer):
        output = layer(torch.ones(3, 4))
    wrapper.update_params(output.float().sum())
    assert output.dtype == torch.bfloat16
    assert layer.weight.dtype == torch.float32
    assert not torch.equal(layer.weight, before)
    assert isinstance(wrapper, OptimWrapper)


def test_mixed_precision_keeps_the_other_options_of_the_wrapper() -> None:
    given = {"type": "AmpOptimWrapper", "loss_scale": 512.0, "clip_grad": {"max_norm": 1}, "optimizer": {}}
    name = "mmvisionllama.BFloat16OptimWrapper"
    expected = {"type": name, "clip_grad": {"max_norm": 1}, "optimizer": {}}
    assert mixed_precision_wrapper(given) == expected


def validated(rank: int, folder: Path) -> tuple[float, list[str]]:
    """Train in a current directory that the other process does not have."""
    here = folder / f"machine{rank}"
    here.mkdir()
    os.chdir(here)
    runner = training(folder / "run", launcher="pytorch", batch_size=2)
    runner.train()
    last = runner.message_hub.get_info("past_validations")[-1]["metrics"]["error"]
    return last, [x.name for x in here.iterdir()]


def test_machines_need_no_folder_in_common_but_the_work_directory(tmp_path: Path) -> None:
    (first, left), (second, right) = in_processes(2, validated, tmp_path)
    assert first == second
    assert left == right == []
