"""Push a published model to the hub of Hugging Face."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import command


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(prog="mmvisionllama push", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="that mmvisionllama publish has written")
    parser.add_argument("name", metavar="OWNER/NAME", help="of the repository, which is made if not there")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    return parser


@command(build_parser, interrupted="what was not committed is not on the hub")
def main(args: argparse.Namespace) -> None:
    """Push."""
    from mmvisionllama.inference.hub import push

    print(push(args.folder, args.name, private=args.private))
