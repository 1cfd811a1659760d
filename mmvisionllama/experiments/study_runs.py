"""Run the trainings of a study, several at a time; resume those that were interrupted."""

import json
import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmvisionllama.errors import StudyError
from mmvisionllama.experiments.study import Run, Study, config_hash
from mmvisionllama.files import as_json, read_record, write_json
from mmvisionllama.reports.summary import SUMMARY, read_summary

REQUEST = "study_run.json"  # in each work directory: config, seed and start that the study asked for
LOG = "study_run.log"
_POLL_SECONDS = 0.5
_SHOWN_LINES = 15


@dataclass(eq=False)
class Job:
    """A run with one seed."""

    run: Run
    seed: int
    work_dir: Path
    start: "Job | None" = None
    process: subprocess.Popen | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"{self.run.name}, seed {self.seed}"

    def summary(self, *needed: str) -> dict[str, Any]:
        """Return what ``summary.json`` says so far; see ``read_summary``."""
        return read_summary(self.work_dir, needed)

    @property
    def finished(self) -> bool:
        return self.process is None and self.summary().get("status") == "finished"

    @property
    def done(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        facts = self.summary()
        finished = facts.get("status") == "finished"
        return 1.0 if finished else facts.get("steps", 0) / max(facts.get("planned_steps", 1), 1)

    def request(self) -> dict[str, object]:
        """Say what decides the outcome of this training."""
        return {
            "config": self.run.config,
            **({"options": self.run.options} if self.run.options else {}),
            "sha256": self.run.sha256,
            "seed": self.seed,
            "load_from": self.start.request() if self.start else None,
        }


def plan_jobs(study: Study, out: Path) -> list[Job]:
    """Give every training of a study, preparations first, each in ``<out>/<run>_seed<seed>``."""
    jobs: dict[tuple[str, int], Job] = {}
    for run in study.runs:
        for seed in study.seeds:
            start = jobs[run.load_from, seed] if run.load_from else None
            jobs[run.name, seed] = Job(run, seed, out / f"{run.name}_seed{seed}", start)
    return list(jobs.values())


def run_study(
    jobs: Sequence[Job],
    command: Sequence[str],
    *,
    parallel: int = 1,
    force: bool = False,
    progress: Callable[[Sequence[Job], Sequence[Job]], None] = lambda jobs, running: None,
) -> None:
    """Train what is not finished yet, ``parallel`` trainings at a time that share the cores.

    Args:
        command: Starts a training when a config and its options follow, e.g. ``["tools/train.sh"]``.
        force: Train again where a folder holds a training of another config, seed or start.
        progress: Called every half second with all trainings and the running ones.

    Raises:
        StudyError: at the end, if trainings failed; before the start, if folders hold other trainings and
            ``force`` is not given.
    """
    stale = [job for job in jobs if _is_stale(job)]
    if stale and not force:
        folders = "".join(f"\n  {job.work_dir}" for job in stale)
        raise StudyError(f"these folders hold trainings of other configs; --force trains again:{folders}")
    waiting = deque(job for job in jobs if job in stale or not job.finished)
    running: list[Job] = []
    failed: dict[str, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < parallel and (job := _next(waiting)):
                _launch(job, command, parallel, fresh=job in stale)
                running.append(job)
            time.sleep(_POLL_SECONDS)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                status, job.process = job.process.returncode, None
                if status or not job.finished:
                    failed[job.name] = _last_lines(job)
            for job in [job for job in waiting if job.start and job.start.name in failed]:
                waiting.remove(job)
                failed[job.name] = f"needs {job.start.name}"
            progress(jobs, running)
    finally:
        for job in running:
            job.process.terminate()
        for job in running:
            job.process.wait()
    if failed:
        raise StudyError("\n".join(f"{name} failed:\n{reason}" for name, reason in failed.items()))


def _next(waiting: deque[Job]) -> Job | None:
    """Take the first training whose start is there."""
    for job in waiting:
        if job.start is None or job.start.finished:
            waiting.remove(job)
            return job
    return None


def _is_stale(job: Job) -> bool:
    request = read_record(job.work_dir / REQUEST)
    if request is None:
        return job.work_dir.is_dir() and any(job.work_dir.iterdir())
    return request != json.loads(as_json(job.request()))


def _launch(job: Job, command: Sequence[str], parallel: int, fresh: bool) -> None:
    if config_hash(job.run.read_config()) != job.run.sha256:
        raise StudyError(f"{job.run.config} has changed since the study began; start it again")
    # A folder of another request starts afresh: a resume would go on from the wrong training.
    resume = ["--overwrite"] if fresh else ["--resume", "auto"]
    if fresh:
        (job.work_dir / SUMMARY).unlink(missing_ok=True)
    write_json(job.work_dir / REQUEST, job.request())
    options = [f"{key}={value!r}" for key, value in job.run.options.items()]
    if job.start:
        options.append(f"load_from={job.start.summary('last_checkpoint')['last_checkpoint']}")
    options = ["--cfg-options", *options] if options else []
    threads = str(max((os.cpu_count() or 1) // parallel, 1))
    with (job.work_dir / LOG).open("a") as log:
        job.process = subprocess.Popen(
            [
                *command,
                job.run.config,
                *("--work-dir", job.work_dir),
                *("--seed", str(job.seed)),
                *resume,
                *options,
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} | dict(os.environ),
        )


def _last_lines(job: Job) -> str:
    file = job.work_dir / LOG
    lines = file.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
    if job.summary().get("status") == "killed":
        lines.append("it was killed; the same command goes on")
    return "\n".join(f"  {line}" for line in [*lines, f"see {file}"])
