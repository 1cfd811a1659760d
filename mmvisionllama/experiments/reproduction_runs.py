"""Run the links of a chain in order, here or as dependent jobs of SLURM; resume what was interrupted."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmvisionllama.config.config_files import checkout, commit
from mmvisionllama.config.loading import DATA_VARIABLE, data_root_base
from mmvisionllama.config.variables import walk
from mmvisionllama.errors import ExitStatus, LinkError, ReproductionError
from mmvisionllama.experiments.reproduction import REFERENCE, Link, Profile, settings_by, started_by
from mmvisionllama.files import write_json

_SHOWN_LINES = 15


def require_data(links: Sequence[Link], profile: Profile) -> None:
    """Check that the data of all links are there before the first one begins.

    Raises: ReproductionError: names everything that is missing.
    """
    wanted: dict[str, str] = {}
    for link in links:
        if link.kind == "train":
            config = link.request["config"]
            cfg, _ = settings_by(config, tuple(profile.options(config)), data_root_base())
            for path, value in walk({x: cfg.get(x) for x in ("train_dataloader", "val_dataloader")}):
                if path.endswith(".data_root") and not Path(value).is_dir():
                    wanted[value] = "docs/data.md says how to get it"
        if link.kind == "score" and not (data_root_base() / REFERENCE).is_file():
            wanted[str(data_root_base() / REFERENCE)] = "docs/reproduce.md says where it comes from"
    if wanted:
        lines = "".join(f"\n  {path}; {hint}" for path, hint in wanted.items())
        raise ReproductionError(
            f"these data are missing; --data DIR (or {DATA_VARIABLE}) says where they are:{lines}"
        )


def require_own_folders(links: Sequence[Link]) -> None:
    """Check that no folder holds something else.

    Raises: ReproductionError: names the folders that do.
    """
    foreign = []
    for link in links:
        if link.record() is not None:
            if not link.mine:
                foreign.append(link.folder)
        elif link.kind != "score" and link.folder.is_dir() and any(link.folder.glob("*")):
            foreign.append(link.folder)
    if foreign:
        folders = "".join(f"\n  {folder}" for folder in dict.fromkeys(foreign))
        raise ReproductionError(
            "these folders hold another reproduction, of other settings, or something else; "
            f"give another --out, or remove them:{folders}"
        )


def begin(link: Link, profile: Profile) -> None:
    """Note in the folder what is asked for, before it is done."""
    write_json(link.record_file, {"request": link.request, "profile": profile.name, "commit": commit()})


def in_a_process(link: Link) -> int:
    """Run the command of a link on this machine, its output into its log; return the exit status."""
    with link.log.open("a") as log:
        process = subprocess.Popen(link.command, stdout=log, stderr=subprocess.STDOUT)
        try:
            return process.wait()
        except KeyboardInterrupt:  # the command hears it too, and saves
            return process.wait()


def run_chain(
    links: Sequence[Link],
    profile: Profile,
    *,
    launch: Callable[[Link], int] = in_a_process,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Run the links that are not finished yet, in order.

    Args:
        launch: Runs one link and returns its exit status.
        say: Is told what begins and what was finished before.
    Raises:
        ReproductionError: before anything runs, for missing data or folders of something else.
        LinkError: for a link that failed; the same chain goes on from there.
    """
    require_own_folders(links)
    require_data(links, profile)
    for number, link in enumerate(links, start=1):
        place = f"{number} of {len(links)}: {link.title}"
        if link.finished:
            say(f"{place}: finished before")
            continue
        begin(link, profile)
        say(f"{place}, in {link.folder}")
        status = launch(link)
        if status or not link.finished:
            raise LinkError(_failure(place, link, status))


