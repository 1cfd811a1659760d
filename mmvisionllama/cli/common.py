"""Common options of commands, and how each of them ends: messages and exit statuses."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from rich.console import Console

from mmvisionllama.cli.numbers import SEED
from mmvisionllama.cli.threads import limit_spinning
from mmvisionllama.compat import extras_named
from mmvisionllama.errors import Diverged, ExitStatus, Stopped, UserError

# What mmvisionllama.load takes, for the help of commands.
MODEL = "file, folder, http(s) address, hf:OWNER/NAME, or the name of a model, see docs/use.md"
INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C has ended
Body = Callable[[argparse.Namespace], int | None]
Errors = tuple[type[Exception], ...]


def add_run_options(parser: argparse.ArgumentParser, step: str) -> None:
    """Add the options of every run; ``step`` is what ``--compile`` compiles."""
    parser.add_argument(
        "--work-dir", type=Path, help="folder of logs and results (default: work_dirs/<config>)"
    )
    add_amp_option(parser)
    parser.add_argument("--compile", action="store_true", help=f"compile the {step} step by torch.compile")
    parser.add_argument("--seed", type=SEED, help="random seed (default: the config's)")
    add_launch_options(parser)


def add_amp_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of mixed precision."""
    parser.add_argument("--amp", action="store_true", help="mixed precision: bfloat16, on older GPUs float16")


def add_track_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of trackers."""
    parser.add_argument(
        "--track",
        action="append",
        metavar="NAME[,NAME]",
        help="send scalars, pictures and the config to tensorboard, wandb or mlflow, in one run over all "
        "resumes; several by commas or repeated",
    )


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of everything that several processes may do together by a config."""
    add_cfg_options(parser)
    parser.add_argument(
        "--verbose", action="store_true", help="show all that goes to the log file on the screen too"
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm"],
        default="none",
        help="what started this process; the command sets it where it starts several",
    )


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add what changes a config."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=KeyValues,
        metavar="KEY=VALUE",
        help="override keys of the config, e.g. train_dataloader.batch_size=2 model.backbone.arch=small",
    )


class KeyValues(argparse.Action):
    """Collect ``KEY=VALUE`` options in a dict; values may be nested, see ``config.option_values``."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        from mmvisionllama.config.option_values import (
            parse_options,  # only now, so that --help answers at once
        )

        try:
            found = parse_options(values)
        except ValueError as error:
            parser.error(f"argument {option}: {error}")
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), **found})


@contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[str, float, float], None]]:
    """Yield what shows how far a piece of work is: its name, what of it is done, and all of it."""
    from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:3], TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda name, done, total: bars.update(task, description=name, completed=done, total=total)


def command(
    build_parser: Callable[[], argparse.ArgumentParser], *, interrupted: str = "", also: Errors = ()
) -> Callable[[Body], Callable[..., int]]:
    """Make ``main(arguments=None, prog=None) -> status`` of a function of parsed options; see ``execute``."""

    def decorate(body: Body) -> Callable[..., int]:
        @wraps(body)
        def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
            parser = build_parser()
            parser.prog = prog or parser.prog
            return execute(body, parser.parse_args(arguments), interrupted=interrupted, also=also)

        return main

    return decorate


def execute(body: Body, args: argparse.Namespace, *, interrupted: str = "", also: Errors = ()) -> int:
    """Do the work of a command, and return the exit status of ``errors.ExitStatus``.

    What the user can mend is printed once on every machine, without a traceback.

    Args:
        body: Returns an exit status, or None for 0.
        interrupted: What is said after a Ctrl-C.
        also: Errors besides ``UserError`` that the user of this command can mend.
    """
    _fill_closed_streams()
    limit_spinning()
    # Only now, so that --help answers at once.
    from mmvisionllama.reports.screen import shown
    from mmvisionllama.training.distributed import (
        is_first_of_machine,
        launched_as_main_process,
        leave_distributed,
    )

    def say(text: str) -> None:
        if is_first_of_machine(os.environ):
            print(text, file=sys.stderr)

    # Most commands have no launcher, and no log file to repeat on the screen.
    first = launched_as_main_process(getattr(args, "launcher", "none"))
    try:
        with shown(verbose=getattr(args, "verbose", False), first=first), extras_named():
            status = body(args) or ExitStatus.FINISHED
    except (UserError, *also) as error:
        say(f"error: {error}")
        # At once: the other processes may wait elsewhere, and cannot leave the process group together.
        return getattr(error, "status", ExitStatus.USER_ERROR)
    except KeyboardInterrupt:
        say(f"interrupted: {interrupted}" if interrupted else "interrupted")
        return INTERRUPTED
    except Stopped as stopped:
        status = stopped.status
    except Diverged as diverged:
        say(f"error: {diverged}")
        status = diverged.status
    leave_distributed()
    return status


def _fill_closed_streams() -> None:
    """Open nothing where a shell has closed a standard stream (``>&-``): a file would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
