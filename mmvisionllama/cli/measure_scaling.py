"""Measure how many more images a second several processes train with than one, by DDP and by FSDP, on CPUs.

    python tools/measure_scaling.py "mmvisionllama.VisionLLaMA(arch='tiny', img_size=64)" --size 64 --batch 8

Every process has one thread and computes --batch images; the ways take turns, step by step.
"""

import argparse

from rich.console import Console
from rich.table import Table

from mmvisionllama.cli.common import command
from mmvisionllama.cli.numbers import SIDE, whole


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a config file, or a registered type of this package written as a call")
    parser.add_argument("--processes", type=whole(2, 4096), default=2)
    parser.add_argument("--size", type=SIDE, default=224, help="image side")
    parser.add_argument("--batch", type=whole(), default=8, help="images of a process")
    parser.add_argument("--rounds", type=whole(), default=30)
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Measure, and print a row for every way."""
    from mmvisionllama.benchmark.model_specs import parse_model
    from mmvisionllama.benchmark.process_scaling import WAYS, measure_scaling

    options = dict(processes=args.processes, size=args.size, batch=args.batch, rounds=args.rounds)
    found = measure_scaling(parse_model(args.model), **options)
    table = Table("", "steps/s", "images/s", "of one process", "quartiles")
    for way in WAYS:
        rate = found.images_per_second(way)
        processes = 1 if way == WAYS[0] else args.processes
        low, median, high = found.speed_up(way) if processes > 1 else (1.0, 1.0, 1.0)
        name = way if processes == 1 else f"{way}, {processes} processes"
        steps = rate / args.batch / processes
        table.add_row(name, f"{steps:.3g}", f"{rate:.3g}", f"{median:.2f}", f"{low:.2f}-{high:.2f}")
    Console().print(table)
