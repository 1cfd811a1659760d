"""torchrun whose processes hear of every signal once and take their time, and that ends as they did."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from mmvisionllama.errors import ExitStatus
from mmvisionllama.fault_tolerance.launcher_death import LAUNCHER_VARIABLE

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
_EXPLAINED = {*ExitStatus} - {ExitStatus.FINISHED, ExitStatus.FAILED}


def run(options: Sequence[str]) -> int:
    """Start processes and return their exit status; those that our commands explain have no traceback."""
    heard = [x for x in _SIGNALS if x != signal.SIGHUP or signal.getsignal(x) != signal.SIG_IGN]  # nohup

    def listen(event: str, arguments: tuple) -> None:
        # From the first process on: before there is one to tell, a signal ends torchrun, also while it waits
        # for other machines in C code, where no handler would run.
        if event == "subprocess.Popen" and threading.current_thread() is threading.main_thread():
            for number in heard:
                signal.signal(number, _pass_on)

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.addaudithook(listen)
    os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
    try:
        main(["--signals-to-handle", "SIGQUIT", *options])
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        if failure.exitcode not in _EXPLAINED:
            raise
        return failure.exitcode
    return ExitStatus.FINISHED


def _pass_on(number: int, frame: FrameType | None) -> None:
    """Send a signal to the processes of this machine; torchrun itself would kill them half a minute later."""
    tasks = Path("/proc/self/task").glob("*/children")
    for child in {int(x) for task in tasks for x in task.read_text().split()}:
        os.kill(child, number)
