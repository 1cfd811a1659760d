"""Publish a trained model: a folder with weights, config, card and example, which load() takes."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import command


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(prog="mmvisionllama publish", description=__doc__)
    parser.add_argument("checkpoint", help="file, .sharded folder, work directory or http(s) address")
    parser.add_argument("out", type=Path, metavar="DIR", help="a folder that is new or empty")
    parser.add_argument("--config", help="where the checkpoint keeps no config, as converted weights")
    parser.add_argument("--name", help="of the model (default: that of its config)")
    parser.add_argument(
        "--source", metavar="hf:OWNER/NAME", help="what the card says to load (default: the folder's name)"
    )
    parser.add_argument(
        "--license", default="unknown", help="of the weights, by the hub's name, e.g. apache-2.0"
    )
    parser.add_argument("--image", help="predict this one as the example (default: the training's pictures)")
    return parser


@command(build_parser, interrupted="nothing is published")
def main(args: argparse.Namespace) -> None:
    """Publish."""
    from mmvisionllama.inference.publishing import publish

    print(publish(**vars(args)))
