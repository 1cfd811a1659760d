"""Publish a trained model: a folder with weights, config, card and example, which load() takes."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import MODEL, command


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(prog="mmvisionllama publish", description=__doc__)
    parser.add_argument("checkpoint", help=MODEL)
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
    parser.add_argument(
        "--dtype", metavar="DTYPE", help="round the weights to float16 or bfloat16 (default: as they are)"
    )
    parser.add_argument(
        "--measure", metavar="CONFIG", help="test these weights by this config, for the metrics of the card"
    )
    parser.add_argument("--command", help="what trained the model, for the card")
    parser.add_argument(
        "--zoo",
        type=Path,
        metavar="FILE.json",
        help="add a row to this file, and to the table in the .md beside it",
    )
    return parser


@command(build_parser, interrupted="nothing is published")
def main(args: argparse.Namespace) -> None:
    """Publish."""
    from mmvisionllama.inference.publishing import publish

    print(publish(**vars(args)))
