"""A test of images without labels: it writes predictions, as there is nothing to compare them with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmvisionllama.checks.evaluators import LABEL_METRICS, metrics_of, name_of
from mmvisionllama.config.run_config import RunConfig
from mmvisionllama.files import read_json

_COCO = {"CocoMetric", "FasterCocoMetric"}
_NEED_LABELS = ("ConfusionHook", "PrecisionRecallHook")
_ORIGIN = "the test data, which have no labels"


def write_predictions_of_unlabelled(run: RunConfig) -> list[str]:
    """Let a test write predictions into ``predictions`` in the work directory where its data have no labels.

    These are a classifier's of ``with_label=False``, a segmentor's without ``data_prefix.seg_map_path``, and
    a detector's whose file lists no annotations, as COCO's test-dev. Metrics that only write stay.

    Returns: A line that says so, none where the test scores.
    """
    metrics = metrics_of(run.cfg, "test_evaluator")
    folder = Path(run.cfg.work_dir) / "predictions"
    dataset = run.cfg.test_dataloader["dataset"]
    if all(x.get("format_only") for x in metrics):
        return []
    evaluator = _writer(metrics, dataset, folder)
    if evaluator is None:
        return []
    run.set("test_evaluator", evaluator, _ORIGIN)
    pipeline = dataset.get("pipeline") or []
    if name_of(evaluator) == "IoUMetric":
        kept = [x for x in pipeline if name_of(x) != "LoadAnnotations"]
        run.set("test_dataloader.dataset.pipeline", kept, _ORIGIN)
    hooks = run.cfg.get("custom_hooks") or []
    run.set("custom_hooks", [x for x in hooks if name_of(x) not in _NEED_LABELS], _ORIGIN)
    return [f"the test data have no labels, so nothing is scored; predictions go into {folder}"]


def _writer(metrics: list[dict[str, Any]], dataset: Mapping[str, Any], folder: Path) -> dict[str, Any] | None:
    """Return the metric that writes predictions in the place of those that score, None for labelled data."""
    by_name = {name_of(x): x for x in metrics}
    if by_name.keys() & LABEL_METRICS and dataset.get("with_label") is False:
        return dict(type="mmvisionllama.ClassPredictions", out_file=str(folder / "predictions.csv"))
    prefix = dataset.get("data_prefix")
    if "IoUMetric" in by_name and isinstance(prefix, Mapping) and not prefix.get("seg_map_path"):
        kind = by_name["IoUMetric"]["type"]
        return dict(type=kind, format_only=True, output_dir=str(folder))
    for name in by_name.keys() & _COCO:
        if _lists_no_annotations(dataset):
            changed = dict(format_only=True, outfile_prefix=str(folder / "predictions"))
            return {**by_name[name], **changed}
    return None


def _lists_no_annotations(dataset: Mapping[str, Any]) -> bool:
    if not dataset.get("ann_file"):
        return False
    try:
        content = read_json(Path(dataset.get("data_root") or "", dataset["ann_file"]))
    except ValueError:  # the check of the data says what is wrong with it
        return False
    return isinstance(content, dict) and "annotations" not in content
