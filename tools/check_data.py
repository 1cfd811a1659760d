"""Check the data sets of a config, for every task, and report all that is wrong at once."""

import argparse
import sys
from collections.abc import Sequence

from mmengine.config import DictAction

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, e.g. configs/det/visionllama_vitdet_coco.py")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was looked at, what a run would leave out, and what would stop it; return the exit code."""
    args = build_parser().parse_args(arguments)

    from mmvisionllama import compat

    compat.prepare()

    from rich.console import Console

    from mmvisionllama.config import load_config
    from mmvisionllama.datasets.checks import check_data
    from mmvisionllama.engine.launch import USER_ERRORS
    from mmvisionllama.engine.preflight import build_model, size_check_of

    console = Console(highlight=False, soft_wrap=True)
    try:
        cfg = load_config(args.config, args.cfg_options)
        checked = check_data(cfg, *LOADERS, size_check=size_check_of(build_model(cfg)))
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    fatal = [problem for problem in checked.problems if problem.fatal]
    for line in checked.looked_at:
        console.print(line, markup=False)
    for problem in checked.problems:
        style, word = ("bold red", "error") if problem.fatal else ("yellow", "note")
        console.print(f"{word}: {problem}", style=style, markup=False)
    console.print(f"{len(fatal)} errors, {len(checked.problems) - len(fatal)} notes")
    return 1 if fatal else 0


if __name__ == "__main__":
    sys.exit(main())
