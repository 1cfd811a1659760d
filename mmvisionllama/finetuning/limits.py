"""Batch and length of a training from a few measured steps: what finds room, what fits the time."""

import math
import os
from collections.abc import Callable
from dataclasses import replace

import torch

from mmvisionllama.errors import LaunchError
from mmvisionllama.finetuning.recipe import Recipe
from mmvisionllama.training.dry_run import DryRun

_FIRST, _MOST = 2, 1024
_ROOM = 0.85  # of the memory may be taken
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
    best, speed = None, 0.0
    batch = min(_FIRST, images)
    while batch <= min(_MOST, max(images // _STEPS_OF_EPOCH, _FIRST), images):
        tried = replace(recipe, batch=batch)
        try:
            run = measure(tried)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        if run.peak > _ROOM * _memory():
            break
        if batch / run.step_seconds < _PAYS * speed:
            break
        best, speed = tried, batch / run.step_seconds
        if not torch.cuda.is_available() and 2 * run.peak > _memory():
            break  # a process that takes more is killed, not told
        batch *= 2
    if best is None:
        raise LaunchError(
            f"--batch auto: {min(_FIRST, images)} images of {recipe.side} px find no room in memory; give a "
            "smaller --size or --model"
        )
    return best


def fit_minutes(recipe: Recipe, images: int, minutes: float, run: DryRun) -> Recipe:
    """Choose so many epochs as fit the time, at least one.

    Args:
        run: What a few steps of this recipe took.
    """
    validation = run.val_seconds * run.val_batches
    left = _SHARE * 60 * minutes - validation * max(run.validations, 1)
    epoch = run.step_seconds * recipe.steps_of_epoch(images)
    return replace(recipe, epochs=max(math.floor(left / epoch), 1))


def _memory() -> int:
    """Return the bytes of the GPU, or of the machine."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
