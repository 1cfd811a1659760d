"""Threads of a process: how many compute, and how long they spin while they wait for each other."""

import os
from collections.abc import MutableMapping

# libgomp's turns of a thread that waits before it sleeps. By default it spins as long as it pleases, and on a
# machine with other work keeps those from a core that it waits for. docs/speed.md has the measurement.
_SPINS = "5000"


def share_cores(processes: int) -> dict[str, str]:
    """Return how many threads each process starts, which would otherwise be one for every core."""
    each = os.environ.get("OMP_NUM_THREADS") or str(max(len(os.sched_getaffinity(0)) // processes, 1))
    return {"OMP_NUM_THREADS": each, "MKL_NUM_THREADS": os.environ.get("MKL_NUM_THREADS") or each}


def limit_spinning(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let threads that wait give up their core soon, unless the user said how they wait.

    It has an effect until torch is imported, and for processes that are started later.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(environ):
        environ["GOMP_SPINCOUNT"] = _SPINS
