"""Analyse the errors in predictions that a test has saved: by class, by kind, image by image."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmvisionllama.cli.common import command
from mmvisionllama.cli.numbers import Number

if TYPE_CHECKING:
    from mmvisionllama.evaluation.saved_predictions import SavedPredictions
    from mmvisionllama.run_reports.error_analysis import Errors


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        prog="mmvisionllama errors",
        description="Analyse the errors in predictions that tools/test.sh CONFIG CHECKPOINT --predictions "
        "DIR has saved: errors.html and errors.json. Neither a GPU nor the model is needed.",
    )
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="that folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder (default: PREDICTIONS)")
    add_score_option(parser)
    return parser


def add_score_option(parser: argparse.ArgumentParser) -> None:
    """Add from which score on detections are counted."""
    parser.add_argument(
        "--score-thr",
        type=Number(float, 0, 1),
        default=0.3,
        help="count detections from this score on (default: 0.3)",
    )


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Analyse."""
    from mmvisionllama.evaluation.saved_predictions import read_predictions
    from mmvisionllama.files import from_here
    from mmvisionllama.run_reports.error_analysis import FILES, error_files
    from mmvisionllama.run_reports.pages import require_free, write_pages

    saved = read_predictions(args.predictions)
    out = args.out or saved.folder
    require_free(out, FILES)
    errors = found_errors(saved, args.score_thr)
    written = write_pages(out, error_files(saved, errors))
    print(f"{saved.task}, {len(saved.images):,} images: {', '.join(map(from_here, written))}")


def found_errors(saved: "SavedPredictions", score_thr: float) -> "Errors":
    """Find the errors, and show how far that is where it takes time."""
    from mmvisionllama.reports.progress import progress
    from mmvisionllama.run_reports.error_analysis import amount_of_work, analyse

    total = amount_of_work(saved)
    with progress("analysing", total, shown=total > 0) as advance:
        return analyse(saved, score_thr, advance)
