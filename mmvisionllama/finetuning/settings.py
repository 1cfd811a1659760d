"""Settings that the configs of all tasks share: backbone, loaders, optimizer, schedule."""

from dataclasses import dataclass, field
from typing import Any

from mmvisionllama.finetuning.annotation_files import Annotations
from mmvisionllama.finetuning.config_text import Name, With
from mmvisionllama.finetuning.recipe import Recipe

LOAD = dict(type="mmvisionllama.LoadImageFromFile")
LOAD_TRAIN = dict(**LOAD, max_corrupt=10)
_VALIDATIONS = 10  # of a training


@dataclass(frozen=True)
class Settings:
    """A config but for its length.

    Attributes:
        bases: Files below ``configs/_base_``.
        variables: That the sections refer to.
        sections: In their order.
    """

    bases: tuple[str, ...]
    variables: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)


def backbone_settings(recipe: Recipe, **own: Any) -> dict[str, Any]:
    """Return the backbone of the model; ``own`` are those of the task."""
    chosen = recipe.backbone
    settings: dict[str, Any] = dict(type=chosen.type, arch=chosen.arch, img_size=recipe.side)
    if not chosen.is_pyramid:
        settings["patch_size"] = recipe.patch_size
    if not chosen.kept:
        settings["layer_scale"] = None
        if not chosen.is_tiny:
            settings |= dict(drop_path_rate=0.1, drop_path_schedule="linear")
    return {**settings, **chosen.kept, **own}


def loaders(train: Any, val: Any, test: Any, *, batch: int, evaluated: int) -> dict[str, Any]:
    """Return the data loaders.

    Args:
        train, val, test: Data sets; None: there is no test part, so tests are on the validation part.
        batch: Images of a step.
        evaluated: Images of a batch of validation and test.
    """
    val = dict(batch_size=evaluated, dataset=val)
    return dict(
        train_dataloader=dict(batch_size=batch, dataset=train),
        val_dataloader=val,
        test_dataloader=Name("val_dataloader") if test is None else dict(batch_size=evaluated, dataset=test),
    )


def part(data: Annotations, name: str, pipeline: Any, **own: Any) -> With | None:
    """Return the data set of a part, which goes on from the variable ``_data``; None if there is none."""
    if name not in data.files:
        return None
    return With(Name("_data"), dict(ann_file=str(data.files[name]), **own, pipeline=pipeline))


def schedule(data: Annotations, recipe: Recipe) -> dict[str, Any]:
    """Return optimizer, schedule, length and the hooks that follow from it."""
    wrapper: dict[str, Any] = dict(optimizer=dict(lr=recipe.lr))
    if recipe.layer_decay is not None:
        wrapper["constructor"] = "mmvisionllama.LayerDecayOptimWrapperConstructor"
        wrapper["paramwise_cfg"] = dict(layer_decay_rate=recipe.layer_decay)
    each = recipe.steps_of_epoch(data.counts["train"])
    by_epoch = recipe.task != "seg"
    length = recipe.epochs if by_epoch else recipe.epochs * each
    warm_up = max(min(length // 10, 5 if by_epoch else 500), 1)
    unit = dict(by_epoch=True, convert_to_iter_based=True) if by_epoch else dict(by_epoch=False)
    schedulers = [dict(type="CosineAnnealingLR", eta_min=0.0, begin=0, end=length, **unit)]
    if length > 2:
        schedulers[0]["begin"] = warm_up
        schedulers.insert(0, dict(type="LinearLR", start_factor=1e-3, begin=0, end=warm_up, **unit))
    interval = max(length // _VALIDATIONS, 1 if by_epoch else each)
    loop = (
        dict(by_epoch=True, max_epochs=length)
        if by_epoch
        else dict(type="IterBasedTrainLoop", max_iters=length)
    )
    hooks = dict(logger=dict(interval=max(min(each // 2, 50), 1)), checkpoint=dict(interval=interval))
    return dict(
        optim_wrapper=wrapper,
        param_scheduler=schedulers,
        train_cfg=dict(**loop, val_interval=interval),
        default_hooks=hooks,
    )
