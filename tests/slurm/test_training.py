"""Trainings on a real SLURM, all at the same time, each with another fate."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mmvisionllama.checkpoint import read_checkpoint
from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.events import GO, waiting_file
from tests.tools.commands import REPOSITORY, log_text, run

pytestmark = pytest.mark.slow
CONFIG = REPOSITORY / "tests" / "slurm" / "toy_config.py"
HALF = "train_dataloader.batch_size=2"  # of the global batch, for each of two tasks
SHARDED = ["type=mmvisionllama.ShardedDataParallel", "units=[ToyBackbone]"]  # of model_wrapper_cfg
PATIENCE = 480.0  # seconds
Story = Callable[[Cluster], Any]  # returns jobs that have ended
Stories = dict[str, Future]
Alone = Callable[..., dict[str, Any]]
STORIES: list[Story] = []
SETTINGS = dict(GPUS=0, CPUS_PER_TASK=1, TIME=20, GRACE=20, MASTER_ADDR="127.0.0.1", OMP_NUM_THREADS=1)


@dataclass
class Job:
    """A job that ``tools/slurm_train.sh`` has submitted, and what it came to."""

    cluster: Cluster
    id: str
    work_dir: Path
    output: Path
    tasks: int = 1
    state: str = ""
    restarts: int = -1

    def task(self, number: int) -> "Job":
        """Return a task of an array."""
        output = str(self.output).replace("%A", self.id).replace("%a", str(number))
        return replace(
            self, id=f"{self.id}_{number}", work_dir=self.work_dir / str(number), output=Path(output)
        )

    def wait_for_event(self, start: int) -> None:
        """Wait until all tasks of a start, counted from 0, wait at their event."""
        files = [waiting_file(self.work_dir, start, rank) for rank in range(self.tasks)]
        self._wait_until(lambda: all(x.exists() for x in files), f"event of start {start + 1}")

    def wait_for_restart(self, count: int) -> None:
        self._wait_until(lambda: self.cluster.restarts(self.id) == count, f"restart {count}")

    def near_its_end(self) -> None:
        """Let the time limit be a minute away, for which SLURM looks every half minute."""
        self.cluster.run("scontrol", "update", f"JobId={self.id}", "EndTime=now+60")

    def ended(self) -> "Job":
        wait_until(lambda: self.cluster.has_ended(self.id), f"the end of job {self.id}", PATIENCE)
        self.state = self.cluster.fact(self.id, "JobState")
        self.restarts = self.cluster.restarts(self.id)
        return self

    def _wait_until(self, condition: Callable[[], bool], what: str) -> None:
        def reached() -> bool:
            if not condition():
                assert not self.cluster.has_ended(self.id), f"no {what} of job {self.id}:\n{self.log}"
                return False
            return True

        wait_until(reached, f"{what} of job {self.id}", PATIENCE)

    @property
    def log(self) -> str:
        return self.output.read_text()


def submit(
    cluster: Cluster,
    name: str,
    events: str = "",
    *options: str,
    nodes: int = 1,
    changes: Sequence[str] = (),
    **variables: object,
) -> Job:
    work_dir = cluster.folder / name
    changes = [f"custom_hooks.1.events=[{events}]", *([HALF] if nodes == 2 else []), *changes]
    text = cluster.run(
        REPOSITORY / "tools" / "slurm_train.sh",
        CONFIG,
        *("--work-dir", work_dir, *options, "--cfg-options", *changes),
        **SETTINGS | dict(NODES=nodes, PYTHON=sys.executable, JOB_NAME=name) | variables,
    )
    found = re.search(r"Submitted job (\d+), which trains in (\S+); its output: (\S+)", text)
    return Job(cluster, found[1], work_dir, cluster.folder / found[3], tasks=nodes)


def story(function: Story) -> Story:
    STORIES.append(function)
    return function


@story
def undisturbed(cluster: Cluster) -> Job:
    return submit(cluster, "undisturbed", nodes=2).ended()


@story
def limited_in_training(cluster: Cluster) -> Job:
    job = submit(cluster, "limited_in_training", "train-2,train-5", nodes=2)
    job.wait_for_event(0)
    job.near_its_end()
    job.wait_for_restart(1)
    cluster.run("scontrol", "update", f"JobId={job.id}", "TimeLimit=20")
    job.wait_for_event(1)
    cluster.run("scancel", "--signal=TERM", job.id)
    job.wait_for_restart(2)
    return job.ended()


@story
def limited_in_validation(cluster: Cluster) -> Job:
    job = submit(cluster, "limited_in_validation", "val-4,train-5")
    job.wait_for_event(0)
    job.near_its_end()
    job.wait_for_restart(1)
    cluster.run("scontrol", "update", f"JobId={job.id}", "TimeLimit=20")
    job.wait_for_event(1)
    cluster.run("scontrol", "requeue", job.id)
    job.wait_for_restart(2)
    return job.ended()


@story
def failing(cluster: Cluster) -> Job:
    return submit(cluster, "failing", "bug-3", nodes=2, SRUN_ARGS="--wait=5").ended()


@story
def cancelled(cluster: Cluster) -> Job:
    job = submit(cluster, "cancelled", "train-3")
    job.wait_for_event(0)
    cluster.run("scancel", job.id)
    return job.ended()


@story
def hanging(cluster: Cluster) -> Job:
    job = submit(cluster, "hanging", "none,deaf-4,train-5", GRACE=2, MAX_REQUEUES=2)
    wait_until(lambda: job.output.exists() and "training in" in job.log, "the first start", 60)
    cluster.run("scancel", "--batch", "--signal=USR1", job.id)
    job.wait_for_restart(1)
    job.wait_for_event(1)
    cluster.run("scancel", "--batch", "--signal=TERM", job.id)
    job.wait_for_restart(2)
    job.wait_for_event(2)
    cluster.run("scancel", "--signal=TERM", job.id)
    return job.ended()


@story
def array(cluster: Cluster) -> list[Job]:
    """Two array tasks with a core each on a node, until a more urgent job needs one of them."""
    whole = submit(cluster, "array", "train-2", "--seed", "%a", ARRAY="4-5", PARTITION="spare")
    tasks = [whole.task(4), whole.task(5)]
    for task in tasks:
        task.wait_for_event(0)
    cluster.run("srun", "--partition=urgent", "true")
    for task in tasks:
        (task.work_dir / GO).touch()
    return [task.ended() for task in tasks]


@story
def sharded(cluster: Cluster) -> Job:
    """Two tasks that share the model, in a work directory that is a link."""
    (cluster.folder / "scratch").mkdir()
    (cluster.folder / "sharded").symlink_to("scratch")
    job = submit(
        cluster,
        "sharded",
        "train-3",
        nodes=2,
        changes=[f"model_wrapper_cfg.{x}" for x in SHARDED],
    )
    job.wait_for_event(0)
    cluster.run("scancel", "--signal=TERM", job.id)
    job.wait_for_restart(1)
    return job.ended()


@story
def after_another(cluster: Cluster) -> Job:
    """A job where another one has trained, on a machine whose clock was ahead, with checkpoints elsewhere."""
    changes = [f"default_hooks.checkpoint.out_dir={cluster.folder / 'saved'}"]
    other = submit(cluster, "after_another", changes=changes).ended()
    assert other.state == "COMPLETED", other.log
    for file in (cluster.folder / "saved" / "after_another").glob("*.json"):
        facts = json.loads(file.read_text())
        file.write_text(json.dumps({**facts, "saved_ns": facts["saved_ns"] + 10**15}))
    options = ("--seed", "4", "--overwrite")
    job = submit(cluster, "after_another", "deaf-1,train-3", *options, changes=changes, GRACE=2)
    job.wait_for_event(0)
    cluster.run("scancel", "--batch", "--signal=TERM", job.id)
    job.wait_for_restart(1)
    job.wait_for_event(1)
    cluster.run("scancel", "--signal=TERM", job.id)
    job.wait_for_restart(2)
    return job.ended()


@pytest.fixture(scope="module")
def stories(cluster: Cluster) -> Iterator[Stories]:
    """All stories, begun at once, by name."""
    with ThreadPoolExecutor(len(STORIES)) as pool:
        yield {function.__name__: pool.submit(function, cluster) for function in STORIES}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    """Train in this process, and return the last checkpoint."""

    def train(*options: str) -> dict[str, Any]:
        work_dir = tmp_path_factory.mktemp("alone")
        assert run("train", CONFIG, "--work-dir", work_dir, *options) == 0
        return trained(work_dir)

    return train


def trained(work_dir: Path, name: str = "iter_8.pth") -> dict[str, Any]:
    content = read_checkpoint(work_dir / name)
    return {key: content[key] for key in ("state_dict", "optimizer")}


def assert_same(one: dict[str, Any], other: dict[str, Any], **tolerance: float) -> None:
    """Compare weights and the state of the optimizer, bit for bit unless told otherwise."""
    torch.testing.assert_close(one, other, **(tolerance or dict(rtol=0, atol=0)))


def test_two_tasks_on_two_nodes_train_like_one_process(stories: Stories, alone: Alone) -> None:
    job = stories["undisturbed"].result()
    assert (job.state, job.restarts) == ("COMPLETED", 0), job.log
    assert "global batch 4 = 2 processes x 2" in job.log
    assert "on node[1-2]" in job.log
    assert job.output == job.cluster.folder / "work_dirs" / "slurm" / f"undisturbed-{job.id}.out"
    assert_same(trained(job.work_dir), alone(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["limited_in_training", "limited_in_validation"])
def test_a_job_that_is_stopped_twice_ends_like_one_that_is_not(
    stories: Stories, alone: Alone, name: str
) -> None:
    job = stories[name].result()
    assert (job.state, job.restarts) == ("COMPLETED", 2), job.log
    expected = alone() if job.tasks == 1 else trained(stories["undisturbed"].result().work_dir)
    assert_same(trained(job.work_dir), expected)


def test_a_time_limit_in_training_saves_at_the_step_and_requeues(stories: Stories) -> None:
    log = stories["limited_in_training"].result().log
    assert "start 1 of at most 31: SIGUSR1: the tasks have 20 s to save and to end" in log
    assert "Stopped by SIGUSR1 after step 4 of 8" in log
    assert "start 1 of at most 31: stopped, and everything is saved" in log
    assert re.search(r"start 2 of at most 31: going on from .*/limited_in_training/iter_4\.pth\n", log)
    assert re.search(r"Load checkpoint from .*/limited_in_training/iter_4\.pth", log)
    assert "Resumed at step 4 of 8" in log


def test_scancel_with_a_signal_saves_at_the_step_and_requeues(stories: Stories) -> None:
    log = stories["limited_in_training"].result().log
    assert "Stopped by SIGTERM after step 7 of 8" in log
    assert "start 2 of at most 31: requeueing" in log
    assert "Resumed at step 7 of 8" in log
    assert "start 3 of at most 31: finished" in log


def test_a_time_limit_in_validation_saves_before_it_and_requeues(stories: Stories) -> None:
    log = stories["limited_in_validation"].result().log
    assert "Stopped by SIGUSR1 after step 4 of 8" in log
    assert "Resumed at step 4 of 8" in log
    assert len(re.findall(r"validation batch 0 of 16\b", log)) == 3  # the one that was left, again, the last
    assert len(re.findall(r"Validation after step \d: error ", log)) == 2


def test_an_operator_who_requeues_a_job_is_not_interfered_with(stories: Stories) -> None:
    log = stories["limited_in_validation"].result().log
    assert "start 2 of at most 31: not requeued from here, since SLURM is ending it (COMPLETING)" in log
    assert "Resumed at step 6 of 8" in log


def test_a_failing_job_is_not_requeued(stories: Stories) -> None:
    job = stories["failing"].result()
    assert (job.state, job.restarts) == ("FAILED", 0), job.log
    assert "RuntimeError: a bug" in job.log
    assert "not requeued" in job.log


def test_a_cancelled_job_does_not_come_back(stories: Stories) -> None:
    job = stories["cancelled"].result()
    assert (job.state, job.restarts) == ("CANCELLED", 0), job.log
    # In the log of the run: srun is told to end as well, and may not pass on what the tasks print last.
    assert "Stopped by SIGTERM after step 4 of 8" in log_text(job.work_dir), job.log
    assert "not requeued from here" in job.log, job.log


def test_a_job_that_does_not_end_in_its_grace_time_is_killed_and_goes_on_from_before(
    stories: Stories, alone: Alone
) -> None:
    job = stories["hanging"].result()
    assert "start 2 of at most 3: not ended within 2 s: killing the tasks" in job.log
    assert "start 2 of at most 3: killed before it could save" in job.log
    assert "Resumed at step 4 of 8" in job.log


def test_a_signal_before_training_begins_requeues_a_job_that_begins_again(stories: Stories) -> None:
    log = stories["hanging"].result().log
    assert "start 1 of at most 3: requeueing" in log
    assert "start 2 of at most 3: nothing was saved, so it begins as it was submitted" in log


def test_no_job_is_requeued_more_often_than_allowed(stories: Stories, alone: Alone) -> None:
    job = stories["hanging"].result()
    assert (job.state, job.restarts) == ("FAILED", 2), job.log
    assert job.cluster.fact(job.id, "ExitCode") == "75:0"
    assert "not requeued: MAX_REQUEUES=2; submit it again with --resume" in job.log
    assert run("train", CONFIG, "--work-dir", job.work_dir, "--resume") == 0
    assert_same(trained(job.work_dir), alone())


def test_array_tasks_train_in_folders_of_their_own_and_are_preempted_one_by_one(
    stories: Stories, alone: Alone
) -> None:
    tasks = stories["array"].result()
    assert [x.state for x in tasks] == ["COMPLETED"] * 2
    assert sorted(x.restarts for x in tasks) == [0, 1]
    for task, seed in zip(tasks, ("4", "5"), strict=True):
        assert_same(trained(task.work_dir), alone("--seed", seed))


def test_a_requeued_job_goes_on_from_a_sharded_checkpoint_behind_a_link(
    stories: Stories, alone: Alone
) -> None:
    job = stories["sharded"].result()
    assert (job.state, job.restarts) == ("COMPLETED", 1), job.log
    assert "Stopped by SIGTERM after step 4 of 8" in job.log
    assert f"start 2 of at most 31: going on from {job.work_dir}/iter_4.sharded\n" in job.log
    assert "Resumed at step 4 of 8" in job.log
    weights = trained(job.work_dir, "iter_8.sharded")["state_dict"]
    assert_same(weights, alone()["state_dict"], rtol=1e-5, atol=1e-6)


def test_a_job_never_takes_the_checkpoints_of_another_for_its_own(stories: Stories, alone: Alone) -> None:
    job = stories["after_another"].result()
    assert (job.state, job.restarts) == ("COMPLETED", 2), job.log
    saved = job.cluster.folder / "saved" / "after_another"
    assert "start 2 of at most 31: nothing was saved, so it begins as it was submitted" in job.log
    assert f"start 3 of at most 31: going on from {saved}/iter_4.pth\n" in job.log
    assert "Resumed at step 4 of 8" in job.log
    assert_same(trained(saved), alone("--seed", "4"))


def test_jobs_on_one_node_meet_at_different_ports(stories: Stories) -> None:
    first = [stories[x].result().log for x in ("undisturbed", "limited_in_training", "sharded")]
    ports = [re.search(r"on node\[1-2\], port (\d+)", log)[1] for log in first]
    assert len(set(ports)) == 3
