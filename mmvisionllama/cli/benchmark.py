"""Compare the speed, memory and size of backbones or detectors in one interleaved run.

The first model is the reference of the ratios (above 1: faster than it):

    python tools/benchmark.py "mmpretrain.DeiT3(arch='small', img_size=224)" \
        "mmvisionllama.VisionLLaMA(arch='small')" --size 224 --batch 8
    python tools/benchmark.py configs/det/vit_vitdet_coco_100e.py \\
        "configs/det/visionllama_vitdet_coco.py model.backbone.with_cp=True" --whole --size 1024 --batch 1
    python tools/benchmark.py configs/gen/dit_visionllama_base_p4_in1k_256.py --sample 10 --cfg-scale 4
"""

import argparse
import json
import os
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmvisionllama.cli.common import command, progress_bar
from mmvisionllama.cli.numbers import SIDE, Number, whole


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="config files, or registered types written as calls")
    parser.add_argument("--whole", action="store_true", help="detectors with losses, not backbones alone")
    parser.add_argument(
        "--sample",
        type=whole(),
        metavar="STEPS",
        help="sampling of a generator's network by DDIM, beside diffusers' DiT of its size",
    )
    parser.add_argument(
        "--cfg-scale", type=Number(float, 1, 10**9), default=1.0, help="guidance of --sample (default: none)"
    )
    parser.add_argument("--size", type=SIDE, nargs="+", default=[224], help="image side, or height and width")
    parser.add_argument("--batch", type=whole(), default=8)
    parser.add_argument("--modes", nargs="+", choices=("forward", "train"), default=["forward", "train"])
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    parser.add_argument(
        "--threads", type=whole(1, 4096), default=os.cpu_count(), help="CPU threads of each model"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile every model")
    parser.add_argument("--amp", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--rounds", type=whole(), default=15)
    parser.add_argument("--warmup", type=whole(0), default=3, help="uncounted rounds first")
    parser.add_argument("--out", type=Path, help="also write every figure as JSON")
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Measure, print a table for every mode and write the figures."""
    import torch

    from mmvisionllama.benchmark import Setting, measure, parse_model
    from mmvisionllama.errors import LaunchError

    console = Console()
    if args.sample:
        return _sampling(args, console)
    if len(args.size) > 2:
        raise LaunchError(f"--size takes a side, or height and width, got {len(args.size)} numbers")
    models = [parse_model(text, whole=args.whole) for text in args.models]
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    report = []
    for mode in args.modes:
        size = (args.size * 2)[:2]
        setting = Setting(mode, tuple(size), args.batch, device, args.threads, args.compile, args.amp)
        with progress_bar(console) as show:
            options = dict(rounds=args.rounds, warmup=args.warmup, progress=partial(show, mode))
            figures = measure(models, setting, **options)
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


def _sampling(args: argparse.Namespace, console: Console) -> None:
    """Measure the sampling of one config's network."""
    import torch

    from mmvisionllama.benchmark.sampling_speed import (
        SamplingSetting,
        measure_sampling,
        network_of,
    )
    from mmvisionllama.errors import LaunchError

    if len(args.models) > 1:
        raise LaunchError(f"--sample takes one config file, got {len(args.models)}")
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(args.threads)
    setting = SamplingSetting(args.sample, args.batch, args.cfg_scale, device, args.amp)
    options = dict(rounds=args.rounds, warmup=args.warmup, compile=args.compile)
    found = measure_sampling(network_of(args.models[0]), setting, **options)
    title = f"{args.sample} steps of DDIM, guidance {args.cfg_scale:g}, batch {args.batch}, {device}"
    table = Table("", "parameters", "images/s", "ratio", "quartiles", title=title)
    for way in found.seconds:
        low, ratio, high = found.rate_against(way, "diffusers")
        count = found.parameters[way.partition(",")[0]]
        rate = f"{found.images_per_second(way):.3g}"
        table.add_row(way, f"{count / 1e6:.2f} M", rate, f"{ratio:.3f}", f"{low:.2f}-{high:.2f}")
    console.print(table)
    if args.out:
        args.out.write_text(json.dumps(dict(arguments=vars(args) | dict(out=str(args.out)), **vars(found))))
