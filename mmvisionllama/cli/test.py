"""Evaluate a checkpoint by the test section of a config, on all visible GPUs or the CPU."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import add_run_options, command


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line, which is frozen: settings belong into the config."""
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint by the test section of a config.")
    parser.add_argument("config", help="config file that the model was trained with")
    parser.add_argument("checkpoint", help="file, http(s) address, or name of the weights")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the metrics into this file")
    parser.add_argument("--show-dir", type=Path, help="draw predictions beside the truth into this folder")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="DIR",
        help="save predictions and truth of every image in this folder, for mmvisionllama errors",
    )
    add_run_options(parser, "test")
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Evaluate."""
    from mmvisionllama.training.launch import test

    test(**vars(args))
