"""Python processes in which mmcv is installed without its compiled operators."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with an mmcv that is the installed one but for ``mmcv._ext``, by links in a folder."""
    package = folder / "mmcv"
    if not package.exists():
        package.mkdir()
        for path in Path(find_spec("mmcv").origin).parent.iterdir():
            if not path.name.startswith(("_ext", "__pycache__")):
                (package / path.name).symlink_to(path)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (folder, ROOT)))}
    command = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
