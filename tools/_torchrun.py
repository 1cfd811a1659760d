"""torchrun, but without a traceback of its own after a process said what is wrong and ended by status 2."""

import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

try:
    main()
except ChildFailedError as error:
    _, failure = error.get_first_failure()
    if failure.exitcode != 2:
        raise
    sys.exit(2)
