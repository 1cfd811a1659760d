"""The weights of a checkpoint in a generator: the moving average where there is one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from mmvisionllama.checkpoint import (
    CheckpointError,
    facts_beside,
    kept_model,
    read_checkpoint,
    require_exact,
    weights_of,
)
from mmvisionllama.checkpoint.reading import local_file
from mmvisionllama.files import sha256_of
from mmvisionllama.generation.describing import described, differences
from mmvisionllama.generation.network import ARCHS
from mmvisionllama.models.backbone import resolve_arch

# What changes neither weights nor samples: of a network, of an objective's loss.
_NO_MATTER = ("arch", "init_cfg", "with_cp", "label_dropout", "weighting")


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


def load_weights(model: nn.Module, cfg: Mapping[str, Any], path: str, *, raw: bool = False) -> Loaded:
    """Load a checkpoint of a training, or converted weights, into the generator that ``cfg`` describes.

    Args:
        raw: Take the trained weights although there is a moving average.

    Raises:
        CheckpointError: if it does not exist, is of another objective or network, or has not these weights.
    """
    file = local_file(path)
    checkpoint = read_checkpoint(file, lazy=True)
    _require_same_model(kept_model(checkpoint, file), cfg, path)
    weights, kind, remark = _chosen(checkpoint, file, raw)
    require_exact(model, weights, path)
    model.load_state_dict(weights)
    step = (checkpoint.get("meta") or {}).get("iter")
    return Loaded(
        kind, step, sha256_of(file), f"{path}: {remark}" + ("" if step is None else f", step {step:,}")
    )


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


def _require_same_model(kept: Mapping[str, Any] | None, cfg: Mapping[str, Any], path: str) -> None:
    """Refuse what the weights' names and shapes do not tell: another objective, heads, grid, scale."""
    names = ("in the checkpoint", "in the config")
    for part in ("objective", "network"):
        if not kept or not kept.get(part):
            continue
        problems = differences(_essence(kept[part]), _essence(cfg[part]), names)
        if problems:
            raise CheckpointError(
                f"{path} is of another {part}: {'; '.join(problems)}. Use the config that it was trained with"
            )
    scales = [((x or {}).get("autoencoder") or {}).get("scale") for x in (kept, cfg)]
    if None not in scales and scales[0] != scales[1]:
        raise CheckpointError(
            f"{path} was trained on latents of the scale {scales[0]}, autoencoder.scale is {scales[1]}"
        )


def _essence(cfg: Mapping[str, Any]) -> dict[str, Any]:
    found = described(cfg)
    sizes = resolve_arch(found["arch"], ARCHS) if "arch" in found else {}
    return {key: x for key, x in {**found, **sizes}.items() if key not in _NO_MATTER}
