"""Print what every model size sends and holds on 8, 64 and 512 GPUs: the tables of docs/scale.md."""

import argparse

from mmvisionllama.cli.common import command


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line, which has no options."""
    return argparse.ArgumentParser(description=__doc__)


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Print the tables."""
    from mmvisionllama.benchmark.scale_estimates import tables

    print(tables())
