"""Metrics that score nothing: they save what a test predicts beside the truth, one for each task."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmvisionllama.arguments import Count, checked
from mmvisionllama.errors import EvaluationError
from mmvisionllama.evaluation.saved_predictions import ANNOTATIONS, RESULTS, write_predictions_file
from mmvisionllama.files import atomic_path, plain_float
from mmvisionllama.registry import METRICS

_TOP = 5


class PredictionWriter(BaseMetric):
    """Save what a test predicts, in the format of ``saved_predictions``; no metric comes out.

    Args:
        folder: For the files.
        config, checkpoint: Whose predictions these are.
    """

    task: str

    @checked
    def __init__(self, folder: str, *, config: str | None = None, checkpoint: str | None = None) -> None:
        super().__init__(collect_device="gpu")  # by messages: "cpu" needs a folder that all share
        self.folder, self.facts = Path(folder), {"config": config, "checkpoint": checkpoint}

    def entry(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Return what is saved of an image beside its path."""
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note every image of a batch."""
        for sample in data_samples:
            self.results.append({"image": sample.get("img_path"), **self.entry(sample)})

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Write the file, and return no metrics."""
        classes = (self.dataset_meta or {}).get("classes")
        file = write_predictions_file(self.folder, self.task, classes, results, **self.facts)
        print_log(f"Predictions: {file}", "current")
        return {}


@METRICS.register_module()
class ClsPredictionWriter(PredictionWriter):
    """Save the five likeliest classes of every image, its true class, and the score of that."""

    task = "classification"

    def entry(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See ``SavedPredictions``."""
        truth, scores = sample["gt_label"], sample["pred_score"].float().cpu().numpy()
        if truth.numel() != 1:
            raise EvaluationError("--predictions: images of several classes are not saved, only of one class")
        order = np.argsort(-scores, kind="stable")[:_TOP]
        return {
            "truth": int(truth),
            "truth_score": plain_float(scores[int(truth)]),
            "labels": order.tolist(),
            "scores": [plain_float(x) for x in scores[order]],
        }


@METRICS.register_module()
class SegPredictionWriter(PredictionWriter):
    """Save the predicted and the true label of every pixel, as PNG files.

    Args:
        folder, config, checkpoint: See ``PredictionWriter``.
        ignore_index: Label of the pixels that are not scored.
    """

    task = "segmentation"

    @checked
    def __init__(
        self,
        folder: str,
        *,
        config: str | None = None,
        checkpoint: str | None = None,
        ignore_index: Count = 255,
    ) -> None:
        super().__init__(folder, config=config, checkpoint=checkpoint)
        self.facts["ignored"] = ignore_index

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Write the labels of a batch; see ``PredictionWriter``."""
        self.facts["palette"] = [[int(x) for x in colour] for colour in self.dataset_meta["palette"]]
        super().process(data_batch, data_samples)

    def entry(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See ``SavedPredictions``."""
        # Processes take images in turn, and results are gathered in this order.
        name = f"{len(self.results) * get_world_size() + get_rank():06}"
        pairs = {"truth": sample["gt_sem_seg"]["data"], "predicted": sample["pred_sem_seg"]["data"]}
        return {key: self._write(f"{key}/{name}.png", labels) for key, labels in pairs.items()}

    def _write(self, name: str, labels: Tensor) -> str:
        pixels: NDArray = labels.squeeze(0).cpu().numpy()
        kind = np.uint8 if pixels.max(initial=0) < 256 else np.uint16
        with atomic_path(self.folder / name) as temporary:
            Image.fromarray(pixels.astype(kind)).save(temporary, "png")
        return name


@METRICS.register_module()
class DetPredictionWriter(PredictionWriter):
    """Save which images were predicted, and their annotations; CocoMetric beside it writes the results.

    Args:
        folder, config, checkpoint: See ``PredictionWriter``.
        ann_file: The annotations, which are copied.
    """

    task = "detection"

    @checked
    def __init__(
        self, folder: str, *, ann_file: str, config: str | None = None, checkpoint: str | None = None
    ) -> None:
        super().__init__(folder, config=config, checkpoint=checkpoint)
        self.ann_file = ann_file

    def entry(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See ``SavedPredictions``."""
        return {"id": sample["img_id"]}

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Copy the annotations, and write which results there are."""
        with atomic_path(self.folder / ANNOTATIONS) as temporary:
            shutil.copyfile(self.ann_file, temporary)
        self.facts["results"] = [kind for kind, name in RESULTS.items() if (self.folder / name).is_file()]
        return super().compute_metrics(results)


@METRICS.register_module()
class ReconstructionWriter(PredictionWriter):
    """Save the loss of every image of a masked autoencoder."""

    task = "reconstruction"

    def entry(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See ``SavedPredictions``."""
        return {"loss": plain_float(sample["loss"])}
