"""Measure how many more images a second several processes train with than one, by DDP and by FSDP, on CPUs.

    python tools/measure_scaling.py "mmvisionllama.VisionLLaMA(arch='tiny', img_size=64)" --size 64 --batch 8

Every process has one thread and computes --batch images; the ways take turns, step by step.
"""

import argparse

from rich.console import Console
from rich.table import Table

from mmvisionllama import compat


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a config file, or a registered type of this package written as a call")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--size", type=int, default=224, help="image side")
    parser.add_argument("--batch", type=int, default=8, help="images of a process")
    parser.add_argument("--rounds", type=int, default=30)
    return parser


def main(arguments: list[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    compat.prepare()

    from mmvisionllama.benchmark.scaling import WAYS, measure_scaling
    from mmvisionllama.benchmark.specs import parse_model

    options = dict(processes=args.processes, size=args.size, batch=args.batch, rounds=args.rounds)
    try:
        found = measure_scaling(parse_model(args.model), **options)
    except ValueError as error:
        Console(stderr=True).print(f"error: {error}", markup=False)
        return 2
    table = Table("", "steps/s", "images/s", "of one process", "quartiles")
    for way in WAYS:
        rate = found.images_per_second(way)
        processes = 1 if way == WAYS[0] else args.processes
        low, median, high = found.speed_up(way) if processes > 1 else (1.0, 1.0, 1.0)
        name = way if processes == 1 else f"{way}, {processes} processes"
        steps = rate / args.batch / processes
        table.add_row(name, f"{steps:.3g}", f"{rate:.3g}", f"{median:.2f}", f"{low:.2f}-{high:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
