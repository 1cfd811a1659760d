"""The cluster, for all tests that need one."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing

REQUIRED = "MMVISIONLLAMA_REQUIRE_SLURM"  # set where a missing SLURM is a failure, as .ci/run does


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster; the tests are skipped on a machine without SLURM, unless one is required."""
    lacking = missing()
    if lacking:
        message = f"{', '.join(lacking)} missing, which Debian has in slurm-wlm and munge"
        if os.environ.get(REQUIRED):
            pytest.fail(message)
        pytest.skip(message)
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # a short path, for the sockets
    folder.chmod(0o755)  # munge refuses to talk where not everyone can
    cluster = Cluster(folder)
    try:
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    except BaseException:
        sys.stderr.write(cluster.logs())
        raise
    shutil.rmtree(folder)
