"""Train what a study compares, every run with several seeds, and report them side by side.

    tools/study.py configs/study/convergence_digitscenes.py --jobs 2

A study that was interrupted goes on where it stopped; what is finished is not trained again.
"""

import argparse
import sys
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", help="file of the study, e.g. configs/study/convergence_digitscenes.py")
    parser.add_argument("--out", type=Path, help="folder (default: work_dirs/<study>)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time; they share the cores")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="default: those of the study")
    parser.add_argument("--force", action="store_true", help="train again where another config was trained")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Train, then print the table and write it as JSON and as curves; return the exit code."""
    args = build_parser().parse_args(argv)

    from mmvisionllama import compat

    compat.prepare()

    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Table

    from mmvisionllama import study as studies
    from mmvisionllama.config import ConfigError
    from mmvisionllama.engine.reports import as_json, replaced_when_whole, write_png

    console = Console()
    try:
        if args.jobs < 1:
            raise ConfigError(f"--jobs must be at least 1, got {args.jobs}")
        study = studies.load_study(args.study, args.seeds)
        out = args.out or Path("work_dirs", study.name)
        jobs = studies.plan_jobs(study, out)
        bars = (*Progress.get_default_columns()[:3], TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*bars, console=console) as progress:
            task = progress.add_task(study.name, total=len(jobs))

            def show(jobs: list[studies.Job], running: list[studies.Job]) -> None:
                names = " | ".join(job.name for job in running)
                progress.update(task, completed=sum(job.done for job in jobs), description=names)

            command = [str(Path(__file__).with_name("train.sh"))]
            studies.run_study(jobs, command, parallel=args.jobs, force=args.force, progress=show)
        outcomes = studies.collect(study, jobs)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except studies.StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on", file=sys.stderr)
        return 130

    heading, *rows = studies.table_of(study, outcomes)
    table = Table(*heading, title=study.title)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    with replaced_when_whole(out / "study.json") as path:
        path.write_text(as_json(studies.as_facts(study, outcomes)))
    write_png(studies.draw_study(study, outcomes), out / "study.png")
    console.print(f"{out / 'study.png'}\n{out / 'study.json'}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
