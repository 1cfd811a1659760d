"""Check that an evaluator scores what its loader loads: one annotation file, and labels at all."""

import filecmp
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmvisionllama.checks.data_problems import DataProblem
from mmvisionllama.files import read_json

# Metrics that compare classes of images with labels: the hosts', and ours.
LABEL_METRICS = {"Accuracy", "SingleLabelMetric", "MultiLabelMetric", "AveragePrecision", "ConfusionMatrix"}
LABEL_METRICS |= {"AccuracyBySize"}


def metrics_of(cfg: Mapping[str, Any], evaluator: str) -> list[dict[str, Any]]:
    """Return the metrics of an evaluator in a config: one, a list, or an Evaluator with a list."""
    given = cfg.get(evaluator) or []
    if isinstance(given, Mapping):
        given = given.get("metrics", given)
    return [given] if isinstance(given, Mapping) else list(given)


def name_of(metric: Mapping[str, Any]) -> str:
    """Return the name of a metric's class without scope or module."""
    kind = metric.get("type")
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]


def check_evaluator(
    cfg: Mapping[str, Any], loader: str, metrics: list[dict[str, Any]]
) -> Iterator[DataProblem]:
    """Yield metrics that read other annotations than the data set of their loader.

    A copy of the file is no other one.
    """
    name = f"{loader.partition('_')[0]}_evaluator"
    loaded = [*_annotation_files(cfg[loader]["dataset"])]
    stages = (cfg.get("model") or {}).get("roi_head")
    for metric in metrics:
        asked = metric.get("metric") or ()
        if (
            stages
            and not stages.get("mask_head")
            and "segm" in ([asked] if isinstance(asked, str) else asked)
        ):
            text = f"metric of {name_of(metric)} has 'segm', but the model has no mask head; set it to 'bbox'"
            yield DataProblem(name, text)
        given = metric.get("ann_file")
        if not given:
            continue
        if not Path(given).is_file():
            yield DataProblem(name, f"ann_file of {name_of(metric)}: {given} does not exist")
        elif loaded and not any(_alike(Path(given), file) for file in loaded):
            listed = " and ".join(map(str, loaded))
            yield DataProblem(
                name,
                f"ann_file of {name_of(metric)} is {given}, but {loader} loads {listed}, so predictions "
                f"would be compared with other annotations; set {name}.ann_file={loaded[0]}",
            )


def _annotation_files(dataset: Mapping[str, Any]) -> Iterator[Path]:
    inner = [dataset.get("dataset"), *(dataset.get("datasets") or ())]
    for part in (x for x in inner if isinstance(x, Mapping)):
        yield from _annotation_files(part)
    if file := dataset.get("ann_file"):
        yield Path(dataset.get("data_root") or "", file)


def _alike(one: Path, other: Path) -> bool:
    if one.resolve() == other.resolve():
        return True
    if not other.is_file():
        return False
    if filecmp.cmp(one, other, shallow=False):
        return True
    try:
        return read_json(one) == read_json(other)
    except ValueError:  # a format of another metric
        return False
