"""Evaluate a checkpoint by the test section of a config; tools/test.sh starts one process for every GPU."""

import argparse
import sys
from pathlib import Path

from _command import add_run_options, run


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line, which is frozen: settings belong into the config."""
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint by the test section of a config.")
    parser.add_argument("config", help="config file that the model was trained with")
    parser.add_argument("checkpoint", help="file or http(s) address of the weights")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the metrics into this file")
    parser.add_argument("--show-dir", type=Path, help="draw predictions beside the truth into this folder")
    add_run_options(parser, "test")
    return parser


if __name__ == "__main__":
    sys.exit(run("test", build_parser().parse_args()))
