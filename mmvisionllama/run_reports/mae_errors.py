"""Errors of a masked autoencoder: the loss of each image."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from mmvisionllama.evaluation.saved_predictions import SavedPredictions
from mmvisionllama.run_reports.pages import Picture, Section
from mmvisionllama.run_reports.ranked_images import RankedImage


class MAEErrors:
    """What a masked autoencoder reconstructed badly.

    Attributes:
        loss: (N,), of each image; NaN where it was not finite.
    """

    legend = "Ordered by the loss of the hidden patches."

    def __init__(self, saved: SavedPredictions) -> None:
        self._saved = saved
        self.loss = np.array([x["loss"] for x in saved.images], dtype=float)

    def facts(self) -> dict[str, object]:
        """Return the numbers of the analysis, for JSON."""
        known = self.loss[np.isfinite(self.loss)]
        found = {f"{share}% of the images are below": share for share in (10, 50, 90)}
        percent = {name: float(np.percentile(known, x)) for name, x in found.items()} if len(known) else {}
        mean = float(known.mean()) if len(known) else np.nan
        return {
            "images": len(self.loss),
            "not finite": len(self.loss) - len(known),
            "mean loss": mean,
            **percent,
        }

    def class_results(self) -> dict[str, dict[str, float]]:
        """Nothing: it knows no classes."""
        return {}

    def ranked(self) -> list[RankedImage]:
        """Return every image by its loss, the worst first."""
        order = np.argsort(-np.nan_to_num(self.loss, nan=np.inf), kind="stable")
        images = self._saved.images
        return [
            RankedImage(self._saved.name_of(i), images[i]["image"], f"loss {self.loss[i]:.4g}") for i in order
        ]

    def sections(self) -> Iterator[Section]:
        """Yield the parts of the page."""
        figure = Figure(figsize=(8, 3), dpi=100, layout="constrained")
        ax = figure.subplots()
        ax.hist(self.loss[np.isfinite(self.loss)], bins=40)
        ax.set(xlabel="loss of an image", ylabel="images")
        yield Section("Losses", [Picture.drawn("losses.png", figure, "losses of the images")])
