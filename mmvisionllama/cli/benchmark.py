"""Compare speed, memory and size of models, or the speed of training pipelines, in one interleaved run.

The first model is the reference of the ratios (above 1: faster than it):

    python tools/benchmark.py "mmpretrain.DeiT3(arch='small', img_size=224)" \
        "mmvisionllama.VisionLLaMA(arch='small')" --size 224 --batch 8
    python tools/benchmark.py configs/det/vit_vitdet_coco_100e.py \\
        "configs/det/visionllama_vitdet_coco.py model.backbone.with_cp=True" --whole --size 1024 --batch 1
    python tools/benchmark.py --data configs/cls/visionllama_mae_finetune_in1k.py --workers 2
    python tools/benchmark.py configs/gen/dit_visionllama_base_p4_in1k_256.py --sample 10 --cfg-scale 4
"""

import argparse
import json
import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from mmvisionllama.cli.common import command, progress_bar
from mmvisionllama.cli.numbers import SIDE, Number, whole

if TYPE_CHECKING:
    from mmvisionllama.benchmark import Timing


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="config files, or registered types written as calls")
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        metavar="CONFIG",
        help="measure training pipelines instead, beside timm's or torchvision's of the same policy",
    )
    parser.add_argument("--images", type=whole(), default=64, help="of a round of --data")
    parser.add_argument(
        "--repeats", type=whole(), default=1, help="how often --data loads each image in turn"
    )
    parser.add_argument(
        "--workers",
        type=whole(1, 1024),
        help="loading processes of --data: also through data loaders",
    )
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
    parser.add_argument(
        "--batch", type=whole(), default=8, help="images of a step, or of a batch of --workers"
    )
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
    """Measure, print tables and write the figures."""
    from mmvisionllama.errors import LaunchError

    if bool(args.models) == bool(args.data):
        raise LaunchError("give either models, or configs after --data whose training pipelines are measured")
    measure = _measure_data if args.data else _measure_sampling if args.sample else _measure_models
    report = measure(args, Console())
    if args.out:
        args.out.write_text(json.dumps(dict(arguments=vars(args) | dict(out=str(args.out)), results=report)))


def _measure_models(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    import torch

    from mmvisionllama.benchmark import Setting, measure, parse_model
    from mmvisionllama.errors import LaunchError

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
            rates, texts = _rates(figure, figures[0], args.batch)
            memory = f"{figure.memory / 2**20:,.0f}"
            table.add_row(text, f"{figure.parameters / 1e6:.2f} M", *texts, memory)
            report.append(dict(model=text, mode=mode, **rates, **vars(figure)))
        console.print(table)
    return report


def _measure_data(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    from mmvisionllama.benchmark.input_pipelines import (
        DECODING,
        measure_alone,
        measure_loaders,
        pipelines_of,
    )
    from mmvisionllama.benchmark.model_specs import read_config
    from mmvisionllama.benchmark.sample_images import QUALITY, SIZE, make_images, records_of

    configs = {text: read_config(text) for text in args.data}
    first = configs[args.data[0]]
    options = dict(rounds=args.rounds, warmup=args.warmup)
    report = []
    with TemporaryDirectory() as folder:
        records = records_of(first, args.images)
        source = "of the first config's data set"
        if records is None:
            records = make_images(Path(folder), args.images)
            source = f"made for this, JPEG of {SIZE[0]} x {SIZE[1]} px, quality {QUALITY}"
        count = len(records)
        records = [record for record in records for _ in range(args.repeats)]
        repeated = f", each {args.repeats} times in turn" if args.repeats > 1 else ""
        images = f"{count} images {source}{repeated}"
        pipelines = pipelines_of(configs)
        alone = [*pipelines, DECODING]
        ways = {"one process, processor time": (alone, partial(measure_alone, alone, records, **options))}
        if args.workers:
            given = dict(workers=args.workers, batch=args.batch)
            way = f"{args.workers} loading processes, batch {args.batch}, elapsed time"
            ways[way] = pipelines, partial(measure_loaders, pipelines, records, **given, **options)
        for way, (subjects, measured) in ways.items():
            with progress_bar(console) as show:
                figures = measured(progress=partial(show, way))
            table = Table("pipeline", "images/s", "ratio", "quartiles", title=f"{way}; {images}")
            for subject, figure in zip(subjects, figures, strict=True):
                rates, texts = _rates(figure, figures[0], len(records))
                table.add_row(subject.name, *texts)
                report.append(dict(pipeline=subject.name, way=way, images=images, **rates, **vars(figure)))
            console.print(table)
    return report


def _rates(figure: "Timing", first: "Timing", images: int) -> tuple[dict[str, Any], list[str]]:
    """Return images per second and their ratio to the first subject's, as numbers and as cells of a table."""
    rate, (low, ratio, high) = figure.images_per_second(images), figure.rate_against(first)
    numbers = dict(images_per_second=rate, ratio=ratio, ratio_quartiles=(low, high))
    rate_text = f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"
    return numbers, [rate_text, f"{ratio:.3f}", f"{low:.2f}-{high:.2f}"]


def _measure_sampling(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
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
    report = []
    for way in found.seconds:
        rate, (low, ratio, high) = found.images_per_second(way), found.rate_against(way, "diffusers")
        count = found.parameters[way.partition(",")[0]]
        table.add_row(way, f"{count / 1e6:.2f} M", f"{rate:.3g}", f"{ratio:.3f}", f"{low:.2f}-{high:.2f}")
        numbers = dict(images_per_second=rate, ratio=ratio, ratio_quartiles=(low, high))
        report.append(dict(way=way, **numbers, parameters=count, seconds=found.seconds[way]))
    console.print(table)
    return report