def _failure(place: str, link: Link, status: int) -> str:
    lines = link.log.read_text(errors="replace").splitlines() if link.log.is_file() else []
    if status == ExitStatus.STOPPED:
        said = "was stopped and has saved everything; the same command goes on from there"
    elif not status:
        missing = ", ".join(str(x) for x in link.results if not x.exists()) or "an end in its summary.json"
        said = f"ended with status 0, but lacks {missing}; see its log"
    else:
        said = f"failed with status {status}; mend its cause, then the same command goes on from there"
    return "\n".join(
        [
            f"link {place} {said}",
            *(f"  {x}" for x in lines[-_SHOWN_LINES:]),
            f"  log: {link.log}",
            f"  {link.shell}",
        ]
    )


def submit_chain(
    links: Sequence[Link],
    profile: Profile,
    resources: Mapping[str, str],
    *,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, str]:
    """Submit the links to SLURM, each to begin when the one that it needs has succeeded.

    A training requeues itself until it is finished (``tools/slurm_train.sh``). Links that are finished or
    still queued from an earlier call are not submitted again.

    Args:
        resources: ``partition``, ``account``, ``time``, ``nodes``, ``gpus`` (of a node), ``cpus_per_task``.
    Returns: The number of the job of each link, by its title.
    Raises: ReproductionError: as ``run_chain`` before it begins; if SLURM refuses a job.
    """
    require_own_folders(links)
    require_data(links, profile)
    jobs: dict[int, str] = {}
    for link in links:
        if link.finished:
            say(f"{link.title}: finished before")
            continue
        number = link.folder / f"reproduce_{link.kind}.job"
        job = number.read_text(errors="replace") if number.is_file() and link.mine else ""
        job = job if re.fullmatch(r"\d{1,20}", job) else ""
        if job and _queued(job):
            say(f"{link.title}: job {job}, submitted before")
        else:
            begin(link, profile)
            after = jobs.get(id(link.needs))
            job = _submit(link, [f"--dependency=afterok:{after}"] if after else [], resources)
            number.write_text(job)
            say(f"{link.title}: job {job}" + (f", after {after}" if after else ""))
        jobs[id(link)] = job
    return {link.title: jobs[id(link)] for link in links if id(link) in jobs}


def slurm_command(link: Link, after: Sequence[str], resources: Mapping[str, str]) -> tuple[dict, list[str]]:
    """Give the variables and the command that submit a link; ``after`` has the options of the dependency."""
    after = [*after, "--kill-on-invalid-dep=yes"] if after else []
    if link.kind == "train":
        variables = {name.upper(): value for name, value in resources.items()} | {
            "SBATCH_ARGS": " ".join(after)
        }
        if checkout() is None:
            raise ReproductionError("--slurm needs tools/slurm_train.sh of a checkout, and this is a wheel")
        return variables, [*started_by("slurm_train"), *link.command[1:]]
    gpus, each = resources.get("gpus", "1"), int(resources.get("cpus_per_task", "8"))
    command = [
        "sbatch",
        "--parsable",
        "--job-name",
        f"reproduce_{link.kind}",
        "--nodes",
        "1",
        "--ntasks",
        "1",
    ]
    command += ["--cpus-per-task", str(each * max(int(gpus), 1))]
    command += ["--gres", f"gpu:{gpus}"] if int(gpus) else []
    for name in ("partition", "account", "time"):
        command += [f"--{name}", resources[name]] if name in resources else []
    command += ["--output", str(link.log), "--open-mode", "append", "--export", "ALL", *after]
    return {}, [*command, "--wrap", link.shell]


def _submit(link: Link, after: Sequence[str], resources: Mapping[str, str]) -> str:
    variables, command = slurm_command(link, after, resources)
    link.folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )
    found = re.search(r"Submitted job (\d+)|^(\d+)", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise LinkError(
            f"{link.title} was not submitted (status {done.returncode}):\n"
            f"  {done.stderr.strip() or done.stdout.strip()}\n"
            "Inside an allocation leave --slurm out; else mend this: the same command submits what is left"
        )
    return found.group(1) or found.group(2)


def _queued(job: str) -> bool:
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%T"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0 and bool(done.stdout.strip())
