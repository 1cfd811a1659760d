"""Predict images by a trained model: pictures, and a file with all numbers."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import MODEL, command
from mmvisionllama.cli.numbers import SIDE, Number, whole
from mmvisionllama.errors import ExitStatus


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        prog="mmvisionllama predict",
        description="Predict images by a trained model: a picture of each, and one file with all numbers. "
        "Ends with status 1 if images could not be read; the others are predicted all the same.",
    )
    parser.add_argument("checkpoint", help=MODEL)
    parser.add_argument("images", nargs="+", help="files, folders, or patterns such as 'photos/*.jpg'")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for pictures and numbers"
    )
    parser.add_argument("--config", help="where the checkpoint keeps no config, as converted weights")
    parser.add_argument(
        "--batch-size", type=whole(), help="images at once (default: as in the training's test)"
    )
    parser.add_argument(
        "--tile",
        type=SIDE,
        metavar="PX",
        help="cut large images into overlapping tiles of this side, each predicted as an image of its size, "
        "and join the results (segmentation, detection)",
    )
    parser.add_argument(
        "--overlap",
        type=Number(float, 0, 0.9),
        default=0.25,
        help="share of a tile that neighbours have in common (default: 0.25)",
    )
    parser.add_argument(
        "--score-thr",
        type=Number(float, 0, 1),
        default=0.3,
        help="leave objects of a lower score out (default: 0.3)",
    )
    parser.add_argument("--device", help="e.g. cpu or cuda:1 (default: a GPU where there is one)")
    formats = parser.add_mutually_exclusive_group()
    for name, told in {
        "json": "write predictions.json (the default)",
        "csv": "write predictions.csv",
        "coco": "write coco_results.json, for detectors",
    }.items():
        formats.add_argument(f"--{name}", dest="format", action="store_const", const=name, help=told)
    parser.set_defaults(format="json")
    return parser


@command(build_parser, interrupted="the pictures that were drawn are there, the numbers are not")
def main(args: argparse.Namespace) -> int:
    """Predict."""
    from mmvisionllama.inference.input_images import open_images
    from mmvisionllama.inference.prediction_files import write_predictions
    from mmvisionllama.inference.tiling import Tiling
    from mmvisionllama.inference.trained_model import load
    from mmvisionllama.reports.progress import progress

    images = open_images(args.images)
    model = load(args.checkpoint, config=args.config, device=args.device)
    with progress("images", len(images)) as advance:
        written = write_predictions(
            model,
            images,
            args.out,
            batch_size=args.batch_size,
            score_thr=args.score_thr,
            format=args.format,
            tiling=None if args.tile is None else Tiling(args.tile, args.overlap),
            advance=advance,
        )
    for error in written.unreadable:
        print(f"not predicted: {error}")
    print(f"{len(written.pictures):,} of {len(images):,} images: {written.file}, pictures in {args.out}")
    return ExitStatus.FAILED if written.unreadable else ExitStatus.FINISHED
