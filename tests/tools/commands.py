"""The commands as objects: their parsers, and running them inside this process."""

import io
import itertools
import json
import logging
import os
import socket
import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mmengine.logging import MMLogger

from mmvisionllama.cli.common import execute
from tests.processes import in_processes

REPOSITORY = Path(__file__).parents[2]
TOY = REPOSITORY / "tests" / "tools" / "toy_config.py"
# Options that load data in the process of the test, which starts none for a few images.
IN_PROCESS = [
    f"{split}_dataloader.{option}"
    for split in ("train", "val", "test")
    for option in ("num_workers=0", "persistent_workers=False")
]
_RUNS = itertools.count()


def parser_of(command: str) -> ArgumentParser:
    """Return the parser of ``mmvisionllama/cli/<command>.py``."""
    return _module(command).build_parser()


def run(command: str, *arguments: str | Path, **cfg_options: object) -> int:
    """Run a command that takes a config in this process and return its exit status."""
    # Runs of one name share logger and message hub, and the default name has a resolution of a second.
    options = {"experiment_name": f"toy_{next(_RUNS)}", **cfg_options}
    args = parser_of(command).parse_args([str(x) for x in arguments])
    args.cfg_options = {**(args.cfg_options or {}), **options}
    for handler in MMLogger.get_current_instance().handlers:  # of an earlier run; not every command makes one
        if type(handler) is logging.StreamHandler:
            handler.stream = sys.stdout  # setStream would flush the one before, which may be closed
    return execute(_module(command).main.__wrapped__, args)


def run_in_two(command: str, *arguments: str | Path, folder: Path) -> str:
    """Run a command in two processes of a machine, forked from this one; return what they print.

    Args:
        folder: Their current directory.
    Raises: RuntimeError: if one of them fails, with what it printed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def work(rank: int) -> str:
        os.chdir(folder)
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        sys.stdout = sys.stderr = output = io.StringIO()  # until the end of this process
        if status := run(command, *arguments, "--launcher", "pytorch"):
            raise RuntimeError(f"status {status}: {output.getvalue()}")
        return output.getvalue()

    return "".join(in_processes(2, work, grouped=False))


def main(command: str, *arguments: str | Path) -> int:
    """Run a command in this process as its file in ``tools`` does; return its exit status."""
    return _module(command).main([str(x) for x in arguments])


def _module(command: str) -> ModuleType:
    return import_module(f"mmvisionllama.cli.{command}")


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
