import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmvisionllama.cli.threads import limit_spinning
from tests.tools.commands import REPOSITORY


def test_waiting_threads_give_up_their_core_soon() -> None:
    environ: dict[str, str] = {}
    limit_spinning(environ)
    assert int(environ["GOMP_SPINCOUNT"]) > 0


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_says_of_waiting_threads_holds(name: str) -> None:
    environ = {name: "chosen"}
    limit_spinning(environ)
    assert environ == {name: "chosen"}


def test_a_command_limits_its_threads_before_torch_is_imported(tmp_path: Path) -> None:
    seen = str(tmp_path / "seen")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "import os\n"
        f"print(os.environ.get('GOMP_SPINCOUNT'), file=open({seen!r}, 'a'), flush=True)\n"
        "os._exit(0)\n"
    )
    environ = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environ["PYTHONPATH"] = f"{tmp_path}:{REPOSITORY}"
    command = [sys.executable, "-m", "mmvisionllama", "train", "no_such_config"]
    subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, check=False)
    assert Path(seen).read_text() == "5000\n"
