"""Reproduce a table of the paper: list its rows, run their chains, report ours beside published.

    tools/reproduce.sh --list
    tools/reproduce.sh table4 --row visionllama --data DIR [--dry-run]
    tools/reproduce.sh table4 --row visionllama --slurm partition=gpu gpus=8
    tools/reproduce.sh --report

The same command goes on where it was interrupted.
"""

import argparse
import contextlib
import sys
from pathlib import Path

from mmvisionllama.cli.common import command
from mmvisionllama.cli.numbers import SEED, Number, whole

RESOURCES = ("partition", "account", "time", "nodes", "gpus", "cpus_per_task")
_COUNTS = {"nodes": 1, "gpus": 0, "cpus_per_task": 1}


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", nargs="?", help="e.g. table4; --list names all")
    parser.add_argument("--list", action="store_true", help="show rows, chains and published values")
    parser.add_argument(
        "--tflops",
        type=Number(float, 0, 10**9, above=True),
        metavar="N",
        default=150.0,
        help="10^12 FLOPs that a GPU sustains in a second, for the GPU-hours of --list; "
        "the default, %(default)g, is an assumption: half of an A100's peak at bfloat16",
    )
    parser.add_argument(
        "--count-flops", action="store_true", help="count the FLOPs of all trainings anew, for --list"
    )
    parser.add_argument("--report", action="store_true", help="write report.md and report.html into --out")
    parser.add_argument("--row", nargs="+", metavar="NAME", help="rows to run (default: all with a chain)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="default: $MMVISIONLLAMA_DATA or data/")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: work_dirs/reproduce")
    parser.add_argument("--seed", type=SEED, default=0, help="default: %(default)s")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, in order, and run none")
    parser.add_argument(
        "--slurm", nargs="*", metavar="KEY=VALUE", help=f"submit dependent jobs: {', '.join(RESOURCES)}"
    )
    parser.add_argument(
        "--profile",
        choices=["paper", "tiny"],
        default="paper",
        help="tiny: every link in seconds on a CPU, small data included; its numbers say nothing",
    )
    return parser


@command(build_parser, interrupted="the same command goes on")
def main(args: argparse.Namespace) -> None:
    """List, run or report."""
    from mmvisionllama.errors import ReproductionError
    from mmvisionllama.experiments import (
        paper,
        reproduction,
        reproduction_report,
        reproduction_runs,
        training_cost,
    )
    from mmvisionllama.experiments.tiny_data import write_tiny_data
    from mmvisionllama.experiments.tiny_profile import TinyProfile

    tables = [paper.load_table(name) for name in ([args.table] if args.table else paper.table_names())]
    if args.count_flops:
        with _hosts_silent():
            file = training_cost.count(paper.trainings())
        print(file)
        return
    if args.list:
        with _hosts_silent():
            texts = [reproduction_report.listing(table, args.tflops) for table in tables]
        print("\n\n".join(texts))
        return
    tiny = args.profile == "tiny"
    profile = TinyProfile() if tiny else reproduction.Profile()
    out = args.out or Path("work_dirs", "reproduce_tiny" if tiny else "reproduce")
    if tiny and args.data:
        raise ReproductionError("--profile tiny makes data of its own, in --out: leave --data out")
    data = out / "tiny_data" if tiny else args.data
    with reproduction.data_in(data):
        if args.report:
            with _hosts_silent():
                files = reproduction_report.write_report(tables, out, profile)
            print(*files, sep="\n")
            return
        if not args.table:
            raise ReproductionError("give a table, e.g. table4; or --list, or --report")
        table = tables[0]
        names = args.row or [row.name for row in table.rows if row.branches]
        chains = {name: table.row(name) for name in names}
        options = dict(seed=args.seed, profile=profile)
        with _hosts_silent():
            links = {name: reproduction.plan(row, out, **options) for name, row in chains.items()}
        resources = resources_of(args.slurm)
        if not args.dry_run and tiny:
            with _hosts_silent():
                write_tiny_data(data)
        for name, row in chains.items():
            print(f"{table.name}, {name}: {row.label}")
            for branch in row.branches:
                print(f"  {branch}")
            if args.dry_run:
                print(_commands(links[name], data, resources))
            elif resources is not None:
                reproduction_runs.submit_chain(links[name], profile, resources, say=_say)
            else:
                reproduction_runs.run_chain(links[name], profile, say=_say)


def _hosts_silent() -> contextlib.AbstractContextManager:
    """Keep what the hosts print while they are imported out of the answer."""
    return contextlib.redirect_stdout(sys.stderr)


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


def resources_of(pairs: list[str] | None) -> dict[str, str] | None:
    """Read the options of ``--slurm``.

    Raises: LaunchError: for an unknown one, and for a number out of range.
    """
    from mmvisionllama.errors import LaunchError
    from mmvisionllama.suggestions import refusal

    if pairs is None:
        return None
    resources = dict(pair.partition("=")[::2] for pair in pairs)
    if message := refusal("--slurm", resources, RESOURCES):
        raise LaunchError(message)
    if empty := [key for key, value in resources.items() if not value]:
        raise LaunchError(f"--slurm takes KEY=VALUE, got {' '.join(empty)}")
    for key, least in _COUNTS.items():
        try:
            whole(least, 10_000)(resources.get(key, str(least)))
        except argparse.ArgumentTypeError as error:
            raise LaunchError(f"--slurm {key} {error}") from error
    return resources


def _commands(links: list, data: Path | None, resources: dict[str, str] | None) -> str:
    """Give the commands of a chain as one types them."""
    import shlex

    from mmvisionllama.config.loading import DATA_VARIABLE
    from mmvisionllama.experiments.reproduction_runs import slurm_command

    lines = []
    for number, link in enumerate(links, start=1):
        variables, words = {}, list(link.command)
        if resources is not None:
            before = [f"--dependency=afterok:JOB{links.index(link.needs) + 1}"] if link.needs else []
            variables, words = slurm_command(link, before, resources)
        if data is not None:
            variables = {DATA_VARIABLE: str(data.absolute()), **variables}
        text = [
            *(f"{key}={shlex.quote(value)}" for key, value in variables.items() if value),
            shlex.join(words),
        ]
        lines += [f"# {number} of {len(links)}: {link.title}", " ".join(text)]
    return "\n".join(lines)
