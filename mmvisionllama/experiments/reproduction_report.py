"""Report of a reproduction in Markdown and HTML: ours beside published, seeds, config, commit, weights."""

import html
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmvisionllama.arguments import Count, takes
from mmvisionllama.checkpoint.as_saved import read_manifest
from mmvisionllama.experiments.paper import Branch, Column, Row, Table
from mmvisionllama.experiments.reproduction import Link, Profile, plan_branch
from mmvisionllama.experiments.training_cost import hours_of_row
from mmvisionllama.files import atomic_path, damaged, read_json_lines, read_record, sha256_of

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:.7rem 0}td,th{border-bottom:1px solid #ccc;padding:.2rem .7rem;"
    "text-align:left;vertical-align:top}code{font-size:.9em}"
)
_LEGEND = "Difference: the mean of our seeds minus published. AP in per cent. What was not run says so."
_HEADING = ("row", "column", "published", "ours", "difference", "seeds")
_RUNS = ("row", "seed", "training", "config", "commit", "weights, SHA-256", "device-hours")


@dataclass(frozen=True)
class Run:
    """A branch of a row with one seed, of which something lies in the folder."""

    row: Row
    branch: Branch
    seed: int
    links: tuple[Link, ...]

    @property
    def complete(self) -> bool:
        return all(link.finished for link in self.links)

    @property
    def state(self) -> str:
        """Say how far it is."""
        if self.complete:
            return "finished"
        if any(link.record() is not None and not link.mine for link in self.links):
            return "of other settings than today's"
        done = f"{sum(link.finished for link in self.links)} of {len(self.links)} links finished"
        begun = [link for link in self.links if link.kind == "train" and not link.finished and link.summary()]
        return "; ".join([done, *map(_state_of_training, begun)])

    def measured(self, column: Column, profile: Profile) -> float | None:
        """Return what was measured for a column, in the paper's unit; None: nothing was."""
        if not self.complete or column.branch != self.branch.name or column.metric is None:
            return None
        trained = [link for link in self.links if link.kind == "train"][-1]
        if column.metric == "parameters":
            value = trained.summary().get("parameters")
        elif self.branch.evaluation.kind == "curve":
            value = loss_at(trained.folder, int(column.metric.rpartition(" ")[2]))
        else:
            file, metric, side = self.links[-1].results[0], column.metric, None
            if self.branch.evaluation.kind == "sweep":
                size, _, metric = metric.partition(" ")
                side = profile.size(size)
            value = measured_in(file, metric, side)
        return None if value is None else value * column.factor


def _state_of_training(link: Link) -> str:
    facts = link.summary()
    steps = f"{facts.get('steps', 0)} of {facts.get('planned_steps', 'unknown')}"
    return f"{link.title} {facts.get('status', 'of unknown state')} after step {steps}"


def measured_in(file: Path, metric: str, side: str | None = None) -> float | None:
    """Return a metric from the file of an evaluation, None if it was not measured.

    Args:
        side: Of the images, for the file of a sweep over sizes.
    Raises: UserError: if the file is damaged, naming it.
    """
    facts = read_record(file) or {}
    if side is not None:
        results = facts.get("results")
        sizes = [x for x in results if takes(dict, x)] if takes(list, results) else []
        facts = next((x for x in sizes if x.get("size") == side), {})
    metrics = facts.get("metrics")
    if not takes(Mapping[str, Any], metrics) or not takes(float | None, metrics.get(metric)):
        raise damaged(file, f"it has no number for {metric}" + (f" at {side}" if side else ""))
    return metrics.get(metric)


def find_runs(row: Row, out: Path, profile: Profile) -> list[Run]:
    """Give all branches of a row with every seed for which the last training has begun."""
    runs = []
    for branch in row.branches:
        pattern = f"{Path(branch.trainings[0]).stem}_seed*"
        named = [x.name.rpartition("_seed")[2] for x in out.glob(pattern) if x.is_dir()]
        seeds = sorted(int(x) for x in named if re.fullmatch(r"\d{1,10}", x))
        for seed in seeds:
            links = plan_branch(branch, out, seed=seed, profile=profile)
            # A first stage alone may have been trained for another row.
            if [link for link in links if link.kind == "train"][-1].record() is not None:
                runs.append(Run(row, branch, seed, tuple(links)))
    return runs


def loss_at(folder: Path, share: int) -> float:
    """Return the mean logged loss of the last twentieth of the first ``share`` per cent of a training.

    Raises: UserError: if a log is damaged, naming it, or there is none.
    """
    losses: dict[int, float] = {}
    # Folders of logs are named by the time when a run began.
    for log in sorted(folder.glob("*/vis_data/*.json")):
        for x in read_json_lines(log):
            if "loss" in x and "lr" in x:
                if not (takes(Count, x.get("step")) and takes(float, x["loss"])):
                    raise damaged(log, f"it has loss {x['loss']!r:.40} at step {x.get('step')!r:.40}")
                losses[x["step"]] = x["loss"]
    if not losses:
        raise damaged(folder, "no log there (*/vis_data/*.json) has losses of a training")
    end = max(losses) * share / 100
    near = [x for step, x in losses.items() if end - max(losses) / 20 < step <= end]
    return statistics.mean(near or [losses[min(losses, key=lambda step: abs(step - end))]])


