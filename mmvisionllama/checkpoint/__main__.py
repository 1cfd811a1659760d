"""Judge checkpoints offline: ``python -m mmvisionllama.checkpoint verify PATH``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmvisionllama.checkpoint.manifest import checkpoints_in, newest_good, verify
from mmvisionllama.checkpoint.reading import CheckpointError


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(prog="python -m mmvisionllama.checkpoint", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "verify", help="say whether checkpoints are whole, finite and those that were saved"
    )
    command.add_argument("path", type=Path, help="a checkpoint file, or a folder of them")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every checkpoint; return 1 if one is bad, 2 if there is nothing to judge."""
    args = build_parser().parse_args(arguments)
    console, errors = (
        Console(stderr=x, highlight=False, soft_wrap=True, markup=False) for x in (False, True)
    )
    folder = args.path.is_dir()
    try:
        verdicts = [verify(path) for path in (checkpoints_in(args.path) if folder else [args.path])]
    except CheckpointError as error:
        errors.print(f"error: {error}")
        return 2
    if not verdicts:
        errors.print(f"error: {args.path} holds no checkpoint (*.pth)")
        return 2
    for verdict in verdicts:
        console.print(str(verdict), style="red" if verdict.problem else "green")
    if folder:
        chosen = newest_good(args.path).path
        console.print(f"--resume would start from {chosen}" if chosen else "--resume would start afresh")
    return int(any(verdict.problem for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
