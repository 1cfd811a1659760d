"""Compute once more with a batch that a training could not use, and say where it goes wrong."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import command


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="config that the training left in its work directory")
    parser.add_argument("batch", type=Path, help="file in bad_batches of the work directory")
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs="?",
        help="weights (default: the newest good ones beside bad_batches)",
    )
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> int:
    """Print what the batch does; return 0 if all is finite, 1 if not, 2 if it cannot be computed."""
    from mmvisionllama.fault_tolerance.replay import replay

    found = replay(args.config, args.batch, args.checkpoint)
    for line in found.lines():
        print(line)
    return 0 if found.is_finite else 1
