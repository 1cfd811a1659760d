"""The log files of a training: what each start was, and what happened in it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - (\S+) - ([A-Z]+) - (.*)")
_PLACE = re.compile(r"\S+\.py - \S+ - \d+ - ")  # in the code, which mmengine puts before an error
_FACT = re.compile(r"  (\w+) {2,}(\S.*)")
_TRAINING = "Training: "
# What a line is about, by its beginning, in the order in which they are tried.
_KINDS = (
    ("resumed", re.compile(r"Resumed at step")),
    ("stopped", re.compile(r"Stopped by |NOT YET STOPPED")),
    ("stalled", re.compile(r"STALLED")),
    ("failed", re.compile(r"ENDED by ")),
    ("skipped step", re.compile(r"Step \d+ skipped")),
    ("passed over", re.compile(r"Step \d+ passed over")),
    ("went back", re.compile(r".*: going back to ")),
    ("moved aside", re.compile(r"Moved \d+ files")),
    ("weights", re.compile(r"Load checkpoint from ")),
    ("noticed", re.compile(r"Noticed: ")),
    ("disk", re.compile(r".*(: written again$|tries again at the next interval)")),
    ("finished", re.compile(r"Finished: ")),
)
# Of libraries that are about to change something, in every run alike.
_CHATTER = re.compile(
    r"will be deprecated|is the alias of|site-packages/\S+ \w*Warning:|The prefix is not set in metric class"
)


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        when: As the log says it.
        kind: In a word or two.
        text: The log's own first line.
        count: How many lines of this kind came one after the other, of which this is the last.
    """

    when: str
    kind: str
    text: str
    count: int = 1


@dataclass(frozen=True)
class Session:
    """A start of a training.

    Attributes:
        folder: Of its logs.
        facts: What the log says at the start: model, data, batch, device, ...
        events: What happened, in order.
        is_training: Not a test.
    """

    folder: Path
    facts: dict[str, str]
    events: tuple[Event, ...]
    is_training: bool

    @property
    def began(self) -> str:
        """When it began, from the name of the folder."""
        day, clock = self.folder.name.split("_")[:2]
        return f"{day[:4]}/{day[4:6]}/{day[6:]} {clock[:2]}:{clock[2:4]}:{clock[4:]}"


def read_session(folder: Path) -> Session:
    """Read a folder of logs; a log that is not there tells nothing."""
    facts: dict[str, str] = {}
    events: list[Event] = []
    has_begun = False
    for file in sorted(folder.glob("*.log")):
        for when, level, lines in _records(file):
            if lines[0].startswith(_TRAINING):
                has_begun = True
                facts |= dict(found.groups() for x in lines[1:] if (found := _FACT.fullmatch(x)))
            elif (event := _event(when, level, lines[0])) is not None:
                _add(events, event)
    is_training = has_begun or (folder / "vis_data" / "scalars.json").is_file()
    return Session(folder, facts, tuple(events), is_training)


def _records(file: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield time, level and lines of every record of a log."""
    record: tuple[str, str, list[str]] | None = None
    with file.open(errors="replace") as opened:
        for line in opened:
            if found := _LINE.match(line):
                if record is not None:
                    yield record
                when, _, level, text = found.groups()
                record = when, level, [_PLACE.sub("", text, count=1)]
            elif record is not None and len(record[2]) < 40:
                record[2].append(line.rstrip("\n"))
    if record is not None:
        yield record


def _event(when: str, level: str, text: str) -> Event | None:
    kind = next((kind for kind, pattern in _KINDS if pattern.match(text)), None)
    if kind is None and level in ("WARNING", "ERROR", "CRITICAL") and not _CHATTER.search(text):
        kind = level.lower()
    return None if kind is None or not text.strip() else Event(when, kind, text.strip())


def _add(events: list[Event], event: Event) -> None:
    """Add an event; one of the same kind as the last, or with the same words, is counted with it."""
    last = events[-1] if events else None
    repeats = last is not None and (last.text == event.text or last.kind == event.kind == "skipped step")
    repeats |= last is not None and last.kind == event.kind == "passed over"
    if repeats:
        events[-1] = Event(event.when, event.kind, event.text, last.count + 1)
    else:
        events.append(event)


def all_events(sessions: Sequence[Session]) -> list[tuple[int, Event]]:
    """Return the number of the start, counted from 1, with each event, in order."""
    return [(number, event) for number, x in enumerate(sessions, 1) for event in x.events]
