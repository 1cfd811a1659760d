"""Check that every head of a model, its class weights and its metrics mean the same number of classes."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from torch import nn

from mmvisionllama.checks.evaluators import metrics_of
from mmvisionllama.errors import ConfigError

# Where heads of classes are: in the model itself, and in a detector's second stage.
_HEADS = ("decode_head", "auxiliary_head", "head", "bbox_head", "mask_head")
_STAGES = ("", "roi_head")


def classes_of(model: Mapping[str, Any]) -> int | None:
    """Return the number of classes of the (last) head, or of a generator's network, in a model's config."""
    head = model.get("decode_head") or model.get("head") or model.get("network") or model.get("bbox_head")
    head = head or model.get("roi_head", {}).get("bbox_head")
    head = head[-1] if isinstance(head, (list, tuple)) else head
    return None if head is None else head.get("num_classes")


def require_one_number_of_classes(cfg: Config, model: nn.Module, evaluator: str) -> None:
    """Require that heads, class weights, labels to mix and metrics have a place for each class alone.

    Raises: ConfigError: with both numbers.
    """
    classes, preprocessor = classes_of(cfg.model), getattr(model, "data_preprocessor", None)
    if classes is None:
        return
    for path, head in _heads(cfg.model):
        number = head.get("num_classes", classes)
        if number != classes and not head.get("class_agnostic"):
            raise ConfigError(
                f"{path}.num_classes={number}, but the model's head for the result has {classes} classes: "
                f"all heads learn the same classes; set {path}.num_classes={classes}"
            )
        _require_weights(path, head, classes)
    mixed = preprocessor.num_classes if getattr(preprocessor, "to_onehot", False) else None
    if mixed not in (None, classes):
        raise ConfigError(
            f"data_preprocessor.num_classes={mixed}, but model.head.num_classes={classes}: mixed labels need "
            "the same number"
        )
    for metric in metrics_of(cfg, evaluator):
        topk = metric.get("topk") or 0
        if (largest := topk if isinstance(topk, int) else max(topk)) > classes:
            raise ConfigError(
                f"{evaluator}: {metric['type']} has topk={topk}, but model.head.num_classes={classes}: there "
                f"is no top {largest} of {classes} classes"
            )


def _heads(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for stage in _STAGES:
        holder = model.get(stage) if stage else model
        for name in _HEADS if isinstance(holder, Mapping) else ():
            path = ".".join(filter(None, ("model", stage, name)))
            heads = holder.get(name)
            if isinstance(heads, Mapping):
                yield path, heads
            elif isinstance(heads, (list, tuple)):
                yield from ((f"{path}.{i}", x) for i, x in enumerate(heads) if isinstance(x, Mapping))


def _require_weights(path: str, head: Mapping[str, Any], classes: int) -> None:
    for key, value in head.items():
        losses = value if isinstance(value, (list, tuple)) else [value]
        for number, loss in enumerate(losses):
            weights = loss.get("class_weight") if isinstance(loss, Mapping) else None
            if not isinstance(weights, (list, tuple)):
                continue
            where = f"{path}.{key}{f'.{number}' if loss is not value else ''}.class_weight"
            # A detector's softmax has the background as a last class.
            background = path.rpartition(".")[2].startswith("bbox_head") or ".bbox_head." in path
            wanted = classes + (background and not loss.get("use_sigmoid", False))
            if len(weights) != wanted and not head.get("out_channels"):
                also = " and the background" if wanted > classes else ""
                raise ConfigError(
                    f"{where} has {len(weights)} weights, but the head has {classes} classes{also}: give "
                    f"{wanted} weights"
                )
