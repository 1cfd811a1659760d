import re
from pathlib import Path

from mmvisionllama.errors import ExitStatus

ROOT = Path(__file__).parents[1]


def test_the_documents_give_every_exit_status_its_meaning() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", (ROOT / "docs" / "resume.md").read_text(), re.MULTILINE)
    assert {int(number): meaning for number, meaning in rows} == {int(x): x.meaning for x in ExitStatus}


def test_no_script_has_a_status_of_its_own() -> None:
    scripts = [ROOT / "tools" / name for name in ("_slurm_job.sh", "_launch.sh")]
    scripts.append(ROOT / "mmvisionllama" / "cli" / "torchrun.py")
    for status in (ExitStatus.DIVERGED, ExitStatus.STALLED, ExitStatus.STOPPED):
        assert not [x.name for x in scripts if re.search(rf"\b{int(status)}\b", x.read_text())]
