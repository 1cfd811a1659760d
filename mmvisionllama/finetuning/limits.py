"""Batch and length of a training from a few measured steps: what finds room, what fits the time."""

import math
from collections.abc import Callable
from dataclasses import replace

from mmvisionllama.errors import LaunchError
from mmvisionllama.finetuning.recipe import Recipe
from mmvisionllama.training.batch_search import largest_batch, present_room
from mmvisionllama.training.dry_run import DryRun

_FIRST, _MOST = 2, 1024
_PAYS = 1.1  # times the images a second, else the smaller batch is as good
_STEPS_OF_EPOCH = 8  # at least; larger batches would step too rarely
_SHARE = 0.9  # of the minutes is for steps and validations, the rest for start and checkpoints


def fit_batch(recipe: Recipe, images: int, measure: Callable[[Recipe], DryRun]) -> Recipe:
    """Double the batch while that finds room in memory and pays off.

    Args:
        images: Of the training.
        measure: Makes a few steps.

    Raises: LaunchError: if not even the smallest batch finds room.
    """
    first = min(_FIRST, images)
    most = min(_MOST, max(images // _STEPS_OF_EPOCH, _FIRST), images)
    batches = [x for x in (first << i for i in range(_MOST.bit_length())) if x <= most]
    found = largest_batch(batches, lambda x: measure(replace(recipe, batch=x)), present_room(), pays=_PAYS)
    if found is None:
        raise LaunchError(
            f"--batch auto: {first} images of {recipe.side} px find no room in memory; give a smaller --size "
            "or --model"
        )
    return replace(recipe, batch=found[0])


def fit_minutes(recipe: Recipe, images: int, minutes: float, run: DryRun) -> Recipe:
    """Choose so many epochs as fit the time, at least one.

    Args:
        run: What a few steps of this recipe took.
    """
    validation = run.val_seconds * run.val_batches
    left = _SHARE * 60 * minutes - validation * max(run.validations, 1)
    epoch = run.step_seconds * recipe.steps_of_epoch(images)
    return replace(recipe, epochs=max(math.floor(left / epoch), 1))
