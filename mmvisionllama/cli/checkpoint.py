"""Judge, choose and merge checkpoints, offline, e.g. ``checkpoint verify PATH``."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from mmvisionllama.cli.common import command


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(prog="python -m mmvisionllama.checkpoint", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    action = actions.add_parser(
        "verify", help="say whether checkpoints are whole, finite and those that were saved"
    )
    action.add_argument("path", type=Path, help="a checkpoint, or a folder of them")
    action = actions.add_parser("merge", help="make one ordinary checkpoint of a sharded one")
    action.add_argument("path", type=Path, help="the folder, e.g. iter_1000.sharded")
    action.add_argument("out", type=Path, help="the file to write, e.g. iter_1000.pth")
    action = actions.add_parser("newest", help="print the one that --resume takes, nothing if there is none")
    action.add_argument("path", type=Path, metavar="work_dir", help="the work directory of a training")
    action.add_argument(
        "--job", help="nothing, unless this SLURM job has begun or taken up the training there"
    )
    return parser


@command(build_parser, also=(OSError,))
def main(args: argparse.Namespace) -> int:
    """Do what a command line asks for; return 1 if ``verify`` finds a bad one, 2 for a mistake."""
    from mmvisionllama.checkpoint.manifest import checkpoints_of, newest_good, verify
    from mmvisionllama.checkpoint.run_identity import is_of_job
    from mmvisionllama.checkpoint.saving import merge
    from mmvisionllama.checkpoint.sharded import is_sharded
    from mmvisionllama.errors import CheckpointError

    console = Console(highlight=False, soft_wrap=True, markup=False)
    is_folder = args.path.is_dir() and not is_sharded(args.path)
    if args.action == "merge":
        manifest = merge(args.path, args.out)
        console.print(f"{args.out}: {manifest.bytes:,} bytes, step {manifest.step}", style="green")
    elif args.action == "verify":
        verdicts = [verify(path) for path in (checkpoints_of(args.path) if is_folder else [args.path])]
        if not verdicts:
            raise CheckpointError(f"{args.path} holds no checkpoint (*.pth, *.sharded)")
        for verdict in verdicts:
            console.print(str(verdict), style="red" if verdict.problem else "green")
        if is_folder:
            chosen = newest_good(args.path).path
            console.print(f"--resume would start from {chosen}" if chosen else "--resume would start afresh")
        return int(any(verdict.problem for verdict in verdicts))
    elif not is_folder:
        raise CheckpointError(f"{args.path} is no folder; give the work directory of a training")
    elif args.job is not None and not is_of_job(args.path, args.job):
        print(f"{args.path} holds no training of job {args.job}", file=sys.stderr)
    else:
        choice = newest_good(args.path)
        for verdict in choice.rejected:
            print(verdict, file=sys.stderr)
        if choice.path is None:
            print(f"{args.path} has no good checkpoint to resume from", file=sys.stderr)
        else:
            print(choice.path)
    return 0
