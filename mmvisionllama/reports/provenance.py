"""Provenance of a training: the command, the commit of the code, the hardware."""

import shlex
import sys
from pathlib import Path

import torch

from mmvisionllama.config.config_files import commit


def provenance(world_size: int) -> dict[str, str | None]:
    """Return what made a training, for its summary.

    Returns: ``command``, the arguments of this process; ``commit``, None where a wheel was installed; and
        ``hardware``.
    """
    program, *arguments = sys.argv
    name = Path(program).name
    name = "mmvisionllama" if name == "__main__.py" else name  # python -m mmvisionllama
    return {
        "command": shlex.join([name, *arguments]),
        "commit": commit(),
        "hardware": hardware(world_size),
    }


def hardware(world_size: int) -> str:
    """Name the devices of a run: the GPUs, or the CPU with its threads."""
    if torch.cuda.is_available():
        return f"{world_size} x {torch.cuda.get_device_name()}"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"
