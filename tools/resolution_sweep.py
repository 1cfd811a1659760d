"""Evaluate one classifier at many image sizes, with positions of several kinds."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction


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
        help="AS2DRoPE, RoPE2D, or NTKRoPE2D:ALPHA for a base ALPHA times as large (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, help="folder (default: work_dirs/<config>/resolution)")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sweep, print its table, and write it as JSON and as a curve; return the exit code."""
    args = build_parser().parse_args(arguments)

    from mmvisionllama import compat

    compat.prepare()

    from mmengine.utils import to_2tuple
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from mmvisionllama.config import load_config
    from mmvisionllama.engine.launch import USER_ERRORS
    from mmvisionllama.engine.reports import as_json, replaced_when_whole, write_png
    from mmvisionllama.engine.resolution import draw_sweep, label, parse_positions, parse_size, sweep

    console = Console()
    results = []
    try:
        sizes = list(dict.fromkeys(parse_size(text) for text in args.sizes))
        positions = list(dict.fromkeys(parse_positions(text) for text in args.positions))
        cfg = load_config(args.config, args.cfg_options)
        with Progress(console=console, transient=True) as bars:
            task = bars.add_task("", total=None)

            def show(done: int, total: int) -> None:
                turn, kind = divmod(len(results), len(positions))
                count = f"({len(results) + 1}/{len(sizes) * len(positions)})"
                text = f"{label(sizes[turn])} {positions[kind]} {count}"
                bars.update(task, completed=done, total=total, description=text)

            for result in sweep(cfg, args.checkpoint, sizes, positions, show):
                results.append(result)
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

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
    with replaced_when_whole(out / "resolution.json") as path:
        path.write_text(as_json(dict(config=args.config, checkpoint=args.checkpoint, results=rows)))
    write_png(draw_sweep(results, names[0], train_size), out / "resolution.png")
    console.print(f"{out / 'resolution.png'}\n{out / 'resolution.json'}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
