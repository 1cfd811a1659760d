"""Death of a launcher: its processes stop too, even if it was killed and could not tell them.

The launcher itself imports this, so it imports little.
"""

import ctypes
import os
import signal
import sys

LAUNCHER_VARIABLE = "MMVISIONLLAMA_LAUNCHER"  # the number of the process of mmvisionllama/cli/torchrun.py
_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def stop_with_launcher() -> None:
    """Let the kernel send SIGTERM to this process when its launcher dies; other systems than Linux cannot.

    A training then stops as after any SIGTERM: it saves, if it has begun. Nothing happens in a process that
    mmvisionllama/cli/torchrun.py has not started itself.
    """
    launcher = os.environ.get(LAUNCHER_VARIABLE)
    if launcher is None or not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")
    if os.getppid() != int(launcher):  # it has died before this call
        os.kill(os.getpid(), signal.SIGTERM)
