"""Judge checkpoints and merge sharded ones, offline: ``python -m mmvisionllama.checkpoint verify PATH``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmvisionllama.checkpoint.manifest import checkpoints_in, newest_good, verify
from mmvisionllama.checkpoint.reading import CheckpointError, is_sharded
from mmvisionllama.checkpoint.saving import merge


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(prog="python -m mmvisionllama.checkpoint", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "verify", help="say whether checkpoints are whole, finite and those that were saved"
    )
    command.add_argument("path", type=Path, help="a checkpoint, or a folder of them")
    command = commands.add_parser("merge", help="make one ordinary checkpoint of a sharded one")
    command.add_argument("path", type=Path, help="the folder, e.g. iter_1000.sharded")
    command.add_argument("out", type=Path, help="the file to write, e.g. iter_1000.pth")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a command line asks for; return 1 if a checkpoint is bad, 2 if there is nothing to do."""
    args = build_parser().parse_args(arguments)
    console, errors = (
        Console(stderr=x, highlight=False, soft_wrap=True, markup=False) for x in (False, True)
    )
    try:
        return _merge(args, console) if args.command == "merge" else _verify(args, console)
    except (CheckpointError, OSError) as error:
        errors.print(f"error: {error}")
        return 2


def _merge(args: argparse.Namespace, console: Console) -> int:
    manifest = merge(args.path, args.out)
    console.print(f"{args.out}: {manifest.bytes:,} bytes, step {manifest.step}", style="green")
    return 0


def _verify(args: argparse.Namespace, console: Console) -> int:
    folder = args.path.is_dir() and not is_sharded(args.path)
    verdicts = [verify(path) for path in (checkpoints_in(args.path) if folder else [args.path])]
    if not verdicts:
        raise CheckpointError(f"{args.path} holds no checkpoint (*.pth, *.sharded)")
    for verdict in verdicts:
        console.print(str(verdict), style="red" if verdict.problem else "green")
    if folder:
        chosen = newest_good(args.path).path
        console.print(f"--resume would start from {chosen}" if chosen else "--resume would start afresh")
    return int(any(verdict.problem for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
