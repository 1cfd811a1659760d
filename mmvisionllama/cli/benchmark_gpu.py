"""Check and measure trainings on a GPU within a few minutes, most important first, and write a report."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import command
from mmvisionllama.cli.numbers import whole


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of report.md, records.jsonl and logs")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda", help="cpu: to try the code")
    parser.add_argument(
        "--size", choices=("full", "small"), default="full", help="small: tiny models, to try the code"
    )
    parser.add_argument("--seconds", type=whole(), default=450, help="for everything (default: %(default)s)")
    parser.add_argument(
        "--models", nargs="+", metavar="WORD", help="measure models with these words in their names alone"
    )
    parser.add_argument(
        "--tasks", nargs="*", metavar="WORD", help="check tasks with these words in their names alone"
    )
    return parser


@command(build_parser, interrupted="report.md has what was reached")
def main(args: argparse.Namespace) -> None:
    """Run all parts and say where the report lies."""
    import torch

    from mmvisionllama.benchmark.gpu import benchmark_gpu
    from mmvisionllama.benchmark.gpu.correctness import TASKS
    from mmvisionllama.benchmark.gpu.subjects import subjects
    from mmvisionllama.errors import LaunchError

    if args.device == "cuda" and not torch.cuda.is_available():
        raise LaunchError("torch sees no GPU here; --device cpu --size small tries the code without one")
    known = [x.name for x in subjects(args.size)]
    if args.models and not any(word in name for word in args.models for name in known):
        raise LaunchError(f"--models: no name has {' or '.join(args.models)}. Known are {'; '.join(known)}")
    tasks = [x for x in TASKS if args.tasks is None or any(word in x for word in args.tasks)]
    options = dict(device=args.device, scale=args.size, seconds=args.seconds, names=args.models)
    page = benchmark_gpu(args.out, tasks=tasks, **options)
    print(page.read_text())
    print(f"Written: {page} and {page.with_name('records.jsonl')}")
