"""Train a model from a config; tools/train.sh starts one process of this for every GPU."""

import argparse
import sys

from _command import add_run_options, run


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line, which is frozen: settings belong into the config."""
    parser = argparse.ArgumentParser(description="Train a model from a config.")
    parser.add_argument(
        "config", help="config file, e.g. configs/seg/visionllama_tiny_upernet_digitscenes.py"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|PATH",
        help="continue from the last checkpoint of the work directory if there is one (auto), or from PATH",
    )
    parser.add_argument(
        "--global-batch",
        type=int,
        metavar="IMAGES",
        help="images of an optimizer step over all processes (default: what the config states); the learning "
        "rate is scaled in proportion, the accumulation follows",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="make a few steps and one validation batch on the real data, estimate memory and time of the "
        "whole training, and leave nothing behind",
    )
    add_run_options(parser, "training")
    return parser


if __name__ == "__main__":
    sys.exit(run("train", build_parser().parse_args()))
