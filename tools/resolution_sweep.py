"""Evaluate one classifier at many image sizes, with auto-scaled positions and without."""

import argparse
import sys
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
    parser.add_argument("--out", type=Path, help="folder (default: work_dirs/<config>/resolution)")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser


def main() -> int:
    """Run the sweep, print its table, and write it as JSON and as a curve; return the exit code."""
    args = build_parser().parse_args()

    from mmvisionllama import compat

    compat.prepare()

    from mmengine.utils import to_2tuple
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from mmvisionllama.checkpoint import CheckpointError
    from mmvisionllama.config import ConfigError, load_config
    from mmvisionllama.engine.reports import as_json, replaced_when_whole, write_png
    from mmvisionllama.engine.resolution import POSITIONS, draw_sweep, label, parse_size, sweep

    console = Console()
    results = []
    try:
        sizes = [parse_size(text) for text in args.sizes]
        cfg = load_config(args.config, args.cfg_options)
        out = args.out or Path(cfg.work_dir) / "resolution"
        with Progress(console=console, transient=True) as bars:
            task = bars.add_task("", total=None)
            table = Table("size, px", "positions")

            def show(done: int, total: int) -> None:
                kind = POSITIONS[len(results) % 2]
                text = f"{label(sizes[len(results) // 2])} {kind} ({len(results) + 1}/{2 * len(sizes)})"
                bars.update(task, completed=done, total=total, description=text)

            for result in sweep(cfg, args.checkpoint, sizes, show):
                results.append(result)
    except (ConfigError, CheckpointError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    names = list(results[0].metrics)
    for name in names:
        table.add_column(name)
    for result in results:
        values = [f"{result.metrics[name]:.2f}" for name in names]
        table.add_row(label(result.size), result.positions, *values)
    console.print(table)

    train_size = to_2tuple(cfg.model.backbone.get("img_size", 224))
    rows = [dict(size=label(x.size), positions=x.positions, metrics=x.metrics) for x in results]
    with replaced_when_whole(out / "resolution.json") as path:
        path.write_text(as_json(dict(config=args.config, checkpoint=args.checkpoint, results=rows)))
    write_png(draw_sweep(results, names[0], train_size), out / "resolution.png")
    console.print(f"{out / 'resolution.png'}\n{out / 'resolution.json'}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
