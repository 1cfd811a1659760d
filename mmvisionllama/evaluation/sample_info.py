"""How a set of samples came to be, in a JSON file beside it."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from mmvisionllama.evaluation.errors import EvaluationError
from mmvisionllama.files import replaced_when_whole
from mmvisionllama.names import refusal

_IN_FOLDER = "samples.json"


@dataclass(frozen=True, kw_only=True)
class SampleInfo:
    """What a report says of samples; what is not known is None.

    Attributes:
        dataset: That the generator was trained on, see :func:`mmvisionllama.evaluation.dataset_name`.
        config: Of the generator.
        checkpoint: File of its weights.
        step: Of the training, at which the checkpoint was written.
        weights: The moving average (``ema``) or the trained ones (``raw``).
        sampler: Its type, e.g. ``DDPMSampler``, and options that are not the default.
        steps: Of the sampler; None for one that chooses its own.
        guidance_scale: 1 is no guidance.
        guidance_channels: The channels that are guided, e.g. ``all``.
        seed: Of the noise.
        count: Number of samples when they are complete.
    """

    dataset: str | None = None
    config: str | None = None
    checkpoint: str | None = None
    step: int | None = None
    weights: Literal["ema", "raw"] | None = None
    sampler: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    guidance_channels: str | int | None = None
    seed: int | None = None
    count: int | None = None


def info_path(samples: Path) -> Path:
    """Return where the information about an ``.npz`` file or a folder of samples is kept."""
    return samples / _IN_FOLDER if samples.is_dir() else samples.with_suffix(".json")


def write_info(samples: Path, info: SampleInfo) -> Path:
    """Write it beside the samples, whole or not at all; return its path."""
    path = info_path(samples)
    with replaced_when_whole(path) as temporary:
        temporary.write_text(json.dumps(asdict(info), indent=2) + "\n")
    return path


def read_info(samples: Path) -> SampleInfo | None:
    """Read what is known of samples, None if nothing is written beside them.

    Raises:
        EvaluationError: if the file beside them holds something else.
    """
    path = info_path(samples)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise EvaluationError(f"{path} is no JSON file: {error}") from error
    if not isinstance(content, dict):
        raise EvaluationError(f"{path} must hold facts about samples, it holds a {type(content).__name__}")
    if problem := refusal(str(path), content, [x.name for x in fields(SampleInfo)]):
        raise EvaluationError(problem)
    return SampleInfo(**content)
