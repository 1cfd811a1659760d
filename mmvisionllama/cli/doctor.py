"""Say what of the environment works, and the exact command that mends what does not."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmvisionllama import __version__
from mmvisionllama.checks.environment import findings


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line, which has no options."""
    return argparse.ArgumentParser(prog="python -m mmvisionllama.doctor", description=__doc__)


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Print the report; return 0 where everything required works. It needs no library but Python's own."""
    parser = build_parser()
    parser.prog = prog or parser.prog
    parser.parse_args(arguments)
    broken = 0
    print(f"mmvisionllama {__version__}")
    for finding in findings():
        broken += finding.mark == "FAIL"
        print(finding, flush=True)
    print(f"{broken} of these need a fix; go from top to bottom" if broken else "everything required works")
    return int(broken > 0)
