"""Start-up of data-loading processes, and deferred SIGCHLD."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from mmengine.dataset import worker_init_fn
from mmengine.dist import get_rank
from mmengine.registry import FUNCTIONS

from mmvisionllama.data_readers import make_hosts_read_data_safely
from mmvisionllama.fault_tolerance.watchdog import show_stack_on_request


def init_worker(worker_id: int, then: Callable[[int], None]) -> None:
    """Begin the work of a worker that ends on SIGTERM of its own parent alone, then call ``then``.

    SLURM and terminals may signal the workers of a task like the task itself; without them it could not reach
    the end of its step.
    """
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Blocked here, before any other thread exists, it waits for the one that can tell who sent it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    show_stack_on_request()
    make_hosts_read_data_safely()  # a worker that was not forked has imported the hosts anew
    then(worker_id)


def worker_init_config(dataloader: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the ``worker_init_fn`` for the config of a dataloader, around its own or mmengine's."""
    given = dict(dataloader.get("worker_init_fn") or {})
    kind = given.pop("type", None)
    if kind is None:
        kind = worker_init_fn
        given = {"num_workers": dataloader.get("num_workers", 0), "rank": get_rank(), "seed": seed}
        given["disable_subprocess_warning"] = dataloader.get("disable_subprocess_warning", False)
    then = partial(FUNCTIONS.get(kind) if isinstance(kind, str) else kind, **given)
    return {"type": init_worker, "then": then}


@contextmanager
def deferred_sigchld() -> Iterator[None]:
    """Let torch hear after this block that a loading process has died: it raises wherever it hears of it."""
    handler = signal.getsignal(signal.SIGCHLD)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    deaths: list[int] = []
    signal.signal(signal.SIGCHLD, lambda number, frame: deaths.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)
        if deaths:
            os.kill(os.getpid(), signal.SIGCHLD)


def _end_with_parent() -> None:
    parent = os.getppid()
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