def listing(table: Table, tflops: float) -> str:
    """Give a table's rows with chains, published values and GPU-hours, as text for a terminal.

    Args:
        tflops: 10^12 FLOPs that a GPU is assumed to sustain in a second.
    """
    lines = [f"{table.name} - {table.title}", f"source: {table.source}"]
    for row in table.rows:
        values = zip(table.columns, row.published, strict=True)
        known = ", ".join(f"{column.name} {_number(x)}" for column, x in values if x is not None)
        lines.append(f"  {row.name}: {row.label}; published: {known or 'no numbers'}")
        lines += [f"      {branch}" for branch in row.branches]
        if row.branches:
            hours = hours_of_row(row, tflops)
            lines.append(f"      GPU-hours, estimated at {tflops:g} TFLOP/s: {hours}")
        else:
            lines.append("      published alone: nobody ships it")
        if row.note:
            lines.append(f"      note: {row.note}")
    return "\n".join(lines)


def write_report(tables: Sequence[Table], out: Path, profile: Profile) -> tuple[Path, Path]:
    """Write ``report.md`` and ``report.html`` into the folder of a reproduction; return their paths."""
    blocks = list(_blocks(tables, out, profile))
    files = out / "report.md", out / "report.html"
    for file, text in zip(files, (_markdown(blocks), _html(blocks)), strict=True):
        with atomic_path(file) as temporary:
            temporary.write_text(text)
    return files


def _blocks(tables: Sequence[Table], out: Path, profile: Profile) -> Iterator[tuple[str, object]]:
    """Yield headings, paragraphs and tables."""
    yield "h1", "Reproduction of VisionLLaMA (arXiv 2403.00522)"
    if profile.name != "paper":
        yield "p", f"Profile {profile.name}: {profile.__doc__}"
    yield "p", _LEGEND
    for table in tables:
        runs = {row.name: find_runs(row, out, profile) for row in table.rows}
        yield "h2", f"{table.name}: {table.title}"
        yield "p", f"Published: {table.source}."
        yield (
            "table",
            (_HEADING, [x for row in table.rows for x in _results(table, row, runs[row.name], profile)]),
        )
        if notes := [f"{row.label}: {row.note}" for row in table.rows if row.note]:
            yield "list", notes
        if provenance := list(dict.fromkeys(x for row in table.rows for x in _provenance(runs[row.name]))):
            yield "table", (_RUNS, provenance)


def _results(table: Table, row: Row, runs: list[Run], profile: Profile) -> Iterator[tuple[str, ...]]:
    for column, published in zip(table.columns, row.published, strict=True):
        found = [(run.seed, x) for run in runs if (x := run.measured(column, profile)) is not None]
        theirs = "" if published is None else _number(published)
        if found:
            mean = statistics.mean(x for _, x in found)
            each = "" if len(found) == 1 else f" ({', '.join(_number(x) for _, x in found)})"
            difference = "" if published is None else f"{mean - published:+.2f}"
            seeds = f"{len(found)} ({', '.join(str(seed) for seed, _ in found)})"
            yield row.label, column.name, theirs, _number(mean) + each, difference, seeds
        elif published is not None or (row.branches and column.metric):
            yield row.label, column.name, theirs, _why_nothing(column, row, runs), "", ""


def _why_nothing(column: Column, row: Row, runs: list[Run]) -> str:
    if not row.branches:
        return "published alone"
    if column.metric is None:
        return "not measured here"
    states = {run.seed: run.state for run in runs if run.branch.name == column.branch}
    if not states:
        return "not run"
    return "; ".join(f"not finished, seed {seed}: {state}" for seed, state in states.items())


def _provenance(runs: list[Run]) -> Iterator[tuple[str, ...]]:
    for run in runs:
        for link in run.links:
            if link.kind == "train" and link.finished:
                facts = link.summary("seconds", "world_size", "device")
                hours = facts["seconds"] * facts["world_size"] / 3600
                yield (
                    run.row.label,
                    str(run.seed),
                    str(link.folder.name),
                    str(link.request["config"]),
                    str(link.record().get("commit") or "unknown"),
                    _weights_hash(link)[:16],
                    f"{hours:.3g} ({facts['device']})",
                )


def _weights_hash(link: Link) -> str:
    checkpoint = link.results[0]
    manifest = read_manifest(checkpoint)
    return sha256_of(checkpoint) if manifest is None else manifest["sha256"]


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def _markdown(blocks: Sequence[tuple[str, object]]) -> str:
    lines: list[str] = []
    for kind, content in blocks:
        if kind == "table":
            heading, rows = content
            lines += [_pipes(heading), _pipes(["---"] * len(heading)), *map(_pipes, rows), ""]
        elif kind == "list":
            lines += [*(f"- {x}" for x in content), ""]
        else:
            lines += [{"h1": "# ", "h2": "## ", "p": ""}[kind] + content, ""]
    return "\n".join(lines)


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(x.replace('|', '/') for x in cells)} |"


def _html(blocks: Sequence[tuple[str, object]]) -> str:
    parts = []
    for kind, content in blocks:
        if kind == "table":
            heading, rows = content
            body = [_cells("th", heading), *(_cells("td", row) for row in rows)]
            parts.append(f"<table>{''.join(body)}</table>")
        elif kind == "list":
            parts.append(f"<ul>{''.join(f'<li>{html.escape(x)}</li>' for x in content)}</ul>")
        else:
            parts.append(f"<{kind}>{html.escape(content)}</{kind}>")
    title = html.escape(blocks[0][1])
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _cells(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(x)}</{tag}>' for x in cells)}</tr>\n"
