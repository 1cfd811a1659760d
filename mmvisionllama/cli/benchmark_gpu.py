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
    return parser


@command(build_parser, interrupted="report.md has what was reached")
def main(args: argparse.Namespace) -> None:
    """Run all parts and say where the report lies."""
    import torch

    from mmvisionllama.benchmark.gpu import benchmark_gpu
    from mmvisionllama.errors import LaunchError

    if args.device == "cuda" and not torch.cuda.is_available():
        raise LaunchError("torch sees no GPU here; --device cpu --size small tries the code without one")
    page = benchmark_gpu(args.out, device=args.device, scale=args.size, seconds=args.seconds)
    print(page.read_text())
    print(f"Written: {page} and {page.with_name('records.jsonl')}")
