"""Compare runs: curves over one another, best metrics, differences of configs, hardware, speed."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import command
from mmvisionllama.errors import UserError


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        prog="mmvisionllama compare",
        description="Compare trainings by their work directories, also of runs that are still going or were "
        "killed: comparison.html (one file that needs no network), comparison.md, "
        "and pictures of the curves by step and by time.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="work directory of a training")
    parser.add_argument(
        "--out", type=Path, default=Path("comparison"), metavar="DIR", help="folder (default: %(default)s)"
    )
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Compare."""
    from mmvisionllama.files import from_here
    from mmvisionllama.run_reports.comparison import FILES, compare, comparison_files
    from mmvisionllama.run_reports.pages import require_free, write_pages
    from mmvisionllama.run_reports.work_directory import read_runs

    if len(args.runs) < 2:
        raise UserError(f"compare needs two runs or more; mmvisionllama report {args.runs[0]} shows one")
    require_free(args.out, FILES)
    page = compare(read_runs(args.runs))
    written = write_pages(args.out, comparison_files(page))
    print(f"{page.lead} {', '.join(map(from_here, written))}")
