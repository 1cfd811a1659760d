"""JSON file beside a set of samples: generator, checkpoint, sampler, seed."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_type_hints

from mmvisionllama.arguments import described, takes
from mmvisionllama.errors import EvaluationError, UserError
from mmvisionllama.files import read_record, write_json
from mmvisionllama.suggestions import refusal

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
    write_json(path, asdict(info))
    return path


def read_info(samples: Path) -> SampleInfo | None:
    """Read what is known of samples, None if nothing is written beside them.

    Raises:
        EvaluationError: if the file beside them holds something else.
    """
    path = info_path(samples)
    try:
        content = read_record(path)
    except UserError as error:
        raise EvaluationError(str(error)) from error
    if content is None:
        return None
    if problem := refusal(str(path), content, [x.name for x in fields(SampleInfo)]):
        raise EvaluationError(problem)
    for name, kind in get_type_hints(SampleInfo).items():
        if not takes(kind, content.get(name)):
            raise EvaluationError(f"{path}: {name} takes {described(kind)}, got {content[name]!r:.60}")
    return SampleInfo(**content)
