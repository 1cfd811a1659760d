"""The commands as objects: their parsers, and running them inside this process."""

import importlib.util
import itertools
import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).parents[2]
TOY = REPOSITORY / "tests" / "tools" / "toy_config.py"
# Options that load data in the process of the test, which starts none for a few images.
IN_PROCESS = [
    f"{split}_dataloader.{option}"
    for split in ("train", "val", "test")
    for option in ("num_workers=0", "persistent_workers=False")
]
_RUNS = itertools.count()


def parser_of(tool: str) -> ArgumentParser:
    """Return the parser of ``tools/<tool>.py``."""
    return _load(tool).build_parser()


def run(tool: str, *arguments: str | Path, **cfg_options: object) -> int:
    """Run ``tools/<tool>.py`` in this process and return its exit status."""
    # Runs of one name share logger and message hub, and the default name has a resolution of a second.
    options = {"experiment_name": f"toy_{next(_RUNS)}", **cfg_options}
    args = parser_of(tool).parse_args([str(x) for x in arguments])
    args.cfg_options = {**(args.cfg_options or {}), **options}
    return _load(tool).run(tool, args)


def main(tool: str, *arguments: str | Path) -> int:
    """Run a tool that is not started by ``tools/<tool>.sh`` in this process; return its exit status."""
    return _load(tool).main([str(x) for x in arguments])


def _load(tool: str) -> ModuleType:
    folder = str(REPOSITORY / "tools")
    spec = importlib.util.spec_from_file_location(f"tools_{tool}", f"{folder}/{tool}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


def summary(work_dir: Path) -> dict:
    """Return what a training wrote of itself in its work directory."""
    return json.loads((work_dir / "summary.json").read_text())


def logged_losses(work_dir: Path) -> dict[int, float]:
    """Return step -> loss from the last log of a work directory."""
    log = max(work_dir.glob("*/vis_data/*.json"), key=lambda path: path.stat().st_mtime_ns)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return {x["step"]: x["loss"] for x in records if "loss" in x}


def log_text(work_dir: Path) -> str:
    """Return the whole log of a work directory."""
    return "".join(path.read_text() for path in sorted(work_dir.glob("*/*.log")))
