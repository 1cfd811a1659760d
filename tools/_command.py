"""What tools/train.py and tools/test.py share: options, and how they end."""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

from mmengine.config import DictAction

JOBS = {
    "train": "mmvisionllama.engine.launch",
    "test": "mmvisionllama.engine.launch",
    "sample": "mmvisionllama.generation.launch",
    "cache_latents": "mmvisionllama.generation.launch",
}


def add_run_options(parser: argparse.ArgumentParser, step: str) -> None:
    """Add the options of every run; ``step`` is what ``--compile`` compiles."""
    parser.add_argument(
        "--work-dir", type=Path, help="folder of logs and results (default: work_dirs/<config>)"
    )
    add_amp_option(parser)
    parser.add_argument("--compile", action="store_true", help=f"compile the {step} step by torch.compile")
    parser.add_argument("--seed", type=int, help="random seed (default: the config's)")
    add_launch_options(parser)


def add_amp_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of mixed precision."""
    parser.add_argument("--amp", action="store_true", help="mixed precision: bfloat16, on older GPUs float16")


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of everything that is launched with a config."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override keys of the config, e.g. train_dataloader.batch_size=2 model.backbone.arch=small",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm"],
        default="none",
        help="what started this process; the shell scripts set it",
    )


def run(job: str, args: argparse.Namespace) -> int:
    """Do a job of the module that ``JOBS`` names and return the exit status of the command.

    What the user can mend is printed once on every machine, without a traceback, and gives status 2; a
    training that a signal stopped gives 75: the same command with --resume goes on. One that NaN ended, which
    would end there again, gives 65.
    """
    # Only now, so that --help answers at once; and before the hosts are imported, which need torchvision.
    from mmvisionllama import compat

    compat.prepare()

    from mmvisionllama.engine import launch
    from mmvisionllama.engine.distributed import is_first_of_machine, leave_distributed
    from mmvisionllama.engine.nan_guard import DIVERGED_STATUS, Diverged
    from mmvisionllama.engine.stopping import STOPPED_STATUS, Stopped

    status = 0
    try:
        getattr(import_module(JOBS[job]), job)(args)
    except launch.USER_ERRORS as error:
        if is_first_of_machine(os.environ):
            print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped:
        status = STOPPED_STATUS
    except Diverged as error:
        if is_first_of_machine(os.environ):
            print(f"error: {error}", file=sys.stderr)
        status = DIVERGED_STATUS
    leave_distributed()
    return status
