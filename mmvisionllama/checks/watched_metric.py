"""Check that the metric that decides the best checkpoint is one that the evaluator gives."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.registry import METRICS

from mmvisionllama.errors import ConfigError
from mmvisionllama.suggestions import did_you_mean

_IOU = {
    "mIoU": ("aAcc", "mIoU", "mAcc"),
    "mDice": ("aAcc", "mDice", "mAcc"),
    "mFscore": ("aAcc", "mFscore", "mPrecision", "mRecall"),
}
_WRITERS = {"ClassPredictions", "DumpResults", "DumpDetResults", "DumpProposals"}  # they give no metric
_COCO = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")


def require_watched_metric(cfg: Mapping[str, Any]) -> None:
    """Require that ``save_best`` of a checkpoint hook and ``monitor`` of early stopping name what there is.

    Names are known of the hosts' common metrics; of others the prefix alone is compared.

    Raises: ConfigError: with the names that there are, or if no validation comes before the training ends.
    """
    evaluator = cfg.get("val_evaluator")
    if evaluator is None:
        return
    train = cfg.get("train_cfg") or {}
    begin, end = train.get("val_begin") or 0, train.get("max_epochs", train.get("max_iters"))
    for path, name in _watched(cfg) if end is not None and begin > end else ():
        raise ConfigError(
            f"{path}={name!r}: train_cfg.val_begin={begin} is after the end of the training, {end}, so no "
            "validation gives it; set train_cfg.val_begin=1"
        )
    if isinstance(evaluator, dict):
        evaluator = evaluator.get("metrics", evaluator)
    metrics = [evaluator] if isinstance(evaluator, dict) else list(evaluator)
    given = [(_prefix(x), _names(x)) for x in metrics]
    for path, name in _watched(cfg):
        if any(_may_give(prefix, names, name) for prefix, names in given):
            continue
        listed = [(prefix, ("...",) if names is None else names) for prefix, names in given]
        known = [f"{prefix}/{x}" if prefix else x for prefix, names in listed for x in names]
        told = ", ".join(known) or "no metric"
        raise ConfigError(f"{path}={name!r}: val_evaluator gives {told}.{did_you_mean(name, known)}")


def _watched(cfg: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    hooks = {f"default_hooks.{key}": x for key, x in (cfg.get("default_hooks") or {}).items()}
    hooks |= {f"custom_hooks.{i}": x for i, x in enumerate(cfg.get("custom_hooks") or ())}
    for path, hook in hooks.items():
        for key in ("save_best", "monitor"):
            value = hook.get(key) if isinstance(hook, dict) else None
            names = [value] if isinstance(value, str) else value or ()
            yield from ((f"{path}.{key}", name) for name in names if name != "auto")


def _prefix(metric: Mapping[str, Any]) -> str | None:
    return metric.get("prefix") or getattr(_class_of(metric), "default_prefix", None)


def _class_of(metric: Mapping[str, Any]) -> type | None:
    type_ = metric["type"]
    if not isinstance(type_, str):
        return type_
    with METRICS.switch_scope_and_registry(None) as registry:  # that of the config's default scope
        return registry.get(type_)


def _names(metric: Mapping[str, Any]) -> list[str] | None:
    """Return what a metric gives, without its prefix; None where that is not known."""
    kind = getattr(_class_of(metric), "__name__", "")
    if metric.get("format_only") or kind in _WRITERS:
        return []
    if kind == "Accuracy" and not metric.get("thrs"):
        topk = metric.get("topk", (1,))
        return [f"top{k}" for k in ([topk] if isinstance(topk, int) else topk)]
    if kind == "IoUMetric":
        asked = metric.get("iou_metrics", ["mIoU"])
        return list(dict.fromkeys(name for x in asked for name in _IOU.get(x, ())))
    if kind in ("CocoMetric", "FasterCocoMetric") and not metric.get("classwise"):
        asked = metric.get("metric", "bbox")
        asked = [asked] if isinstance(asked, str) else asked
        return None if {*asked} - {"bbox", "segm"} else [f"{x}_{name}" for x in asked for name in _COCO]
    return None


def _may_give(prefix: str | None, names: list[str] | None, name: str) -> bool:
    if prefix and not name.startswith(f"{prefix}/"):
        return False
    return names is None or (name.removeprefix(f"{prefix}/") if prefix else name) in names
