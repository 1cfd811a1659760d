import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mmvisionllama.checkpoint.run_identity import RunRecord, write_record
from tests.checkpoint.test_saving import save
from tests.tools.commands import REPOSITORY, TOY, logged_losses, main, run

OURS = (
    "GPUS",
    "NPROC",
    "NNODES",
    "NODE_RANK",
    "NODES",
    "PARTITION",
    "ACCOUNT",
    "TIME",
    "JOB_NAME",
    "SRUN_ARGS",
    "SBATCH_ARGS",
    "ARRAY",
    "OUTPUT",
    "GRACE",
    "MAX_REQUEUES",
)
FOREIGN = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "CPUS_PER_TASK", "PYTHONPATH")

# Says that it has read a config, and prints how it was called for anything else.
INTERPRETER = """#!/bin/bash
case $1 in
    */_read_config.py) printf 'tiny\\nruns/tiny\\n' ;;
    *) echo "$@ OMP_NUM_THREADS=${OMP_NUM_THREADS:-}" ;;
esac
"""
# Starts every task on this machine, as srun does on those that it was given.
SRUN = """#!/bin/bash
for tasks; do [ "$before" = --ntasks ] && break; before=$tasks; done
while [ "${1##*/}" != "${PYTHON##*/}" ]; do shift; done
export SLURM_JOB_ID=$$ SLURM_STEP_ID=0 SLURM_NTASKS=$tasks SLURM_STEP_NUM_NODES=1
for ((task = 0; task < tasks; task++)); do
    SLURM_PROCID=$task SLURM_LOCALID=$task "$@" & children+=($!)
done
for child in "${children[@]}"; do wait "$child" || exit; done
"""


