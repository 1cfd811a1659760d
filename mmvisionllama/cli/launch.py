"""Start a command in as many processes as the variables GPUS, NPROC and NNODES say: one, or torchrun's."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmvisionllama.cli.threads import limit_spinning, share_cores
from mmvisionllama.errors import ExitStatus, LaunchError

VARIABLES = """Variables:
  GPUS         GPUs of this machine (all visible ones; 0 means the CPU)
  NPROC        processes on a CPU (1)
  NNODES       machines (1); then also NODE_RANK, MASTER_ADDR and MASTER_PORT (29500), and this
               command once on every machine"""


@dataclass(frozen=True)
class Processes:
    """The processes that a command gets.

    Attributes:
        count: On this machine.
        on_gpus: Whether each has a GPU.
        meeting: How those of all machines find each other, as options of torchrun.
    """

    count: int
    on_gpus: bool
    meeting: tuple[str, ...] = ("--standalone",)  # takes a free port

    @property
    def alone(self) -> bool:
        """Whether there is one process in all."""
        return self.count == 1 and self.meeting == ("--standalone",)


def processes_by(environ: Mapping[str, str], visible_gpus: Callable[[], int]) -> Processes:
    """Read the variables.

    Args:
        visible_gpus: Counts the GPUs of this machine; asked only where that matters.

    Raises: LaunchError: if a variable has a value that cannot be followed.
    """
    nodes = _count(environ, "NNODES", 1, default=1)
    gpus = _count(environ, "GPUS", 0)
    on_cpus = _count(environ, "NPROC", 1)
    if gpus != 0:
        visible = visible_gpus()
        if (gpus or 0) > visible:
            raise LaunchError(
                f"GPUS={gpus}, but {visible} are visible; for several processes on CPUs set NPROC"
            )
        gpus = visible if gpus is None else gpus
    if gpus and on_cpus is not None:
        raise LaunchError(
            f"NPROC={on_cpus} counts processes on CPUs: choose GPUs by GPUS=n, or CPUs by GPUS=0"
        )
    count = gpus or on_cpus or 1
    return Processes(count, gpus > 0, *([_meeting(environ, nodes)] if nodes > 1 else []))


def _meeting(environ: Mapping[str, str], nodes: int) -> tuple[str, ...]:
    rank, address = _count(environ, "NODE_RANK", 0), environ.get("MASTER_ADDR")
    if rank is None:
        raise LaunchError(f"NNODES={nodes} needs NODE_RANK, 0 to {nodes - 1} on the respective machine")
    if rank >= nodes:
        raise LaunchError(f"NODE_RANK={rank} must be below NNODES={nodes}")
    if not address:
        raise LaunchError(f"NNODES={nodes} needs MASTER_ADDR, the address of the machine with NODE_RANK=0")
    port = environ.get("MASTER_PORT") or "29500"
    where = ("--master-addr", address, "--master-port", port)
    return ("--nnodes", str(nodes), "--node-rank", str(rank), *where)


def _count(environ: Mapping[str, str], name: str, least: int, default: int | None = None) -> int | None:
    text = environ.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < least:
        raise LaunchError(f"{name}={text:.40} must be a whole number of at least {least}")
    return int(text)


def launch(
    name: str,
    arguments: Sequence[str],
    parser: argparse.ArgumentParser,
    main: Callable[[Sequence[str]], int],
) -> int:
    """Run a command in its processes, and return its exit status.

    Args:
        name: Of the command, as this program takes it.
        arguments: Those of the command, without ``--launcher``.
        parser: Of the command.
        main: Does its work in this process.
    """
    if {"-h", "--help"}.intersection(arguments):
        parser.print_help()
        print(f"\n{VARIABLES}")
        return ExitStatus.FINISHED
    limit_spinning()
    try:
        processes = processes_by(os.environ, _visible_gpus)
    except LaunchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    if not processes.on_gpus:  # before anything asks what there is
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    args = parser.parse_args(arguments)  # a mistake is said once, by this process
    if processes.alone or getattr(args, "gpus", None):  # --gpus plans for others, and tries one
        return main([*arguments, "--launcher", "none"])
    from mmvisionllama.cli import torchrun

    os.environ.update(share_cores(processes.count))
    # After -- torchrun takes no option of the command, such as --num, for a short form of its own.
    options = [*processes.meeting, "--nproc-per-node", str(processes.count), *_program(), name, *arguments]
    return torchrun.run([*options, "--launcher", "pytorch"])


def _visible_gpus() -> int:
    try:
        import torch
    except ImportError as error:
        fix = f"{sys.executable} -m mmvisionllama doctor"
        raise LaunchError(f"torch cannot be imported ({error}); {fix} says how to mend that") from error
    return torch.cuda.device_count()


def _program() -> list[str]:
    """Return what torchrun starts: what this process is, the package or a script."""
    if getattr(sys.modules["__main__"], "__spec__", None) is not None:
        return ["--module", "--", "mmvisionllama"]
    return ["--", str(Path(sys.argv[0]).absolute())]
