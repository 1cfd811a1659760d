"""Check the command line and the config of a training, and print the config's name and the work directory."""

import argparse
import contextlib
import sys
from pathlib import Path

from mmvisionllama.cli.common import command
from mmvisionllama.cli.train import build_parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Print both, each on a line."""
    with contextlib.redirect_stdout(sys.stderr):  # what the hosts print while they are imported is no answer
        from mmvisionllama.config import load_config

        cfg = load_config(args.config, args.cfg_options)
    print(Path(cfg.filename).stem)
    print(args.work_dir or cfg.work_dir)
