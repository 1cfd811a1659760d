"""Pages of real runs of every task, in a Chromium; in this folder as its models are trained once."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from mmvisionllama.evaluation.saved_predictions import read_predictions
from tests.browser import chromium
from tests.inference.models import CONFIGS, PREDICTING, config_of
from tests.tools.commands import main

# What the test scores, and what the analysis of its predictions has to say of it.
MEASURED = {
    "classification": ("accuracy/top1", lambda x: x["accuracy"]),
    "segmentation": ("mIoU", lambda x: x["mIoU"]),
    "detection": ("coco/bbox_mAP_50", lambda x: _mean(x["by class"]["AP50 boxes"]) / 100),
    "reconstruction": ("reconstruction/loss", lambda x: x["mean loss"]),
}
NAME = "<script>alert(1)"  # of a run
PHONE = 400  # pixels


def _mean(values: dict[str, float | None]) -> float:
    known = [x for x in values.values() if x is not None]
    return sum(known) / len(known)


@pytest.fixture(scope="module")
def predictions(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Predictions of the test of every task but generation; beside each ``metrics.json`` of the same test."""
    found = {}
    for task in PREDICTING:
        folder = tmp_path_factory.mktemp(task)
        kept = ("--predictions", folder / "kept", "--out", folder / "metrics.json")
        config = config_of(checkpoints[task])
        assert main("test", config, checkpoints[task], "--work-dir", folder / "run", *kept) == 0
        found[task] = folder / "kept"
    return found


@pytest.fixture(scope="module")
def pages(
    checkpoints: dict[str, Path], predictions: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A report of each run, an analysis of each test, and a comparison of two tasks; one has an evil name."""
    out = tmp_path_factory.mktemp("pages")
    found = {}
    for task in CONFIGS:
        run = checkpoints[task].parent
        if task == "classification":
            run = shutil.copytree(run, out / NAME)
        kept = ("--predictions", predictions[task]) if task in predictions else ()
        assert main("report", run, "--out", out / task, *kept) == 0
        found[f"report of {task}"] = out / task / "report.html"
    for task, folder in predictions.items():
        assert main("errors", folder) == 0
        found[f"errors of {task}"] = folder / "errors.html"
    runs = (out / NAME, checkpoints["segmentation"].parent)
    assert main("compare", *runs, "--out", out / "comparison") == 0
    return {**found, "comparison": out / "comparison" / "comparison.html"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.mark.parametrize("task", PREDICTING)
def test_an_analysis_of_saved_predictions_finds_what_the_test_has_measured(
    predictions: dict[str, Path], pages: dict[str, Path], task: str
) -> None:
    metric, said = MEASURED[task]
    metrics = json.loads((predictions[task].parent / "metrics.json").read_text())["metrics"]
    assert said(json.loads((predictions[task] / "errors.json").read_text())) == pytest.approx(
        metrics[metric], abs=0.006
    )
    saved = read_predictions(predictions[task])
    assert all(Path(x["image"]).is_file() for x in saved.images)
    assert len({x["image"] for x in saved.images}) == len(saved.images) == 6


def test_every_page_is_shown_without_errors_requests_or_scripts(
    browser: webdriver.Chrome, pages: dict[str, Path]
) -> None:
    for width in (1200, PHONE):
        browser.set_window_size(width, 900)
        for name, page in pages.items():
            browser.get(page.as_uri())
            assert [x["message"] for x in browser.get_log("browser")] == [], name
            unloaded = "return [...document.images].filter(x => !x.naturalWidth).length"
            assert browser.execute_script(unloaded) == 0, name
            assert browser.execute_script("return document.images.length") > 0, name
            assert browser.execute_script("return document.scripts.length") == 0, name
            asked = "return performance.getEntriesByType('resource').map(x => x.name)"
            assert [x for x in browser.execute_script(asked) if not x.startswith("data:")] == [], name
            wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert browser.execute_script(wide) <= 0, f"{name} is wider than {width} pixels"


def test_a_report_says_what_the_run_was_and_shows_its_worst_images(pages: dict[str, Path]) -> None:
    page = pages["report of detection"].read_text()
    for said in (
        "MaskRCNN",
        "worst first",
        "Kinds of errors",
        "start 1",
        "Every value, and where it comes from",
    ):
        assert said in page
    assert NAME not in pages["report of classification"].read_text()
    assert "&lt;script&gt;alert(1)</h1>" in pages["report of classification"].read_text()
    assert "A generator has no true images" in pages["report of generation"].read_text()


def test_a_report_without_predictions_says_how_to_make_them(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    run = checkpoints["segmentation"].parent
    assert main("report", run, "--out", tmp_path) == 0
    page = (tmp_path / "report.html").read_text()
    assert f"{run}/{run.name}.py" in page
    assert f"--predictions {run}/predictions\nmmvisionllama report {run}</pre>" in page
