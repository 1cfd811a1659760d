"""Records of a run as JSON lines, and as a page in Markdown."""

import json
from collections.abc import Sequence
from pathlib import Path

from mmvisionllama.benchmark.gpu.jobs import Record
from mmvisionllama.benchmark.gpu.step_speed import OURS
from mmvisionllama.files import atomic_path

RECORDS, PAGE = "records.jsonl", "report.md"


class Book:
    """Writes every record at once, and the page anew.

    Args:
        folder: Gets both files.
        facts: About the machine, the first record.
    """

    def __init__(self, folder: Path, facts: Record) -> None:
        self.folder, self.records = folder, []
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORDS).write_text("")
        self.write(dict(part="machine", name="machine", **facts))

    def write(self, record: Record) -> None:
        self.records.append(record)
        with (self.folder / RECORDS).open("a") as file:
            file.write(json.dumps(record, default=str) + "\n")
        with atomic_path(self.folder / PAGE) as temporary:
            temporary.write_text(page(self.records))


def page(records: Sequence[Record]) -> str:
    """Return the Markdown page of records; what failed stands in a list with its error."""
    machine = next(x for x in records if x["part"] == "machine")
    facts = ", ".join(f"{key} {x}" for key, x in machine.items() if key not in ("part", "name"))
    sections = [
        ("# Training on a GPU", [facts]),
        ("## Correctness", _correctness(records)),
        ("## Training steps in bfloat16", _speed(records)),
        ("## Kernels of the step with the fewest FLOPs a second", _kernels(records)),
        ("## What failed or was left out", _failures(records)),
    ]
    return "\n\n".join("\n".join([title, "", *lines]) for title, lines in sections if lines) + "\n"


def _correctness(records: Sequence[Record]) -> list[str]:
    tasks = [x for x in records if x["part"] == "task" and "error" not in x]
    lines = _table(
        ("task", "deterministic", "resumed bit for bit", "predictions off the CPU's by", "peak MiB, resumed"),
        [
            (
                x["name"],
                _said(x["deterministic"]),
                _said(x["exact"]) if x["stopped"] else "not stopped in time",
                f"{x['apart']:.1e}" + ("" if x["close"] else ", **too far**"),
                f"{_mib(x['peak_bytes'])}, {_mib(x['resumed_peak_bytes'])}"
                + ("" if x["memory_kept"] else ", **more**"),
            )
            for x in tasks
        ],
    )
    for x in records:
        if x["part"] == "checks" and "error" not in x:
            facts = ", ".join(
                f"{key} {x[key]}" for key in x if key not in ("part", "name", "took", "seconds")
            )
            lines += ["", f"{x['name']}: {facts}"]
    return lines


def _speed(records: Sequence[Record]) -> list[str]:
    rows = []
    steps = [x for x in records if x["part"] == "speed" and x.get("images_per_second")]
    for x in steps:
        same = [y for y in steps if (y["subject"], y["style"]) == (x["subject"], x["style"])]
        ours = next((y for y in same if y["contestant"] in OURS), None)
        against = "" if ours in (None, x) else f"{ours['images_per_second'] / x['images_per_second']:.3f}"
        low, high = x["rate_quartiles"]
        rows.append(
            (
                x["subject"],
                x["style"],
                x["contestant"],
                str(x["batch"]),
                f"{x['images_per_second']:.4g} ({low:.4g}-{high:.4g})",
                "" if x["mfu"] is None else f"{100 * x['mfu']:.1f} %",
                _mib(x["peak_bytes"]),
                against,
            )
        )
    heads = ("model", "step", "whose", "batch", "images/s (quartiles)", "MFU", "peak MiB", "ours / this peer")
    return _table(heads, rows)


def _kernels(records: Sequence[Record]) -> list[str]:
    lines = []
    for x in records:
        if x["part"] == "kernels" and "error" not in x:
            rows = [
                (f"`{y['kernel'][:90]}`", f"{y['calls']:.0f}", f"{y['ms']:.3f}", f"{100 * y['share']:.1f} %")
                for y in x["kernels"]
            ]
            lines += [f"{x['subject']}, {x['style']}: {x['total_ms']:.2f} ms a step", ""]
            lines += _table(("kernel", "calls", "ms", "share"), rows)
    return lines


def _failures(records: Sequence[Record]) -> list[str]:
    failed = [x for x in records if "error" in x]
    named = [", ".join(str(x[key]) for key in ("name", "contestant", "style") if key in x) for x in failed]
    return [f"- {x['part']}, {name}: {x['error']}" for x, name in zip(failed, named, strict=True)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    cells = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(x.replace('|', ' ') for x in row)} |" for row in cells]


def _said(value: bool) -> str:
    return "yes" if value else "**no**"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f}"
