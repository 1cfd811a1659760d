"""A test that saves what it predicts beside the truth, for an analysis of errors without model and GPU."""

from pathlib import Path
from typing import Any

from mmvisionllama.checks.evaluators import LABEL_METRICS, metrics_of, name_of
from mmvisionllama.config.run_config import RunConfig
from mmvisionllama.errors import LaunchError
from mmvisionllama.evaluation.saved_predictions import FILE, RESULTS, has_predictions

_ORIGIN = "--predictions"
_COCO = {"CocoMetric", "FasterCocoMetric"}


def save_predictions(run: RunConfig, folder: Path) -> None:
    """Add to the metrics of a test the one that saves its predictions.

    Raises: LaunchError: if the folder holds something else, or the test scores nothing that is known.
    """
    if folder.exists() and not folder.is_dir():
        raise LaunchError(f"--predictions {folder} is there and no folder: give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not has_predictions(folder):
        raise LaunchError(
            f"--predictions {folder} has files, and no {FILE} of an earlier test: give a folder that is new"
        )
    metrics = [dict(x) for x in metrics_of(run.cfg, "test_evaluator")]
    checkpoint = Path(str(run.cfg.load_from))
    whose = str(checkpoint.absolute() if checkpoint.exists() else run.cfg.load_from)
    about = {"folder": str(folder), "config": run.cfg.filename, "checkpoint": whose}
    run.set("test_evaluator", [*metrics, {**_writer(run, metrics, folder), **about}], _ORIGIN)


def _writer(run: RunConfig, metrics: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Return the metric that saves, without what all have; let COCO's metric write its results there."""
    by_name = {name_of(x): x for x in metrics}
    if any(x.get("format_only") for x in metrics):
        raise LaunchError("--predictions needs a test that scores, and test_evaluator has format_only=True")
    if by_name.keys() & LABEL_METRICS:
        return {"type": "mmvisionllama.ClsPredictionWriter"}
    if "IoUMetric" in by_name:
        ignored = by_name["IoUMetric"].get("ignore_index", 255)
        return {"type": "mmvisionllama.SegPredictionWriter", "ignore_index": ignored}
    if "ReconstructionLoss" in by_name:
        return {"type": "mmvisionllama.ReconstructionWriter"}
    for name in by_name.keys() & _COCO:
        dataset = run.cfg.test_dataloader["dataset"]
        ann_file = by_name[name].get("ann_file")
        if not ann_file and not dataset.get("ann_file"):
            raise LaunchError(f"--predictions needs the annotations: set test_evaluator.ann_file of {name}")
        ann_file = ann_file or Path(dataset.get("data_root") or "", dataset["ann_file"])
        prefix = RESULTS["bbox"].removesuffix(".bbox.json")
        by_name[name]["outfile_prefix"] = str(folder / prefix)
        return {"type": "mmvisionllama.DetPredictionWriter", "ann_file": str(ann_file)}
    given = ", ".join(by_name) or "none"
    raise LaunchError(
        "--predictions: predictions are saved of tests with Accuracy, IoUMetric, CocoMetric, "
        f"FasterCocoMetric or ReconstructionLoss; test_evaluator of {run.cfg.filename} has {given}"
    )
