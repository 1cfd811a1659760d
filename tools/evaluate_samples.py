"""Hold generated images against real ones: FID, sFID, Inception Score, precision, recall, class accuracy.

    tools/evaluate_samples.py samples.npz --reference VIRTUAL_imagenet256_labeled.npz --features inception
    tools/evaluate_samples.py samples/ --reference configs/gen/dit_visionllama_tiny_mnist.py \\
        --features configs/cls/visionllama_tiny_mnist.py:work_dirs/visionllama_tiny_mnist/iter_1500.pth
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


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
    parser.add_argument("--batch-size", type=int, default=50, help="images at a time (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="report, a .json file (default: none)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate, print a table and write the report; return the exit code."""
    args = build_parser().parse_args(arguments)

    from mmvisionllama import compat

    compat.prepare()

    import torch
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from mmvisionllama import evaluation
    from mmvisionllama.engine.launch import USER_ERRORS
    from mmvisionllama.engine.reports import as_json, replaced_when_whole
    from mmvisionllama.registry import build_component

    console = Console(highlight=False, soft_wrap=True)
    try:
        if args.out is not None and (args.out.suffix != ".json" or args.out.is_dir()):
            raise evaluation.EvaluationError(f"--out {args.out}: give the name of a .json file")
        if args.batch_size < 1:
            raise evaluation.EvaluationError(f"--batch-size must be at least 1, got {args.batch_size}")
        samples = evaluation.open_images(args.samples)
        info = evaluation.read_info(Path(samples.name))
        reference = evaluation.open_reference(args.reference)
        extractor = build_component(evaluation.parse_features(args.features))
        extractor.to("cuda" if torch.cuda.is_available() else "cpu")
        with Progress(console=console, transient=True) as bars:
            tasks = {}

            def show(what: str, done: int, total: int) -> None:
                task = tasks.get(what)
                if task is None:
                    task = tasks[what] = bars.add_task(what, total=total)
                bars.update(task, completed=done)

            options = dict(info=info, metrics=args.metrics, batch_size=args.batch_size, progress=show)
            found = evaluation.evaluate(samples, reference, extractor, **options)
    except (*USER_ERRORS, evaluation.EvaluationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

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
        with replaced_when_whole(args.out) as path:
            path.write_text(as_json(facts))
        console.print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
