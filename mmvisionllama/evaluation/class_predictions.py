"""Predictions of a classifier for images without labels, as a table."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmvisionllama.arguments import checked
from mmvisionllama.files import atomic_path
from mmvisionllama.registry import METRICS


@METRICS.register_module()
class ClassPredictions(BaseMetric):
    """Write the class of every image, its name and its score into a CSV file; nothing is scored.

    Args:
        out_file: Of the columns ``image``, ``label``, ``name`` and ``score``.
    """

    @checked
    def __init__(self, out_file: str) -> None:
        super().__init__(collect_device="gpu")  # by messages: "cpu" needs a folder that all share
        self.out_file = out_file

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note the best class of every image."""
        names = (self.dataset_meta or {}).get("classes")
        for sample in data_samples:
            label = int(sample["pred_label"])
            name = names[label] if names else label
            self.results.append((sample["img_path"], label, name, float(sample["pred_score"][label])))

    def compute_metrics(self, results: list[tuple[str, int, str, float]]) -> dict[str, float]:
        """Write the table, and return no metrics."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("image", "label", "name", "score"))
        writer.writerows(results)
        file = Path(self.out_file)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            temporary.write_text(table.getvalue())
        print_log(f"Predictions: {file}", "current")
        return {}
