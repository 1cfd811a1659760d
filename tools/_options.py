"""The options that tools/train.py and tools/test.py share."""

import argparse
from pathlib import Path

from mmengine.config import DictAction


def add_run_options(parser: argparse.ArgumentParser, step: str) -> None:
    """Add the options of every run; ``step`` is what ``--compile`` compiles."""
    parser.add_argument(
        "--work-dir", type=Path, help="folder of logs and results (default: work_dirs/<config>)"
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision: bfloat16, on older GPUs float16")
    parser.add_argument("--compile", action="store_true", help=f"compile the {step} step by torch.compile")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override keys of the config, e.g. train_dataloader.batch_size=2 model.backbone.arch=small",
    )
    parser.add_argument("--seed", type=int, help="random seed (default: the config's)")
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm"],
        default="none",
        help="what started this process; the shell scripts set it",
    )
