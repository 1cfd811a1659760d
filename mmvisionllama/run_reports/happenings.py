"""Events of a run: starts, stops, resumes, skipped steps, NaN, requeues; from its log and its records."""

from collections.abc import Iterator

from mmvisionllama.fault_tolerance.bad_batches import FOLDER as BAD_BATCHES
from mmvisionllama.fault_tolerance.nan_guard import HISTORY, read_history
from mmvisionllama.files import from_here
from mmvisionllama.run_reports.pages import Block, Table, Text
from mmvisionllama.run_reports.run_log import Event, Session
from mmvisionllama.run_reports.work_directory import Run

_MOST = 200
_ENDS = ("finished", "stopped", "failed", "stalled", "went back")


def happenings(run: Run) -> Iterator[Block]:
    """Tell in a sentence how the run went, in a table what its log says, and what the NaN guard keeps."""
    yield Text(_in_short(run))
    rows = [row for number, session in enumerate(run.sessions, 1) for row in _rows(number, session)]
    if run.status in ("killed", "interrupted"):
        rows.append(["", run.status, str(run.summary.get("error") or "")])
    if rows:
        yield Table(["when", "what", "the log says"], rows[:_MOST])
    if len(rows) > _MOST:
        yield Text(f"{len(rows) - _MOST:,} more are in the logs of {from_here(run.folder)}.")
    yield from _nan_guard(run)


def _in_short(run: Run) -> str:
    starts = len(run.sessions)
    if not starts:
        return "There is no log of a training here."
    events = [event for session in run.sessions for event in session.events]
    counts = {
        "resumes": sum(x.kind == "resumed" for x in events),
        "stops by a signal": sum(x.kind == "stopped" for x in events),
        "skipped steps": sum(x.count for x in events if x.kind == "skipped step"),
        "times gone back after NaN": sum(x.kind == "went back" for x in events),
        "stalls": sum(x.kind == "stalled" for x in events),
        "failures": sum(x.kind == "failed" for x in events),
    }
    told = [f"{what}: {count:,}" for what, count in counts.items() if count]
    silent = sum(not any(x.kind in _ENDS for x in session.events) for session in run.sessions[:-1])
    told += [f"starts that ended without a word: {silent:,}"] if silent else []
    job = run.record and run.record.job
    requeued = f" Job {job} started it last; such a job requeues itself." if job else ""
    return f"{starts:,} start{'s' if starts > 1 else ''}: {', '.join(told) or 'nothing unusual'}.{requeued}"


def _rows(number: int, session: Session) -> Iterator[list[str]]:
    about = [session.facts[x] for x in ("device", "batch", "length") if x in session.facts]
    yield [session.began, f"start {number}", "; ".join(about)]
    yield from ([event.when, event.kind, _told(event)] for event in session.events)


def _told(event: Event) -> str:
    return event.text if event.count == 1 else f"{event.count:,} times; the last: {event.text}"


def _nan_guard(run: Run) -> Iterator[Block]:
    try:
        incidents = read_history(run.folder / HISTORY)
    except (OSError, ValueError) as error:
        yield Text(f"{HISTORY} cannot be read: {error}")
        incidents = []
    if incidents:
        rows = [
            [f"{x.first + 1:,} to {x.last + 1:,}", x.reason, f"{len(x.bad):,}", x.checkpoint or "-"]
            for x in incidents
        ]
        yield Table(["steps", "why", "batches passed over", "went back to"], rows)
    batches = sorted((run.folder / BAD_BATCHES).glob("*.pth"))
    if batches:
        yield Text(
            f"{len(batches):,} batches of bad steps are kept in {from_here(run.folder / BAD_BATCHES)}; "
            "mmvisionllama replay computes one again."
        )
