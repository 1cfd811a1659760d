"""A chain of the tiny profile on a real SLURM: jobs that wait for one another."""

import re
import sys

import pytest

from tests.slurm.cluster import Cluster, wait_until
from tests.tools.commands import REPOSITORY

pytestmark = pytest.mark.slow
SETTINGS = dict(PYTHON=sys.executable, MASTER_ADDR="127.0.0.1", GRACE=20, OMP_NUM_THREADS=1)
LINKS = ("train visionllama_small_in1k", "test visionllama_small_in1k")


def reproduce(cluster: Cluster, *arguments: str) -> str:
    command = [REPOSITORY / "tools" / "reproduce.sh", "table2", "--profile", "tiny", "--out", "reproduced"]
    return cluster.run(*command, *arguments, **SETTINGS)


def test_a_chain_becomes_dependent_jobs_that_finish_it(cluster: Cluster) -> None:
    chain = ["--row", "visionllama_small", "--slurm", "gpus=0", "cpus_per_task=1", "time=20"]
    printed = reproduce(cluster, *chain)
    jobs = re.findall(r": job (\d+)", printed)
    assert len(jobs) == len(LINKS)
    for link, job, before in zip(LINKS[1:], jobs[1:], jobs, strict=False):
        assert f"{link}: job {job}, after {before}" in printed
    again = reproduce(cluster, *chain)  # while they are queued, or some are finished
    assert again.count("submitted before") + again.count("finished before") == len(LINKS)
    wait_until(lambda: cluster.has_ended(jobs[-1]), "the end of the chain", 480)
    assert [cluster.fact(job, "JobState") for job in jobs] == ["COMPLETED"] * len(LINKS)
    assert reproduce(cluster, *chain).count("finished before") == len(LINKS)
    reproduce(cluster, "--report")
    report = (cluster.folder / "reproduced" / "report.md").read_text()
    assert re.search(r"\| VisionLLaMA-S \| top-1 \| [\d.]+ \| [\d.]+ \| -[\d.]+ \| 1 \(0\) \|", report)
