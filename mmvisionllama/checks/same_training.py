"""Compare optimizer and batch of a checkpoint with those of the run that goes on from it."""

from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from typing import Any

from mmengine.config import Config

from mmvisionllama.checkpoint.kept_config import kept_settings
from mmvisionllama.checks.same_model import Difference
from mmvisionllama.config.component_types import UnknownType, resolve, resolve_untrusted
from mmvisionllama.config.origins import leaves
from mmvisionllama.errors import CheckpointError
from mmvisionllama.signatures import accepted_arguments
from mmvisionllama.suggestions import shortened

_Find = Callable[[Any, str, tuple[str, ...]], Callable]  # as ``resolve``
# What the restored state of an optimizer decides, whatever the config says.
_RESTORED = ("optimizer", "constructor", "paramwise_cfg", "loss_scale")
_BATCH = ("auto_scale_lr.base_batch_size", "train_dataloader.batch_size", "optim_wrapper.accumulative_counts")


def require_same_training(checkpoint: Mapping[str, Any], path: Any, cfg: Config, processes: int) -> None:
    """Require that ``cfg`` asks for no other optimizer or global batch than those of a checkpoint to resume.

    The checkpoint's would be used, and the config's be claimed. What the checkpoint does not tell is not
    compared, and the number of processes alone may change.

    Args:
        processes: Of the run.
    Raises: CheckpointError: in one line, with each key, both values and the ways on.
    """
    kept = kept_settings(checkpoint)
    found = list(_of_optimizer(kept, cfg)) if isinstance(kept.get("optim_wrapper"), Mapping) else []
    found += _of_batch(kept, _processes_of(checkpoint), cfg, processes)
    if found:
        raise CheckpointError(
            f"--resume goes on with optimizer and global batch of {path}: {'; '.join(map(str, found))}. "
            f"Leave them as they were, or begin anew from its weights: load_from={path} without --resume"
        )


def remark_on_other_data(checkpoint: Mapping[str, Any], path: Any, cfg: Config) -> list[str]:
    """Return a line about data and evaluation other than in a checkpoint to resume; they are applied.

    How they are loaded, as by other numbers of processes, does not matter.
    """
    kept, found = kept_settings(checkpoint), []
    for section in ("train_dataloader", "val_dataloader", "val_evaluator"):
        theirs, ours = (_plain_leaves(x.get(section)) for x in (kept, cfg))
        if theirs and ours:
            pairs = ((key, theirs.get(key), ours.get(key)) for key in dict.fromkeys((*theirs, *ours)))
            found += [Difference(f"{section}.{key}", *pair) for key, *pair in pairs if pair[0] != pair[1]]
    if not found:
        return []
    return [f"--resume goes on with other data than {path} was trained on: {shortened([*map(str, found)])}"]


def _plain_leaves(section: Any) -> dict[str, Any]:
    """Return key paths and values of the data set in a loader, or of an evaluator."""
    if isinstance(section, Mapping) and isinstance(section.get("dataset"), Mapping):
        section = {"dataset": section["dataset"]}
    found = ((".".join(keys), value) for keys, value in leaves(section))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found if key}


def _of_optimizer(kept: Mapping[str, Any], cfg: Config) -> Iterator[Difference]:
    name = "optim_wrapper"
    scopes = (str(kept.get("default_scope") or "mmengine"), "mmengine")
    theirs = dict(_leaves(_restored(kept[name]), name, scopes, resolve_untrusted))
    ours = dict(_leaves(_restored(cfg[name]), name, (cfg.get("default_scope") or "mmengine",), resolve))
    for path in dict.fromkeys((*theirs, *ours)):
        pair = theirs.get(path), ours.get(path)
        # Mixed precision is the run's own choice; its scale is the checkpoint's where both have one.
        if pair[0] != pair[1] and not (path.endswith("loss_scale") and None in pair):
            yield Difference(path, *pair)


def _restored(wrapper: Mapping[str, Any]) -> dict[str, Any]:
    if "optimizer" in wrapper:
        return {key: wrapper[key] for key in _RESTORED if key in wrapper}
    return {key: _restored(x) if isinstance(x, Mapping) else x for key, x in wrapper.items()}


def _leaves(value: Any, path: str, scopes: tuple[str, ...], find: _Find) -> Iterator[tuple[str, Any]]:
    """Yield what a config says below ``path``: plain values by their key paths, defaults filled in."""
    if not isinstance(value, Mapping):
        yield path, list(value) if isinstance(value, tuple) else value
        return
    if "type" in value:
        try:
            kind = find(value["type"], "optimizer", scopes)
        except UnknownType:
            pass
        else:
            arguments = accepted_arguments(kind).by_name.items()
            defaults = {name: x.default for name, x in arguments if x.default is not Parameter.empty}
            value = {**defaults, **value, "type": kind.__name__}
    for key, x in value.items():
        yield from _leaves(x, f"{path}.{key}", scopes, find)


def _processes_of(checkpoint: Mapping[str, Any]) -> int | None:
    exact = checkpoint.get("resume")
    members = exact.get("processes") if isinstance(exact, Mapping) else None
    return len(members) if isinstance(members, (list, tuple)) else None


def _of_batch(
    kept: Mapping[str, Any], kept_processes: int | None, cfg: Config, processes: int
) -> Iterator[Difference]:
    theirs, ours = ([_value(x, path) for path in _BATCH] for x in (kept, cfg))
    if kept_processes is None or not all(isinstance(x, int) for x in theirs[1:]):
        return
    if _images(*theirs, kept_processes) != _images(*ours, processes):
        yield from (
            Difference(path, *pair)
            for path, *pair in zip(_BATCH, theirs, ours, strict=True)
            if pair[0] != pair[1]
        )


def _value(cfg: Mapping[str, Any], path: str) -> Any:
    section, key = path.split(".")
    content = cfg.get(section)
    content = content if isinstance(content, Mapping) else {}
    if content.get("enable"):  # mmengine fits the rate to the batch that comes out
        return None
    return content.get(key, 1 if key == "accumulative_counts" else None)


def _images(stated: Any, batch: Any, accumulated: Any, processes: int) -> Any:
    return stated if stated is not None else (batch or 0) * accumulated * processes
