"""What a study reports of its trainings."""

import json
from pathlib import Path

import pytest

from mmvisionllama.errors import StudyError
from mmvisionllama.experiments.study import Study, load_study
from mmvisionllama.experiments.study_report import as_facts, as_markdown, collect, draw_study, table_of
from mmvisionllama.experiments.study_runs import Job, plan_jobs
from mmvisionllama.files import as_json
from tests.experiments.test_study import write
from tests.tools.commands import TOY

CURVES = {
    ("fast", 0): [(10, 20.0), (20, 72.0), (30, 80.0)],
    ("fast", 1): [(10, 81.0), (20, 85.0), (30, 90.0)],
    ("slow", 0): [(10, 5.0), (20, 10.0), (30, 50.0)],
    ("slow", 1): [(10, 5.0), (20, 45.0), (30, 50.0)],
}


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Study, list[Job]]:
    """Leave the summaries of a preparation and two runs with two seeds."""
    return write_results(tmp_path, "top1")


@pytest.fixture
def trained_for_two(tmp_path: Path) -> tuple[Study, list[Job]]:
    """Leave the same with a second metric, for which less is better."""
    return write_results(tmp_path, ["top1", "error"])


def write_results(tmp_path: Path, metric: str | list[str]) -> tuple[Study, list[Job]]:
    runs = {name: dict(config=str(TOY), label=name.title()) for name in ("slow", "fast")}
    preparation = dict(before=dict(config=str(TOY)))
    study = load_study(
        write(tmp_path, metric=metric, preparations=preparation, runs=runs, reach=0.9), seeds=[0, 1]
    )
    jobs = plan_jobs(study, tmp_path)
    for job in jobs:
        curve = CURVES.get((job.run.name, job.seed), [])
        facts = dict(status="finished", parameters=1_500_000, seconds=60.0)
        facts["validations"] = [
            {"step": step, "metrics": {"top1": value, "error": 1 - value / 100}} for step, value in curve
        ]
        job.work_dir.mkdir()
        (job.work_dir / "summary.json").write_text(json.dumps(facts))
    return study, jobs


def test_the_table_shows_every_seed_the_mean_and_the_steps_to_the_share(trained: tuple) -> None:
    study, jobs = trained
    assert table_of(study, collect(study, jobs)) == [
        ["run", "parameters", "top1", "mean", "steps to 90% of it"],
        ["Slow", "1.50 M", "50.0  50.0", "50.0", "30  20"],
        ["Fast", "1.50 M", "80.0  90.0", "85.0", "20  10"],
    ]


def test_the_json_holds_the_curve_of_every_seed(trained: tuple) -> None:
    study, jobs = trained
    facts = json.loads(as_json(as_facts(study, collect(study, jobs))))
    fast = facts["runs"][1]
    assert fast["curves"]["top1"] == [[list(point) for point in CURVES["fast", seed]] for seed in (0, 1)]
    assert (fast["final"], fast["final_mean"]) == ({"top1": [80.0, 90.0]}, {"top1": 85.0})
    assert fast["steps_to_reach"] == [20, 10]
    assert facts["seeds"] == [0, 1]


def test_the_figure_has_the_mean_of_each_run_the_best_first_and_a_band_around_it(trained: tuple) -> None:
    study, jobs = trained
    figure = draw_study(study, collect(study, jobs))
    (ax,), (legend,) = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Fast: 85.0", "Slow: 50.0"]
    assert list(ax.lines[0].get_ydata()) == [50.5, 78.5, 85.0]
    low, high = ax.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == (20.0, 90.0)


def test_each_of_several_metrics_has_a_column_and_a_panel(trained_for_two: tuple) -> None:
    study, jobs = trained_for_two
    outcomes = collect(study, jobs)
    assert table_of(study, outcomes) == [
        ["run", "parameters", "top1", "mean", "error", "mean", "steps to 90% of it"],
        ["Slow", "1.50 M", "50.0  50.0", "50.0", "0.5  0.5", "0.5", "30  20"],
        ["Fast", "1.50 M", "80.0  90.0", "85.0", "0.2  0.1", "0.15", "20  10"],
    ]
    figure = draw_study(study, outcomes)
    assert [ax.get_ylabel() for ax in figure.axes] == ["top1", "error"]
    assert [x.get_text() for x in figure.legends[0].get_texts()] == ["Fast: 85.0, 0.15", "Slow: 50.0, 0.5"]


def test_the_table_for_documents_has_means_and_the_range_of_the_seeds(trained_for_two: tuple) -> None:
    study, jobs = trained_for_two
    assert as_markdown(study, collect(study, jobs)).splitlines() == [
        "| run | parameters | top1 | error |",
        "| --- | --- | --- | --- |",
        "| Slow | 1,500,000 | 50.0 (50.0 to 50.0) | 0.5 (0.5 to 0.5) |",
        "| Fast | 1,500,000 | 85.0 (80.0 to 90.0) | 0.15 (0.1 to 0.2) |",
    ]


def test_where_runs_were_validated_once_each_seed_is_a_dot_in_the_row_of_its_run(
    trained_for_two: tuple,
) -> None:
    study, jobs = trained_for_two
    for job in jobs:
        file = job.work_dir / "summary.json"
        facts = json.loads(file.read_text())
        file.write_text(json.dumps(facts | {"validations": facts["validations"][-1:]}))
    figure = draw_study(study, collect(study, jobs))
    assert [ax.get_xlabel() for ax in figure.axes] == ["top1", "error"]
    assert [x.get_text() for x in figure.axes[0].get_yticklabels()] == ["Slow", "Fast"]
    first, *rows = figure.axes[0].lines  # the mean of the first run, then seeds and mean of each
    assert list(first.get_xdata()) == [50.0, 50.0]
    assert [(list(x.get_xdata()), {*x.get_ydata()}) for x in rows] == [
        *(([50.0, 50.0], {0}), ([50.0], {0})),
        *(([80.0, 90.0], {1}), ([85.0], {1})),
    ]


def test_a_metric_that_was_not_measured_is_an_error_that_lists_what_was(trained: tuple) -> None:
    study, jobs = trained
    file = jobs[-1].work_dir / "summary.json"
    file.write_text(file.read_text().replace("top1", "top5"))
    with pytest.raises(StudyError, match=r"fast, seed 1 did not measure 'top1', but \['error', 'top5'\]"):
        collect(study, jobs)
