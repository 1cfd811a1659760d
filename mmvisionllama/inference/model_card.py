"""The card of a published model, in the hub's format."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmvisionllama import __version__
from mmvisionllama.checkpoint.kept_config import WEIGHTS
from mmvisionllama.compat import extras_named
from mmvisionllama.inference.published_files import EXAMPLE, LIBRARY

_TAGS = {  # by the task
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "detection": "object-detection",
    "reconstruction": "image-feature-extraction",
    "generation": "unconditional-image-generation",
}
_USES = {
    "classification": 'print(model.predict("photo.jpg").top(5))',
    "segmentation": 'model.predict("photo.jpg").save("prediction.png")',
    "detection": 'model.predict("photo.jpg").save("prediction.png")',
    "reconstruction": 'features = model.features("photo.jpg")',
    "generation": "images = model.sample(classes=[0], num=4, seed=0)",
}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card says.

    Attributes:
        name: Of the model.
        source: What ``mmvisionllama.load`` takes to load it.
        data: Class and place of the training's data set, if it is known.
        metrics: Of these weights, if they are known.
        measured_by: What gave them.
        recipe: Line by line, name and value.
        command: That trained it, if it is known.
        precision: That the weights were rounded to, None if they were not.
        commit: Of the code that published it, if it is known.
    """

    name: str
    source: str
    task: str
    license: str
    sha256: str
    data: str | None
    metrics: Mapping[str, float]
    measured_by: str
    recipe: Mapping[str, Any]
    command: str | None
    precision: str | None
    commit: str | None
    has_example: bool

    def text(self) -> str:
        """Return the card as Markdown below YAML.

        Raises: UserError: where huggingface_hub is not installed.
        """
        with extras_named():
            from huggingface_hub import EvalResult, ModelCardData

        tag = _TAGS[self.task]
        data = self.data or "unknown"
        facts = ModelCardData(
            license=self.license,
            library_name=LIBRARY,
            pipeline_tag=tag,
            tags=["visionllama", "openmmlab", self.task],
            model_name=self.name,
            eval_results=[
                EvalResult(
                    task_type=tag,
                    dataset_type=re.sub(r"[^\w./-]+", "-", data.lower()),
                    dataset_name=data,
                    metric_type=name,
                    metric_value=value,
                )
                for name, value in self.metrics.items()
            ]
            or None,
        )
        return f"---\n{facts.to_yaml()}\n---\n\n{self._body()}"

    def _body(self) -> str:
        code = f'import mmvisionllama\nmodel = mmvisionllama.load("{self.source}")\n{_USES[self.task]}'
        rows = {"task": self.task, "data": self.data or "not known", **self.recipe}
        rows |= {"command": f"`{self.command}`"} if self.command else {}
        rows |= {"weights": f"{self.precision}; computes in float32"} if self.precision else {}
        rows |= {"commit": self.commit or "not known", f"SHA-256 of {WEIGHTS}": f"`{self.sha256}`"}
        parts = [f"# {self.name}", f"```python\n{code}\n```", _table(("", ""), rows)]
        if self.metrics:
            parts.append(f"## Metrics\n\n{_table(('metric', self.measured_by), self.metrics)}")
        if self.has_example:
            parts.append(f"## Example\n\n![{self.name}]({EXAMPLE})")
        return "\n\n".join([*parts, f"Published by mmvisionllama {__version__}."]) + "\n"


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())])
