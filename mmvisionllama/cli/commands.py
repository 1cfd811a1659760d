"""The command ``mmvisionllama``, which lists the commands of this package and runs one of them."""

import ast
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from mmvisionllama import __version__
from mmvisionllama.cli.launch import launch
from mmvisionllama.errors import ExitStatus
from mmvisionllama.suggestions import nearest

# The name of each command and its file here, in the order in which one meets them.
COMMANDS = {
    "doctor": "doctor",
    "prepare-digitscenes": "prepare_digitscenes",
    "check-data": "check_data",
    "shard": "shard",
    "config": "read_config",
    "finetune": "finetune",
    "train": "train",
    "test": "test",
    "errors": "errors",
    "report": "report",
    "compare": "compare",
    "predict": "predict",
    "analyze": "analyze",
    "demo": "demo",
    "export": "export",
    "publish": "publish",
    "push": "push",
    "checkpoint": "checkpoint",
    "convert": "convert_checkpoint",
    "replay": "replay_batch",
    "cache-latents": "cache_latents",
    "sample": "sample",
    "evaluate-samples": "evaluate_samples",
    "sweep": "resolution_sweep",
    "study": "study",
    "reproduce": "reproduce",
    "benchmark": "benchmark",
    "benchmark-gpu": "benchmark_gpu",
    "measure-scaling": "measure_scaling",
    "scale-table": "scale_table",
}
# These run in several processes, which they start unless --launcher says that something else has.
_LAUNCHED = ("train", "test", "sample", "cache-latents")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names, and return its exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(_listing())
        return ExitStatus.FINISHED
    if name == "--version":
        print(f"mmvisionllama {__version__}")
        return ExitStatus.FINISHED
    if name not in COMMANDS:
        meant = nearest(name, COMMANDS)
        hint = f"; did you mean {meant!r}?" if meant else "."
        print(f"error: no command {name!r}{hint} mmvisionllama --help lists them", file=sys.stderr)
        return ExitStatus.USER_ERROR
    prog = f"mmvisionllama {name}"
    module = import_module(f"mmvisionllama.cli.{COMMANDS[name]}")
    if name in _LAUNCHED and not any(x.partition("=")[0] == "--launcher" for x in rest):
        parser = module.build_parser()
        parser.prog = prog
        return launch(name, rest, parser, main=partial(module.main, prog=prog))
    return module.main(rest, prog=prog)


def _listing() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {_first_line(file)}" for name, file in COMMANDS.items()]
    head = "usage: mmvisionllama COMMAND [OPTION ...]   (mmvisionllama COMMAND --help lists the options)"
    return "\n".join([head, "", *lines])


def _first_line(file: str) -> str:
    """Return the first line of a command's file, which is not imported for that."""
    source = Path(__file__).with_name(f"{file}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)).partition("\n")[0]
