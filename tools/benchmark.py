"""Compare the speed, memory and size of backbones or detectors in one interleaved run.

The first model is the reference of the ratios (above 1: faster than it):

    python tools/benchmark.py "mmpretrain.DeiT3(arch='small', img_size=224)" \
        "mmvisionllama.VisionLLaMA(arch='small')" --size 224 --batch 8
    python tools/benchmark.py configs/det/vit_vitdet_coco_100e.py \\
        "configs/det/visionllama_vitdet_coco.py model.backbone.with_cp=True" --whole --size 1024 --batch 1
"""

import argparse
import json
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from mmvisionllama import compat


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="config files, or registered types written as calls")
    parser.add_argument("--whole", action="store_true", help="detectors with losses, not backbones alone")
    parser.add_argument("--size", type=int, nargs="+", default=[224], help="image side, or height and width")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--modes", nargs="+", choices=("forward", "train"), default=["forward", "train"])
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads of each model")
    parser.add_argument("--compile", action="store_true", help="torch.compile every model")
    parser.add_argument("--amp", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--warmup", type=int, default=3, help="uncounted rounds first")
    parser.add_argument("--out", type=Path, help="also write every figure as JSON")
    args = parser.parse_args()
    if len(args.size) > 2 or min(args.size) < 1 or args.batch < 1 or args.rounds < 1:
        parser.error("--size takes one or two positive numbers; --batch and --rounds are positive")
    return args


def main() -> None:
    args = parse_args()
    compat.prepare()
    import torch

    from mmvisionllama.benchmark import Setting, measure, parse_model

    console = Console()
    try:
        models = [parse_model(text, whole=args.whole) for text in args.models]
    except ValueError as error:
        sys.exit(f"error: {error}")
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    report = []
    for mode in args.modes:
        size = (args.size * 2)[:2]
        setting = Setting(mode, tuple(size), args.batch, device, args.threads, args.compile, args.amp)
        bars = (*Progress.get_default_columns()[:3], TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*bars, console=console, transient=True) as progress:
            task = progress.add_task(mode, total=args.warmup + args.rounds)
            figures = measure(
                models,
                setting,
                rounds=args.rounds,
                warmup=args.warmup,
                progress=lambda done, total, bar=progress, task=task: bar.update(task, completed=done),
            )
        style = f"{'compiled' if args.compile else 'eager'}{', bfloat16' if args.amp else ''}"
        title = f"{mode}, {size[0]} x {size[1]} px, batch {args.batch}, {device}, {style}"
        table = Table("model", "parameters", "images/s", "ratio", "quartiles", "peak MiB", title=title)
        for text, figure in zip(args.models, figures, strict=True):
            rate, (low, ratio, high) = figure.images_per_second(args.batch), figure.rate_against(figures[0])
            memory, quartiles = f"{figure.memory / 2**20:,.0f}", f"{low:.2f}-{high:.2f}"
            size_text = f"{figure.parameters / 1e6:.2f} M"
            table.add_row(text, size_text, f"{rate:.3g}", f"{ratio:.3f}", quartiles, memory)
            numbers = dict(images_per_second=rate, ratio=ratio, ratio_quartiles=(low, high))
            report.append(dict(model=text, mode=mode, **numbers, **vars(figure)))
        console.print(table)
    if args.out:
        args.out.write_text(json.dumps(dict(arguments=vars(args) | dict(out=str(args.out)), results=report)))


if __name__ == "__main__":
    main()
