"""Encode the training images of a config once, on all visible GPUs or the CPU."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import add_launch_options, command
from mmvisionllama.cli.numbers import whole


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
    parser.add_argument(
        "--batch-size", type=whole(), default=64, help="of each process (default: %(default)s)"
    )
    parser.add_argument(
        "--shard-size", type=whole(), default=2048, help="images of a file (default: %(default)s)"
    )
    add_launch_options(parser)
    return parser


@command(build_parser, interrupted="the same command goes on")
def main(args: argparse.Namespace) -> None:
    """Encode images."""
    from mmvisionllama.inference.latent_caching import cache_latents

    cache_latents(**vars(args))
