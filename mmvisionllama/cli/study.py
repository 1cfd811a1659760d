"""Train what a study compares, every run with several seeds, and report them side by side.

    tools/study.py configs/study/convergence_digitscenes.py --jobs 2

A study that was interrupted goes on where it stopped; what is finished is not trained again.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmvisionllama.cli.common import add_track_option, command, progress_bar
from mmvisionllama.cli.numbers import SEED, whole


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", help="file of the study, e.g. configs/study/convergence_digitscenes.py")
    parser.add_argument("--out", type=Path, help="folder (default: work_dirs/<study>)")
    parser.add_argument(
        "--jobs", type=whole(1, 4096), default=1, help="trainings at a time; they share the cores"
    )
    parser.add_argument("--seeds", type=SEED, nargs="+", metavar="N", help="default: those of the study")
    parser.add_argument("--force", action="store_true", help="train again where another config was trained")
    add_track_option(parser)
    return parser


@command(build_parser, interrupted="the same command goes on")
def main(args: argparse.Namespace) -> None:
    """Train, then print the table and write it as JSON, as Markdown and as a figure."""
    from mmvisionllama.experiments import study as studies
    from mmvisionllama.experiments import study_report, study_runs
    from mmvisionllama.experiments.reproduction import started_by
    from mmvisionllama.files import atomic_path, write_json
    from mmvisionllama.reports.figures import write_figure
    from mmvisionllama.reports.tracking import trackers_with

    console = Console()
    trackers_with(None, args.track or ())  # a wrong name ends here
    train = [*started_by("train"), *(f"--track={name}" for name in args.track or ())]
    study = studies.load_study(args.study, args.seeds)
    out = args.out or Path("work_dirs", study.name)
    jobs = study_runs.plan_jobs(study, out)
    with progress_bar(console) as bar:

        def show(jobs: list[study_runs.Job], running: list[study_runs.Job]) -> None:
            bar(" | ".join(job.name for job in running), sum(job.done for job in jobs), len(jobs))

        study_runs.run_study(jobs, train, parallel=args.jobs, force=args.force, progress=show)
    outcomes = study_report.collect(study, jobs)

    heading, *rows = study_report.table_of(study, outcomes)
    table = Table(*heading, title=study.title)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    write_json(out / "study.json", study_report.as_facts(study, outcomes))
    with atomic_path(out / "study.md") as file:
        file.write_text(study_report.as_markdown(study, outcomes))
    write_figure(study_report.draw_study(study, outcomes), out / "study.png")
    console.print(*(out / f"study.{kind}" for kind in ("png", "md", "json")), sep="\n", highlight=False)
