"""A SLURM cluster of three nodes on this machine, with keys, ports and files of its own."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "setpriv")
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
# A job in `urgent` preempts those in `spare`, which are signalled 20 s before.
# A requeued job waits for a second more than its old credential is valid.
_CONFIG = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8
NodeName=node2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8
NodeName=node3 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[3]} CPUs=2
PartitionName=main Nodes=node[1-2] Default=YES
PartitionName=spare Nodes=node3 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=urgent Nodes=node3 PriorityTier=2 PreemptMode=OFF
"""


def missing() -> list[str]:
    """Name the programs that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    """Return when ``condition`` holds; fail after many times the seconds that it should take.

    Asks once a second: what asks SLURM starts a process.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(1.0)


class Cluster:
    """The daemons, from ``start`` to ``stop``, and the clients.

    Args:
        folder: Where everything lies; a short path, since a socket's may have 108 characters at most.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: list[subprocess.Popen] = []

    def start(self) -> None:
        """Start the daemons and wait for the nodes."""
        for name in ("state", *(f"spool-node{index}" for index in (1, 2, 3))):
            (self.folder / name).mkdir()
        config = _CONFIG.format(folder=self.folder, ports=free_ports(4), user=getpass.getuser())
        (self.folder / "slurm.conf").write_text(config)
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # found by no name otherwise
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = [f"--{kind}-file={self.folder / f'munge.{kind}'}" for kind in ("key", "pid", "log", "seed")]
        self._daemon("munged", "--foreground", "--force", f"--socket={self.folder / 'munge.socket'}", *files)
        wait_until((self.folder / "munge.socket").exists, "munged", 30)
        self._daemon("slurmctld", "-D")
        for index in (1, 2, 3):
            self._daemon("slurmd", "-D", "-N", f"node{index}")
        wait_until(
            lambda: self._ask("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * 4, "idle nodes", 60
        )

    def stop(self) -> None:
        """End all jobs, then the daemons."""
        if self._daemons and self._daemons[-1].poll() is None:
            self._ask("scancel", "--user", getpass.getuser())
            wait_until(lambda: not self._ask("squeue", "-h"), "the end of all jobs", 60)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def run(self, *command: str | Path, **variables: object) -> str:
        """Run a client and return what it prints; an error is the test's."""
        result = self._call(*command, **variables)
        assert result.returncode == 0, f"{command}: {result.stderr}{result.stdout}"
        return result.stdout

    def fact(self, job: str, name: str) -> str:
        """Return what ``scontrol show job`` says, e.g. of ``JobState`` or ``Restarts``."""
        text = self.run("scontrol", "show", "job", job)
        return re.search(rf"\b{name}=(\S+)", text)[1]

    def restarts(self, job: str) -> int:
        return int(self.fact(job, "Restarts"))

    def has_ended(self, job: str) -> bool:
        return self.fact(job, "JobState") in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")

    def logs(self) -> str:
        """Return the ends of the daemons' logs, for a failure."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {x.name}\n{x.read_text(errors='replace')[-4000:]}" for x in files)

    def _all_idle(self) -> bool:
        ended = [x.args for x in self._daemons if x.poll() is not None]
        assert not ended, f"{ended} ended"
        return set(self._ask("sinfo", "-h", "-o", "%D %T").splitlines()) == {"2 idle", "1 idle"}

    def _call(self, *command: str | Path, **variables: object) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(x) for x in command],
            cwd=self.folder,
            env=self._environment(variables),
            capture_output=True,
            text=True,
            timeout=300,
        )

    def _ask(self, *command: str) -> str:
        return self._call(*command).stdout

    def _environment(self, variables: dict[str, object]) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        clean |= {"PATH": _PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}
        return clean | {name: str(value) for name, value in variables.items()}

    def _daemon(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}-{len(self._daemons)}.log").open("wb") as log:
            # They end with the tests, even if those are killed; a Ctrl-C there is none of theirs.
            command = ["setpriv", "--pdeathsig", "SIGTERM", name, *arguments]
            daemon = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment({}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._daemons.append(daemon)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