@pytest.fixture(scope="module")
def losses(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The losses of one process with a global batch of 4."""
    work_dir = tmp_path_factory.mktemp("alone") / "run"
    assert run("train", TOY, "--work-dir", work_dir) == 0
    return logged_losses(work_dir)


def executable(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def call(
    script: str | Path, *arguments: str | Path, cwd: Path, **variables: object
) -> subprocess.CompletedProcess:
    """Run a script of ``tools`` with these variables, and with none of its own from around the tests."""
    clean = {k: v for k, v in os.environ.items() if k not in (*OURS, *FOREIGN) and not k.startswith("SLURM_")}
    clean["PYTHON"] = sys.executable
    clean |= {name: str(value) for name, value in variables.items()}
    command = [str(REPOSITORY / "tools" / script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)


def called(script: str, *arguments: str, folder: Path, **variables: object) -> str:
    """Return how a script calls its interpreter, or the error that it prints."""
    interpreter = executable(folder, "interpreter", INTERPRETER)
    result = call(script, *arguments, cwd=folder, PYTHON=interpreter, **variables)
    assert (result.returncode == 0) == (result.stderr == "")
    return result.stdout + result.stderr


def test_training_and_testing_work_from_any_directory_and_through_a_link(
    tmp_path: Path, losses: dict[int, float], warm: dict[str, str]
) -> None:
    (tmp_path / "train").symlink_to(REPOSITORY / "tools" / "train.sh")
    trained = call(tmp_path / "train", TOY, cwd=tmp_path, GPUS=0, **warm)
    assert trained.returncode == 0, trained.stderr
    work_dir = tmp_path / "work_dirs" / "toy_config"
    assert logged_losses(work_dir) == losses
    tested = call("test.sh", TOY, work_dir / "iter_3.pth", "--out", "a.json", cwd=tmp_path, GPUS=0, **warm)
    assert tested.returncode == 0, tested.stderr
    assert json.loads((tmp_path / "a.json").read_text())["metrics"].keys() == {"error"}


def test_two_processes_on_the_cpu_have_the_losses_of_one(
    tmp_path: Path, losses: dict[int, float], warm: dict[str, str]
) -> None:
    options = ("--work-dir", "run", "--cfg-options", "train_dataloader.batch_size=2")
    result = call("train.sh", TOY, *options, cwd=tmp_path, GPUS=0, NPROC=2, **warm)
    assert result.returncode == 0, result.stderr
    assert "global batch 4 = 2 processes x 2" in result.stdout + result.stderr
    assert logged_losses(tmp_path / "run") == pytest.approx(losses, rel=1e-5)


def test_two_slurm_tasks_on_the_cpu_have_the_losses_of_one(
    tmp_path: Path, losses: dict[int, float], warm: dict[str, str]
) -> None:
    executable(tmp_path, "srun", SRUN)
    result = call(
        "slurm_train.sh",
        TOY,
        "--work-dir",
        "run",
        "--cfg-options",
        "train_dataloader.batch_size=2",
        cwd=tmp_path,
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        SLURM_JOB_ID=1,
        GPUS=0,
        NPROC=2,
        **warm,
    )
    assert result.returncode == 0, result.stderr
    assert logged_losses(tmp_path / "run") == pytest.approx(losses, rel=1e-5)


def test_an_error_of_two_processes_is_printed_once_without_a_traceback(
    tmp_path: Path, warm: dict[str, str]
) -> None:
    changed = "model.backbone.width=7"
    result = call("train.sh", TOY, "--cfg-options", changed, cwd=tmp_path, GPUS=0, NPROC=2, **warm)
    assert result.returncode == 2
    assert result.stderr.count("width must be even, got 7") == 1
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "script",
    ["train.sh", "test.sh", "sample.sh", "cache_latents.sh", "slurm_train.sh", "slurm_test.sh"],
)
def test_help_names_the_variables_and_the_options(tmp_path: Path, script: str) -> None:
    result = call(script, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert f"Usage: tools/{script} CONFIG" in result.stdout
    assert re.search(r"^  GPUS +GPUs of", result.stdout, re.MULTILINE)
    assert "--cfg-options" in result.stdout


@pytest.mark.parametrize("command", ["finetune", "train", "test", "sample", "cache-latents"])
def test_a_script_starts_its_command_in_the_checkout(tmp_path: Path, command: str) -> None:
    text = called(f"{command.replace('-', '_')}.sh", "a.py", "--amp", folder=tmp_path)
    assert text.startswith(f"{REPOSITORY}/tools/_command.py {command} a.py --amp OMP_NUM_THREADS=")


def test_tables_are_reproduced_by_the_script_of_the_checkout(tmp_path: Path) -> None:
    text = called("reproduce.sh", "table4", "--list", folder=tmp_path)
    assert text.startswith(f"{REPOSITORY}/tools/reproduce.py table4 --list OMP_NUM_THREADS=")


def test_a_missing_interpreter_is_an_error_with_the_fix(tmp_path: Path) -> None:
    result = call("train.sh", "a.py", cwd=tmp_path, PYTHON="no-such-python")
    assert result.returncode == 2
    assert "no interpreter no-such-python; run 'make setup'" in result.stderr


ONCE = "--kill-on-bad-exit=0 --wait=60 --disable-status"  # how srun starts the tasks


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, f"--nodes 1 --ntasks 1 --ntasks-per-node 1 --cpus-per-task 8 --gres gpu:1 {ONCE} /"),
        ({"NODES": 2, "GPUS": 8}, "--nodes 2 --ntasks 16 --ntasks-per-node 8 --cpus-per-task 8 "),
        ({"GPUS": 0, "NPROC": 4}, f"--ntasks 4 --ntasks-per-node 4 --cpus-per-task 8 {ONCE} /"),
        ({"SLURM_NNODES": 3, "SLURM_GPUS_ON_NODE": 4}, "--nodes 3 --ntasks 12 --ntasks-per-node 4 "),
        (
            {"PARTITION": "a100", "ACCOUNT": "us", "TIME": "2:00", "SRUN_ARGS": "--qos=high --exclusive"},
            f"--partition a100 --account us --time 2:00 {ONCE} --qos=high --exclusive /",
        ),
    ],
)
def test_srun_is_asked_for_what_the_variables_say(
    tmp_path: Path, variables: dict[str, object], expected: str
) -> None:
    executable(tmp_path, "srun", '#!/bin/bash\necho "$@"\n')
    path = f"{tmp_path}:{os.environ['PATH']}"
    text = called("slurm_test.sh", "a.py", "b.pth", folder=tmp_path, PATH=path, **variables)
    assert expected in text
    assert text.endswith(f"-u {REPOSITORY}/tools/test.py a.py b.pth --launcher slurm\n")


def test_slurm_tasks_start_as_many_threads_as_they_have_cores(tmp_path: Path) -> None:
    executable(tmp_path, "srun", '#!/bin/bash\necho "threads $OMP_NUM_THREADS $MKL_NUM_THREADS"\n')
    variables = dict(PATH=f"{tmp_path}:{os.environ['PATH']}", OMP_NUM_THREADS="", MKL_NUM_THREADS="")
    text = called("slurm_train.sh", "a.py", folder=tmp_path, CPUS_PER_TASK=3, SLURM_JOB_ID=7, **variables)
    assert "threads 3 3\n" in text


def submitted(folder: Path, *arguments: str, **variables: object) -> tuple[str, str]:
    """Return what the script prints, and what it asks sbatch for."""
    executable(folder, "srun", "")
    executable(folder, "sbatch", '#!/bin/bash\necho "$@" >asked\necho "12;cluster"\n')
    path = f"{folder}:{os.environ['PATH']}"
    text = called("slurm_train.sh", *arguments, folder=folder, PATH=path, **variables)
    asked = folder / "asked"
    return text, asked.read_text() if asked.exists() else ""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "--nodes 1 --ntasks 1 --ntasks-per-node 1 --cpus-per-task 8 --gres gpu:1 "),
        ({}, "--job-name tiny --output work_dirs/slurm/%x-%j.out --open-mode append --requeue "),
        ({}, "--signal B:USR1@150 "),
        ({"GRACE": 300}, "--signal B:USR1@330 "),
        (
            {"PARTITION": "a100", "ACCOUNT": "us", "TIME": "2:00"},
            "--partition a100 --account us --time 2:00 ",
        ),
        ({"JOB_NAME": "mine", "OUTPUT": "logs/%j"}, "--job-name mine --output logs/%j "),
        ({"SBATCH_ARGS": "--qos=high --mem=9G", "SRUN_ARGS": "--mpi=none"}, " --qos=high --mem=9G /"),
        ({"ARRAY": "0-3%2"}, "--output work_dirs/slurm/%x-%A_%a.out "),
        ({"ARRAY": "0-3%2"}, " --array 0-3%2 /"),
    ],
)
def test_sbatch_is_asked_for_what_the_variables_say(
    tmp_path: Path, variables: dict[str, object], expected: str
) -> None:
    _, asked = submitted(tmp_path, "a.py", "--amp", **variables)
    assert expected in asked
    assert re.search(rf"{REPOSITORY}/tools/_slurm_job\.sh {REPOSITORY}/tools runs/tiny a\.py --amp\n$", asked)


def test_a_submission_says_where_the_job_trains_and_writes(tmp_path: Path) -> None:
    text, _ = submitted(tmp_path, "a.py")
    assert text == "Submitted job 12, which trains in runs/tiny; its output: work_dirs/slurm/tiny-12.out\n"
    assert (tmp_path / "work_dirs" / "slurm").is_dir()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"GRACE": "2m"}, "GRACE=2m must be a whole number of at least 1"),
        ({"MAX_REQUEUES": -1}, "MAX_REQUEUES=-1 must be a whole number of at least 0"),
        ({"NPROC": 2}, "NPROC=2 counts tasks on CPUs, so it needs GPUS=0"),
    ],
)
def test_variables_that_slurm_cannot_follow_are_errors_before_the_queue(
    tmp_path: Path, variables: dict[str, object], message: str
) -> None:
    text, asked = submitted(tmp_path, "a.py", **variables)
    assert f"error: {message}" in text
    assert asked == ""


def test_a_mistake_in_the_config_is_an_error_before_the_queue(capfd: pytest.CaptureFixture[str]) -> None:
    assert main("read_config", TOY, "--cfg-options", "optim_wraper.optimizer.lr=9") == 2
    found = capfd.readouterr()
    assert "did you mean 'optim_wrapper'" in found.err
    assert found.out == ""


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ([], "work_dirs/toy_config"),
        (["--cfg-options", "work_dir=there"], "there"),
        (["--cfg-options", "work_dir=there", "--work-dir", "here"], "here"),
    ],
)
def test_the_work_directory_is_known_before_the_queue(
    capfd: pytest.CaptureFixture[str], options: list[str], folder: str
) -> None:
    assert main("read_config", TOY, *options) == 0
    assert capfd.readouterr().out == f"toy_config\n{folder}\n"


def test_a_port_is_reserved_once_and_never_taken_from_another_program(tmp_path: Path) -> None:
    script = f"source {REPOSITORY}/tools/_launch.sh; reserve_port 19000; echo $MASTER_PORT; read -r"
    environment = {**os.environ, "PYTHON": sys.executable}

    def holder() -> tuple[subprocess.Popen, int]:
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        process = subprocess.Popen(["bash", "-c", script], **pipes)
        return process, int(process.stdout.readline())

    first, port = holder()
    with socket.socket() as foreign:
        foreign.bind(("", port + 1))
        second, other = holder()
    assert other > port + 1 > 29000
    for process in (first, second):
        process.communicate("\n")
    third, again = holder()
    third.communicate("\n")
    assert again == port


def test_a_machine_without_srun_is_told_what_to_use(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "readlink", "env"):
        (tmp_path / name).symlink_to(
            next(Path(x, name) for x in ("/bin", "/usr/bin") if Path(x, name).exists())
        )
    text = called("slurm_train.sh", "a.py", folder=tmp_path, PATH=tmp_path)
    assert "srun not found" in text
    assert "use tools/train.sh" in text


def test_a_job_takes_nothing_for_its_own_before_it_has_trained(tmp_path: Path, warm: dict[str, str]) -> None:
    """A node that fails at once, say; from then on the record of the folder names the job."""
    executable(tmp_path, "srun", '#!/bin/bash\necho "$MMVISIONLLAMA_JOB $@"\n')
    variables = dict(SLURM_JOB_ID=7, SLURM_JOB_NODELIST="node1", MASTER_PORT=1, GPUS=0, GRACE=1)
    variables |= dict(SLURM_RESTART_COUNT=1, MAX_REQUEUES=3, PATH=f"{tmp_path}:{os.environ['PATH']}", **warm)
    work_dir = tmp_path / "run"
    work_dir.mkdir()
    other, mine = RunRecord.drawn(job="6"), RunRecord.drawn(job="7")
    save(work_dir, 9, meta={"iter": 9, "run_id": other.run_id})
    write_record(work_dir, other)
    arguments = (REPOSITORY / "tools", work_dir, "a.py")
    first = call("_slurm_job.sh", *arguments, cwd=tmp_path, **variables)
    assert first.returncode == 0, first.stderr
    assert "nothing was saved, so it begins as it was submitted" in first.stdout
    assert "--resume" not in first.stdout
    assert "\n7 --job-name" in first.stdout
    own = save(work_dir, 2, meta={"iter": 2, "run_id": mine.run_id})
    write_record(work_dir, mine)
    second = call("_slurm_job.sh", *arguments, cwd=tmp_path, **variables)
    assert f"train.py a.py --resume {own} --work-dir {work_dir} --launcher slurm" in second.stdout


def test_reserving_a_port_touches_no_file(tmp_path: Path) -> None:
    """The lock was a file of a name that anybody could know, and what a link there pointed to was emptied."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    planted = [Path(f"/tmp/mmvisionllama-port-{port}") for port in range(29500, 29503)]
    script = f"source {REPOSITORY}/tools/_launch.sh; reserve_port 19500; echo $MASTER_PORT"
    try:
        for path in planted:
            path.symlink_to(victim)
        environment = {**os.environ, "PYTHON": sys.executable}
        found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)
    finally:
        for path in planted:
            path.unlink(missing_ok=True)
    assert 29500 <= int(found.stdout) < 32768
    assert victim.read_text() == "mine"


def test_a_reserved_port_is_free_to_listen_at_and_held_through_signals() -> None:
    script = (
        f"source {REPOSITORY}/tools/_launch.sh; reserve_port 19600; kill -USR1 $PORT_HOLDER_PID; "
        "kill -TERM $PORT_HOLDER_PID; echo $MASTER_PORT; read -r"
    )
    environment = {**os.environ, "PYTHON": sys.executable}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    alone = script.partition("; kill")[0] + "; echo $MASTER_PORT"
    with subprocess.Popen(["bash", "-c", script], **pipes) as process:
        port = int(process.stdout.readline())
        second = subprocess.run(["bash", "-c", alone], **{**pipes, "stdin": subprocess.DEVNULL})
        assert int(second.stdout) > port
        socket.create_server(("", port)).close()
        process.communicate("\n")


def test_nothing_here_names_a_place_in_the_folder_of_all_users() -> None:
    files = [*REPOSITORY.glob("tools/*"), *REPOSITORY.glob("mmvisionllama/**/*.py")]
    named = [str(x) for x in files if x.is_file() and re.search(r"/tmp|/var/tmp|/dev/shm", x.read_text())]
    assert named == []
