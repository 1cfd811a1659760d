"""The report of a reproduction: ours beside published, provenance, and nothing that was not measured."""

import json
from pathlib import Path

import pytest

from mmvisionllama.experiments.paper import Table, load_table
from mmvisionllama.experiments.reproduction import Link, Profile, plan
from mmvisionllama.experiments.reproduction_report import listing, loss_at, write_report
from mmvisionllama.experiments.reproduction_runs import begin
from mmvisionllama.files import sha256_of

PROFILE = Profile()


def finish(links: list[Link], last: dict) -> None:
    """Leave what the links of a chain leave; the last one ``last``."""
    for link in links:
        begin(link, PROFILE)
        if link.kind == "train":
            link.results[0].write_bytes(b"weights of " + link.title.encode())
            facts = dict(status="finished", seconds=7200, world_size=8, device="cuda:0", parameters=88.4e6)
            (link.folder / "summary.json").write_text(json.dumps(facts))
        elif link is not links[-1]:
            link.results[0].parent.mkdir()
            link.results[0].touch()
    links[-1].results[0].write_text(json.dumps(last))


def report(table: Table, out: Path) -> str:
    markdown, page = write_report([table], out, PROFILE)
    text = markdown.read_text()
    assert page.read_text().startswith("<!doctype html>")
    return text


def line(text: str, *parts: str) -> str:
    found = [x for x in text.splitlines() if all(part in x for part in parts)]
    assert len(found) == 1, (parts, found)
    return found[0]


def test_ours_stands_beside_published_with_difference_and_seeds(tmp_path: Path) -> None:
    table = load_table("table4")
    for seed, value in ((0, 48.5), (1, 49.1)):
        links = plan(table.row("visionllama"), tmp_path, seed=seed, profile=PROFILE)
        finish(links, {"metrics": {"mIoU": value}})
    text = report(table, tmp_path)
    ours = "| VisionLLaMA-B, MAE, 800 epochs | mIoU | 49 | 48.8 (48.5, 49.1) | -0.20 | 2 (0, 1) |"
    assert ours in text
    assert "| VisionLLaMA-B, MAE, 800 epochs | parameters, M |  | 88.4 (88.4, 88.4) |  | 2 (0, 1) |" in text


def test_every_training_is_named_with_config_commit_and_hash_of_its_weights(tmp_path: Path) -> None:
    table = load_table("table4")
    links = plan(table.row("visionllama"), tmp_path, profile=PROFILE)
    finish(links, {"metrics": {"mIoU": 48.5}})
    text = report(table, tmp_path)
    for link in links[:2]:
        record = json.loads(link.record_file.read_text())
        parts = (link.folder.name, link.request["config"], sha256_of(link.results[0])[:16], record["commit"])
        assert "16 (cuda:0)" in line(text, *parts)


def test_rows_that_were_not_run_or_not_finished_say_so_and_baselines_stay_alone(tmp_path: Path) -> None:
    table = load_table("table4")
    links = plan(table.row("vit"), tmp_path, profile=PROFILE)
    begin(links[0], PROFILE)
    begin(links[1], PROFILE)
    text = report(table, tmp_path)
    assert "| Swin-S | mIoU | 47.6 | not run |  |  |" in text
    assert "| ViT-B, SemMAE, 800 epochs | mIoU | 46.3 | published alone |  |  |" in text
    assert "| ViT-B, MAE, 800 epochs | mIoU | 46.2 | not finished, seed 0: 0 of 3 links finished |" in text


def test_results_of_other_settings_are_not_taken_for_todays(tmp_path: Path) -> None:
    table = load_table("table4")
    links = plan(table.row("visionllama"), tmp_path, profile=PROFILE)
    finish(links, {"metrics": {"mIoU": 48.5}})
    record = json.loads(links[1].record_file.read_text())
    record["request"]["sha256"] = "of an older config"
    links[1].record_file.write_text(json.dumps(record))
    text = report(table, tmp_path)
    assert "48.5" not in text
    assert "seed 0: of other settings than today's" in text


@pytest.mark.parametrize(
    ("name", "row", "found", "expected"),
    [
        (
            "table5",
            "pyramid_visionllama",
            {"metrics": {"coco/bbox_mAP_50": 0.701}},
            "| box AP50 | 70.5 | 70.1 |",
        ),
        ("table8", "visionllama_small", {"metrics": {"sfid": 9.0}}, "| sFID | 8.78 | 9 | +0.22 |"),
        (
            "table12",
            "rope2d",
            {"results": [dict(size=x, metrics={"accuracy/top1": 79.0}) for x in ("224", "448", "512")]},
            "| 448 px | 79.5 | 79 | -0.50 |",
        ),
    ],
)
def test_every_kind_of_evaluation_is_read_in_the_papers_unit(
    name: str, row: str, found: dict, expected: str, tmp_path: Path
) -> None:
    table = load_table(name)
    finish(plan(table.row(row), tmp_path, profile=PROFILE), found)
    assert expected in report(table, tmp_path)


def test_the_loss_of_a_curve_is_the_mean_of_the_steps_before_a_share_of_the_training(tmp_path: Path) -> None:
    for part, steps in (("first", range(1, 151)), ("resumed", range(101, 201))):
        folder = tmp_path / part / "vis_data"
        folder.mkdir(parents=True)
        records = [dict(step=step, loss=float(step), lr=0.1) for step in steps]
        (folder / f"{part}.json").write_text("\n".join(map(json.dumps, [*records, dict(step=200, acc=1)])))
    assert loss_at(tmp_path, 50) == pytest.approx(95.5)
    assert loss_at(tmp_path, 100) == pytest.approx(195.5)


def test_the_list_has_chains_values_and_source_of_all_rows() -> None:
    text = listing(load_table("table1"), 150)
    assert "source: paper v2, Tab. 1" in text
    values = "published: FID 39.51, sFID 9.82, precision 50.46, recall 54.75, IS 40.17"
    assert values in line(text, "visionllama_base_p4_guided:")
    assert "gen/dit_visionllama_base_p4_in1k_256 -> 50,000 samples by ddpm, 250 steps, guidance 1.5" in text
    assert "doubtful" in text
    assert "published alone" in line(listing(load_table("table3"), 150).replace("\n      ", " "), "SemMAE")
