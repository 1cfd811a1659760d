"""Train a model from a config, on all visible GPUs or in one process on the CPU."""

import argparse

from mmvisionllama.cli.common import add_run_options, add_track_option, command
from mmvisionllama.cli.numbers import OrWord, whole


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line, which is frozen: settings belong into the config."""
    parser = argparse.ArgumentParser(description="Train a model from a config.")
    parser.add_argument(
        "config", help="config file, e.g. configs/toy/visionllama_tiny_upernet_digitscenes.py"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|PATH",
        help="continue from the last checkpoint of the work directory if there is one (auto), or from PATH",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="begin anew in a work directory that holds results; they are moved into a folder "
        "overwritten_<time> there",
    )
    parser.add_argument(
        "--global-batch",
        type=whole(),
        metavar="IMAGES",
        help="images of an optimizer step over all processes (default: what the config states); the learning "
        "rate is scaled in proportion, the accumulation follows",
    )
    parser.add_argument(
        "--batch",
        type=OrWord(whole(), "auto"),
        metavar="N|auto",
        help="images that a device takes at once, of which several may make a step (default: the config's); "
        "auto: as many as find room in memory, which is measured and remembered",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="make a few steps and one validation batch on the real data, estimate memory and time of the "
        "whole training, and leave nothing behind",
    )
    parser.add_argument(
        "--gpus",
        type=whole(1, 1_000_000),
        metavar="N",
        help="with --dry-run, on one device: what each of N processes would do, hold and send",
    )
    parser.add_argument(
        "--steps",
        type=whole(),
        metavar="N",
        help="a short trial of the recipe: N steps in all; schedules, warm-up, validation and saving follow",
    )
    add_track_option(parser)
    add_run_options(parser, "training")
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Train."""
    from mmvisionllama.training.launch import train

    train(**vars(args))
