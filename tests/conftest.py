import gc
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scheduling import PROCESS_GROUPS, place_of

# One thread: sums come out the same on every machine, and processes that tests start do not fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Else torch.compile starts a process for each core, which imports torch to compile a few kernels.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# What a shell starts in the background is deaf to Ctrl-C, and what nohup starts to the end of its terminal;
# the processes of tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Imports and ten thousand tests are kept: looking for garbage among them takes seconds in each test process.
gc.disable()

import mmvisionllama  # noqa: E402, F401  before the hosts, as the documents ask of a script


def pytest_collection_finish() -> None:
    """Collect garbage as usual from here on."""
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: place_of(item.nodeid))


@pytest.fixture(scope="module", autouse=True)
def _imports_kept_from_collection() -> None:
    """Keep what was imported before from the garbage collector: each data set of mmengine calls it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _written_plainly(request: pytest.FixtureRequest) -> Iterator[None]:
    """Spend no time on the looks of files but in tests of them; processes that tests fork inherit this."""
    from tests.quick import is_about_looks, write_plainly

    with pytest.MonkeyPatch.context() as patch:
        if not is_about_looks(request.node.nodeid):
            write_plainly(patch)
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file, or of one of ``PROCESS_GROUPS``, in one process, and their order."""
    from xdist.scheduler import LoadFileScheduling

    class FilesInOrder(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((group for group in PROCESS_GROUPS if file.startswith(group)), file)

    config.option.loadscopereorder = False
    return FilesInOrder(config, log) if config.option.dist == "loadfile" else None


@pytest.fixture(autouse=True)
def _scope_of_its_own() -> Iterator[None]:
    """Let no test build in the scope that an earlier one chose."""
    from mmengine.registry import DefaultScope  # imports torch, which reads the number of threads

    # Its own context manager waits a moment, for names by time: half a minute in ten thousand tests.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefaultScope, "_instance_dict", {})
        DefaultScope.get_instance("test", scope_name="mmengine")
        yield


@pytest.fixture(scope="module")
def warm() -> Iterator[dict[str, str]]:
    """Environment variables by which scripts of ``tools`` start forks of this process."""
    from tests.tools.warm_start import warm_interpreter

    with warm_interpreter() as variables:
        yield variables
