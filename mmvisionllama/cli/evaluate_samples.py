"""Hold generated images against real ones: FID, sFID, Inception Score, precision, recall, class accuracy.

    tools/evaluate_samples.py samples.npz --reference VIRTUAL_imagenet256_labeled.npz --features inception
    tools/evaluate_samples.py samples/ --reference configs/toy/dit_visionllama_tiny_mnist.py \\
        --features configs/toy/visionllama_tiny_mnist.py:work_dirs/visionllama_tiny_mnist/iter_1500.pth
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmvisionllama.cli.common import command, progress_bar
from mmvisionllama.cli.numbers import whole


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("samples", help=".npz file (arr_0, arr_1) or folder of PNG files")
    parser.add_argument(
        "--reference",
        required=True,
        help=".npz file of images or of ADM's statistics, folder of PNGs, or config (its validation split)",
    )
    parser.add_argument(
        "--features",
        required=True,
        help="'inception', 'inception:WEIGHTS', or 'CONFIG:CHECKPOINT' of a classifier",
    )
    parser.add_argument(
        "--metrics", nargs="+", metavar="NAME", help="default: all that the features are good for"
    )
    parser.add_argument(
        "--batch-size", type=whole(), default=50, help="images at a time (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="report, a .json file (default: none)")
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Evaluate, print a table and write the report."""
    import torch

    from mmvisionllama import evaluation
    from mmvisionllama.errors import EvaluationError
    from mmvisionllama.files import write_json
    from mmvisionllama.registry import build_component

    console = Console(highlight=False, soft_wrap=True)
    if args.out is not None and (args.out.suffix != ".json" or args.out.is_dir()):
        raise EvaluationError(f"--out {args.out}: give the name of a .json file")
    samples = evaluation.open_images(args.samples)
    info = evaluation.read_info(Path(samples.name))
    reference = evaluation.open_reference(args.reference)
    extractor = build_component(evaluation.parse_features(args.features))
    extractor.to("cuda" if torch.cuda.is_available() else "cpu")
    with progress_bar(console) as show:
        options = dict(info=info, metrics=args.metrics, batch_size=args.batch_size, progress=show)
        found = evaluation.evaluate(samples, reference, extractor, **options)

    facts = evaluation.as_facts(samples, reference, extractor, found, info)
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in found.metrics.items():
        table.add_row(name, f"{value:.4f}")
    table.add_section()
    for name, value in facts["sampling"].items():
        table.add_row(name, "unknown" if value is None else str(value))
    table.add_section()
    for name in ("samples", "reference"):
        known = [f"{key} {value}" for key, value in facts[name].items() if value is not None]
        table.add_row(name, ", ".join(known))
    table.add_row("features", extractor.title)
    console.print(table)
    for remark in found.remarks:
        console.print(f"note: {remark}", style="yellow", markup=False)
    if args.out is not None:
        write_json(args.out, facts)
        console.print(args.out)
