"""Check the data sets of a config, for every task, and report all that is wrong at once."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mmvisionllama.cli.common import add_cfg_options, command

if TYPE_CHECKING:
    from mmvisionllama.checks.data_problems import DataProblem

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "config", help="config file, e.g. configs/det/visionllama_vitdet_coco.py, or a folder of shards"
    )
    parser.add_argument(
        "--verify", action="store_true", help="read all of sharded data, and compare their SHA-256"
    )
    add_cfg_options(parser)
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> int:
    """Print what was looked at, what a run would leave out, and what would stop it, which gives status 1."""
    from mmvisionllama.checks.data import check_data
    from mmvisionllama.checks.data_problems import DataProblem
    from mmvisionllama.checks.head_classes import require_one_number_of_classes
    from mmvisionllama.checks.left_behind import remark_on_left_behind
    from mmvisionllama.checks.run import build_model, size_check_of
    from mmvisionllama.config import load_config
    from mmvisionllama.errors import ConfigError
    from mmvisionllama.fault_tolerance.random_state import randomness_by
    from mmvisionllama.shards.verification import describe_shards, sharded_folders

    console = Console(highlight=False, soft_wrap=True)
    if Path(args.config).is_dir():
        looked_at = describe_shards(Path(args.config))
        return _report(console, looked_at, _damage([Path(args.config)]) if args.verify else [])
    cfg = load_config(args.config, args.cfg_options)
    model = build_model(cfg)
    with randomness_by(0):  # as a training's checks, see ``start_run``
        checked = check_data(cfg, *LOADERS, size_check=size_check_of(model))
    for section in ("val_evaluator", "test_evaluator"):
        try:
            require_one_number_of_classes(cfg, model, section)
        except ConfigError as error:
            checked.problems.append(DataProblem("config", str(error)))
            break
    checked.problems += [DataProblem("config", x, fatal=False) for x in remark_on_left_behind(cfg)]
    if args.verify:
        checked.problems += _damage(sharded_folders(cfg, *LOADERS))
    return _report(console, checked.looked_at, checked.problems)


def _damage(folders: Iterable[Path]) -> list["DataProblem"]:
    """Read everything in folders of shards."""
    from mmvisionllama.checks.data_problems import DataProblem
    from mmvisionllama.shards.verification import verify_shards

    return [DataProblem(str(folder), problem) for folder in folders for problem in verify_shards(folder)]


def _report(console: Console, looked_at: Iterable[str], problems: Sequence["DataProblem"]) -> int:
    fatal = [problem for problem in problems if problem.fatal]
    for line in looked_at:
        console.print(line, markup=False)
    for problem in problems:
        style, word = ("bold red", "error") if problem.fatal else ("yellow", "note")
        console.print(f"{word}: {problem}", style=style, markup=False)
    console.print(f"{len(fatal)} errors, {len(problems) - len(fatal)} notes")
    return 1 if fatal else 0
