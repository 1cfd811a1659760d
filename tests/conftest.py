import os
from collections.abc import Iterator

import pytest

# One thread: sums come out the same on every machine, and processes that tests start do not fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from mmvisionllama import compat

compat.prepare()


@pytest.fixture(autouse=True)
def _scope_of_its_own() -> Iterator[None]:
    """Let no test build in the scope that an earlier one chose."""
    from mmengine.registry import DefaultScope  # after compat.prepare()

    with DefaultScope.overwrite_default_scope("mmengine"):
        yield
