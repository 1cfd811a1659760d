"""torchrun whose processes hear of every signal once and take their time, and that ends as they did.

Statuses that our commands explain themselves (2: an error of the user, 65: NaN, 69: stalled, 75: stopped, to
be resumed) come without a traceback of torchrun.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_EXPLAINED = (2, 65, 69, 75)


def pass_on(number: int, frame: FrameType | None) -> None:
    """Send a signal to the processes of this machine; torchrun itself would kill them half a minute later."""
    tasks = Path("/proc/self/task").glob("*/children")
    for child in {int(x) for task in tasks for x in task.read_text().split()}:
        os.kill(child, number)


for number in _SIGNALS:
    signal.signal(number, pass_on)
sys.argv[1:1] = ["--signals-to-handle", "SIGHUP,SIGQUIT"]
try:
    main()
except ChildFailedError as error:
    _, failure = error.get_first_failure()
    if failure.exitcode not in _EXPLAINED:
        raise
    sys.exit(failure.exitcode)
