"""Process groups of a run, on GPUs (NCCL) or CPUs (Gloo), under torchrun or SLURM.

mmengine's own launchers select a CUDA device whether there is one or not, and under SLURM always meet at port
29500; its Runner leaves a process group alone that exists already, so these functions make it first.
"""

import datetime
import os
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce_dict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from torch import distributed as dist

from mmvisionllama.errors import LaunchError

_DDP = "MMDistributedDataParallel"
TIMEOUT = 1800  # seconds; for NCCL torch's own default is 600
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def init_distributed(launcher: str, dist_cfg: Mapping[str, Any]) -> None:
    """Join the process group of this run; nothing happens with the launcher ``none``.

    Args:
        launcher: ``none``, ``pytorch`` (torchrun) or ``slurm`` (srun).
        dist_cfg: ``env_cfg.dist_cfg`` of the config: ``backend`` (on CPUs Gloo is used whatever it says) and
            ``timeout``, see ``timeout_of``.
    Raises: LaunchError: if the process was not started by that launcher, or the port is taken.
    """
    if launcher == "none":
        return
    if launcher == "slurm":
        os.environ.update(slurm_variables(os.environ))
    missing = [name for name in _VARIABLES if name not in os.environ]
    if missing:
        raise LaunchError(
            f"--launcher {launcher}: {', '.join(missing)} not set; `mmvisionllama train` (tools/train.sh)"
            " starts its processes itself, without this option"
        )
    timeout = datetime.timedelta(seconds=timeout_of(dist_cfg))
    if torch.cuda.is_available():
        # A task that SLURM confines to one GPU sees that one alone, whatever its local rank.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        backend = dist_cfg.get("backend", "nccl")
    else:
        backend = "gloo"
    if launcher == "slurm" and os.environ["RANK"] == "0":
        _require_free_port(int(os.environ["MASTER_PORT"]))
    dist.init_process_group(backend, timeout=timeout)


def timeout_of(dist_cfg: Mapping[str, Any]) -> float:
    """Return the seconds without progress after which a run ends: ``timeout`` of ``dist_cfg``, else 1800.

    Raises: LaunchError: if it is not a number above 0.
    """
    timeout = dist_cfg.get("timeout", TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise LaunchError(f"env_cfg.dist_cfg.timeout: expected a number of seconds above 0, got {timeout!r}")
    return timeout


def leave_distributed() -> None:
    """Leave the process group at the end of a run, together with all its other processes.

    A process that exits while its peers still talk may be aborted, so all wait for the last one.
    """
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def fit_to_cpu(cfg: dict[str, Any]) -> list[str]:
    """Change a config in place so that several processes can train its model without GPUs.

    The model is wrapped without device ids, and SyncBN, which has no CPU kernel, becomes BN, whose weights
    have the same names.

    Returns: One line about the SyncBN that it replaced, none if there was none.
    """
    wrapper = cfg.get("model_wrapper_cfg") or {}
    if wrapper.get("type", _DDP) == _DDP:
        cfg["model_wrapper_cfg"] = {
            "type": _DDP,
            "broadcast_buffers": False,
            "find_unused_parameters": cfg.get("find_unused_parameters", False),
            **wrapper,
            "device_ids": None,
        }
    found = list(_sync_bn(cfg["model"]))
    for norm_cfg in found:
        norm_cfg["type"] = "BN"
    if not found:
        return []
    return ["SyncBN needs GPUs, so BN stands in: every process normalises by the statistics of its own batch"]


class MeanLossHook(Hook):
    """Average what a training step reports over the processes: the log shows the loss of the global batch."""

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        outputs = {} if outputs is None else outputs
        means = {key: x.detach().float() for key, x in outputs.items() if isinstance(x, Tensor)}
        if means:
            all_reduce_dict(means, op="mean")
            outputs.update(means)


def rank_of(environ: Mapping[str, str]) -> int:
    """Return the rank that the launcher gave this process, 0 without one."""
    return int(environ.get("RANK", environ.get("SLURM_PROCID", "0")))


def launched_as_main_process(launcher: str) -> bool:
    """Whether this process does what one of a run does, before they have joined."""
    return launcher == "none" or rank_of(os.environ) == 0


def processes_of(environ: Mapping[str, str]) -> int:
    """Return the number of processes that the launcher starts, 1 without one."""
    return int(environ.get("WORLD_SIZE", environ.get("SLURM_NTASKS", "1")))


def processes_of_machine(environ: Mapping[str, str]) -> int:
    """Return the number of processes that the launcher starts on this machine, 1 without one."""
    per_node = environ.get("SLURM_NTASKS_PER_NODE", "1")
    return int(environ.get("LOCAL_WORLD_SIZE", per_node))


def is_first_of_machine(environ: Mapping[str, str]) -> bool:
    """Whether this process speaks for its machine: a file that is missing there, say, is so for all."""
    return environ.get("LOCAL_RANK", environ.get("SLURM_LOCALID", "0")) == "0"


def slurm_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of ``torch.distributed`` for a task that ``srun`` started.

    MASTER_ADDR and MASTER_PORT are kept where they are set. Otherwise tasks meet on the first node of the
    list, at a port that follows from job and step, so that two jobs on a node do not collide.

    Raises: LaunchError: if ``srun`` did not start this process.
    """
    missing = [
        x for x in ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_JOB_ID") if x not in environ
    ]
    if missing:
        raise LaunchError(
            f"--launcher slurm: {', '.join(missing)} not set, so srun did not start this process; use "
            "tools/slurm_train.sh or tools/slurm_test.sh, also inside an allocation"
        )
    return {
        "RANK": environ["SLURM_PROCID"],
        "WORLD_SIZE": environ["SLURM_NTASKS"],
        "LOCAL_RANK": environ["SLURM_LOCALID"],
        "MASTER_ADDR": environ.get("MASTER_ADDR") or _first_node(environ),
        "MASTER_PORT": environ.get("MASTER_PORT")
        or str(port_of(int(environ["SLURM_JOB_ID"]), int(environ.get("SLURM_STEP_ID", "0")))),
    }


def port_of(job: int, step: int) -> int:
    """Return a port for a step of a SLURM job, 10000 to 29999: below those that Linux hands out by itself."""
    return 10000 + (job * 16 + step) % 20000


def _first_node(environ: Mapping[str, str]) -> str:
    if environ.get("SLURM_STEP_NUM_NODES", environ.get("SLURM_NNODES")) == "1":
        return "127.0.0.1"
    nodes = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST", "")
    # "gpu[003-008,12]-ib,login1" means gpu003-ib first.
    first = re.match(r"([^\[,]+)(?:\[(\d+)[^\]]*\]([^,\[]*))?", nodes)
    if first is None:
        raise LaunchError(f"no first node in SLURM_JOB_NODELIST={nodes!r}; set MASTER_ADDR")
    return "".join(part or "" for part in first.groups())


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise LaunchError(f"port {port} is taken on {socket.gethostname()}; set MASTER_PORT") from error


def _sync_bn(node: Any) -> Iterator[dict[str, Any]]:
    """Find every ``dict(type='SyncBN')`` in a nest of dicts and lists."""
    if isinstance(node, dict) and node.get("type") == "SyncBN":
        yield node
    if isinstance(node, (dict, list, tuple)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _sync_bn(child)
