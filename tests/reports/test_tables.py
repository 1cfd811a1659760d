"""Tables on the screen: metrics, and results of each class, whatever the width."""

import pytest
from rich.console import Console, RenderableType

from mmvisionllama.reports.tables import class_table, metrics_table, scalars_of


def shown(what: RenderableType, width: int) -> list[str]:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(what)
    return console.export_text().splitlines()


def test_every_metric_has_a_row_and_every_evaluation_a_column() -> None:
    lines = shown(metrics_table("Test", {"now": {"mIoU": 45.25, "loss": 0.0123}, "best": {"mIoU": 46}}), 60)
    assert lines[0].strip() == "Test"
    assert "now" in lines[1]
    assert "best" in lines[1]
    rows = {line.split()[0]: line.split()[1:] for line in lines[3:]}
    assert rows == {"mIoU": ["45.25", "46.00"], "loss": ["0.0123", "-"]}


def test_every_class_has_a_row_and_an_absent_one_no_number() -> None:
    columns = {"IoU": [50.0, float("nan")], "Acc": [75.0, 10.0]}
    lines = shown(class_table("Each class", ("road", "car"), columns), 40)
    rows = {line.split()[0]: line.split()[1:] for line in lines[3:]}
    assert rows == {"road": ["50.00", "75.00"], "car": ["-", "10.00"]}


@pytest.mark.parametrize("width", [40, 120])
def test_many_classes_stand_side_by_side(width: int) -> None:
    names = [f"class{i}" for i in range(150)]
    lines = shown(class_table("Each class", names, {"IoU": list(range(150))}), width)
    assert len(lines) < 150 / 1.5
    assert max(map(len, lines)) <= width
    text = " ".join(lines)
    assert all(name in text for name in names)


def test_numbers_alone_are_metrics() -> None:
    assert scalars_of({"a": 1, "b": [1, 2], "c": 0.5}) == {"a": 1.0, "c": 0.5}
    assert scalars_of(None) == {}
