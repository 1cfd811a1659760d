"""Compute once more with a batch that a training could not use, and say where it goes wrong."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what the batch does; return 0 if all is finite, 1 if not, 2 if it cannot be computed."""
    args = build_parser().parse_args(arguments)
    # Only now, so that --help answers at once; and before the hosts are imported, which need torchvision.
    from mmvisionllama import compat

    compat.prepare()

    from mmvisionllama.checkpoint import CheckpointError
    from mmvisionllama.config import ConfigError
    from mmvisionllama.engine.replay import replay

    try:
        found = replay(args.config, args.batch, args.checkpoint)
    except (CheckpointError, ConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in found.lines():
        print(line)
    return 0 if found.is_finite else 1


if __name__ == "__main__":
    sys.exit(main())
