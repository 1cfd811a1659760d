"""Report on one run: everything about it on one HTML page."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import command
from mmvisionllama.cli.errors import add_score_option, found_errors


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        prog="mmvisionllama report",
        description="Put everything of a training on one page, report.html, which needs no network: what it "
        "was, curves, pictures, results of each class, worst and best images, and what happened.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="work directory of a training")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="DIR",
        help="what test --predictions has saved of its model (default: RUN/predictions, where that is there)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the page (default: RUN)")
    add_score_option(parser)
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Report."""
    from mmvisionllama.evaluation.saved_predictions import PREDICTIONS, has_predictions, read_predictions
    from mmvisionllama.files import from_here
    from mmvisionllama.run_reports.pages import require_free, write_pages
    from mmvisionllama.run_reports.run_report import report
    from mmvisionllama.run_reports.work_directory import read_run
    from mmvisionllama.training.run_folder import PAGE

    run = read_run(args.run)
    folder, out = args.predictions or run.folder / PREDICTIONS, args.out or run.folder
    require_free(out, [PAGE])
    saved = errors = None
    if args.predictions is not None or has_predictions(folder):
        saved = read_predictions(folder)
        errors = found_errors(saved, args.score_thr)
    page = report(run, saved, errors)
    (written,) = write_pages(out, {PAGE: page.as_html()})
    print(f"{page.title}: {page.lead} {from_here(written)}")
