"""The start of a training from a checkpoint: which parts of it fit, found out before the config is final."""

from collections.abc import Sequence
from pathlib import Path

from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.checks.checkpoint import check_start, match_weights, starting_weights
from mmvisionllama.checks.run import build_model
from mmvisionllama.config import load_config


def fit_to_start(config: Path, start: Path, classes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Find the parts beside the backbone that a checkpoint has in other shapes, as heads of another width.

    Returns: Their key paths, for ``accepted_differences`` of the config, and what is kept, new and dropped.
    Raises: CheckpointError: for a checkpoint of another backbone, listing both sides.
    """
    cfg = load_config(config)
    model, checkpoint = build_model(cfg), read_checkpoint(start, lazy=True)
    fit = starting_weights(model, checkpoint, start, cfg, classes)
    names = [name for name, _, _ in match_weights(model, fit.weights).differing]
    anew = sorted({_part(name) for name in names if not name.startswith("backbone.")})
    cfg.accepted_differences = anew
    return anew, check_start(model, str(start), cfg, classes)


def _part(name: str) -> str:
    """Return the key path of the part that a weight is in: a neck, a head, one of a RoI head."""
    steps = name.split(".")
    return ".".join(["model", *steps[: 2 if steps[0] == "roi_head" else 1]])
