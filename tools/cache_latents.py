"""Encode the training images of a config once; tools/cache_latents.sh starts one process for every GPU."""

import argparse
import sys
from pathlib import Path

from _command import add_launch_options, run


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        description="Encode the training images of a config by its autoencoder, once: trainings then read "
        "their latents. The same command goes on where it was killed."
    )
    parser.add_argument("config", help="config file of a generator with an autoencoder")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="default: beside the images, data/imagenet_latents_256"
    )
    parser.add_argument("--batch-size", type=int, default=64, help="of each process (default: %(default)s)")
    parser.add_argument(
        "--shard-size", type=int, default=2048, help="images of a file (default: %(default)s)"
    )
    add_launch_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(run("cache_latents", build_parser().parse_args()))
