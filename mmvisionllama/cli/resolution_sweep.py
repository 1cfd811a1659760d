"""Evaluate one classifier at many image sizes, with positions of several kinds."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmvisionllama.cli.common import add_cfg_options, command, progress_bar


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file that the model was trained with")
    parser.add_argument("checkpoint", help="file of the weights")
    parser.add_argument(
        "--sizes",
        nargs="+",
        default=["160", "224", "256", "288", "384", "512", "768"],
        metavar="SIZE",
        help="sides in pixels, or HEIGHTxWIDTH (default: %(default)s)",
    )
    parser.add_argument(
        "--positions",
        nargs="+",
        default=["AS2DRoPE", "RoPE2D"],
        metavar="KIND",
        help="AS2DRoPE, RoPE2D, NTKRoPE2D:ALPHA for a base ALPHA times as large, NTKRoPE2D:ALPHA:queries for "
        "that of the queries alone; RoPE1D, LearnedPosEmbed or SinCosPosEmbed of a model trained with it "
        "(default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, help="folder (default: work_dirs/<config>/resolution)")
    add_cfg_options(parser)
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Run the sweep, print its table, and write it as JSON and as a curve."""
    from mmengine.utils import to_2tuple

    from mmvisionllama.config import load_config
    from mmvisionllama.evaluation.resolution import draw_sweep, label, parse_positions, parse_size, sweep
    from mmvisionllama.files import write_json
    from mmvisionllama.reports.figures import write_figure

    console = Console()
    results = []
    sizes = list(dict.fromkeys(parse_size(text) for text in args.sizes))
    positions = list(dict.fromkeys(parse_positions(text) for text in args.positions))
    cfg = load_config(args.config, args.cfg_options)
    with progress_bar(console) as bar:

        def show(done: int, total: int) -> None:
            turn, kind = divmod(len(results), len(positions))
            count = f"({len(results) + 1}/{len(sizes) * len(positions)})"
            bar(f"{label(sizes[turn])} {positions[kind]} {count}", done, total)

        for result in sweep(cfg, args.checkpoint, sizes, positions, show):
            results.append(result)

    names = list(results[0].metrics)
    table = Table("size, px", "positions", *names)
    for result in results:
        values = [f"{result.metrics[name]:.2f}" for name in names]
        first, last = (result.positions == positions[i] for i in (0, -1))
        table.add_row(label(result.size) if first else "", str(result.positions), *values, end_section=last)
    console.print(table)

    out = args.out or Path(cfg.work_dir) / "resolution"
    train_size = to_2tuple(cfg.model.backbone.get("img_size", 224))
    rows = [dict(size=label(x.size), positions=str(x.positions), metrics=x.metrics) for x in results]
    write_json(out / "resolution.json", dict(config=args.config, checkpoint=args.checkpoint, results=rows))
    write_figure(draw_sweep(results, names[0], train_size), out / "resolution.png")
    console.print(f"{out / 'resolution.png'}\n{out / 'resolution.json'}", highlight=False)
