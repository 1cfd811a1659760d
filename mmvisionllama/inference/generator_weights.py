"""The weights of a checkpoint in a generator: the moving average where there is one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mmengine.config import Config
from torch import Tensor, nn

from mmvisionllama.checkpoint import facts_beside, read_checkpoint, weights_of
from mmvisionllama.checks.checkpoint import require_exact
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import sha256_of
from mmvisionllama.inference.sources import checkpoint_file


@dataclass(frozen=True)
class Loaded:
    """What weights a generator was given.

    Attributes:
        kind: The moving average (``ema``), the trained ones (``raw``), or None if the file does not tell.
        step: Of the training, at which they were saved, if the file tells.
        sha256: Of the file.
        remark: The same for the log.
    """

    kind: Literal["ema", "raw"] | None
    step: int | None
    sha256: str
    remark: str


def load_weights(model: nn.Module, cfg: Config, path: str, *, raw: bool = False) -> Loaded:
    """Load a checkpoint of a training, or converted weights, into the generator that ``cfg`` describes.

    Args:
        raw: Take the trained weights although there is a moving average.

    Raises:
        CheckpointError: if it does not exist, is of another objective or network, or has not these weights.
    """
    file = checkpoint_file(path)
    checkpoint = read_checkpoint(file, lazy=True)
    weights, kind, remark = _chosen(checkpoint, file, raw)
    notes = require_exact(model, weights, checkpoint, path, cfg)
    model.load_state_dict(weights)
    step = (checkpoint.get("meta") or {}).get("iter")
    remark = "; ".join([remark if step is None else f"{remark}, step {step:,}", *notes])
    return Loaded(kind, step, sha256_of(file), f"{path}: {remark}")


def _chosen(
    checkpoint: Mapping[str, Any], path: Any, raw: bool
) -> tuple[dict[str, Tensor], Literal["ema", "raw"] | None, str]:
    weights, average = weights_of(checkpoint, path), checkpoint.get("ema_state_dict")
    if average is not None and not raw:
        return weights, "ema", "moving average of the weights"
    if average is not None:
        # mmengine's EMAHook lets the two change places when it saves.
        trained = {k.removeprefix("module."): v for k, v in average.items() if k.startswith("module.")}
        return trained, "raw", "weights as trained, not their moving average"
    if path.suffix != ".safetensors":
        return weights, "raw", "weights as trained, since it holds no moving average"
    part = facts_beside(path).get("source", {}).get("part")
    kind = {"ema": "ema", "model": "raw"}.get(part)
    if raw and kind != "raw":
        what = "their moving average alone" if kind else "one set of weights and does not tell which"
        raise CheckpointError(
            f"--raw: {path} holds {what}; convert the released file again with --part model, or leave it out"
        )
    told = {"ema": "moving average of the weights", "raw": "weights as trained", None: "converted weights"}
    return weights, kind, told[kind]
