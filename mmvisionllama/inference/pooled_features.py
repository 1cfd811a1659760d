"""One feature for each image: the backbone's last output, its mean over all places where it has any."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mmvisionllama.errors import InputError
from mmvisionllama.inference.input_images import InputImage
from mmvisionllama.inference.trained_model import TrainedModel


@torch.no_grad()
def pooled_features(
    model: TrainedModel, images: Sequence[InputImage], *, batch_size: int | None = None
) -> Iterator[Tensor]:
    """Yield the features of images batch by batch, (B, D), float32, on the CPU.

    Args:
        batch_size: None: that of the training's test. Images that the transforms leave of several sizes are
            computed one by one, so that what they give does not depend on their neighbours.
    Raises: InputError: for a generator, or an image that cannot be read.
    """
    if model.task == "generation":
        raise InputError(f"{model.source} generates images, and has no features of any")
    size = model.preparation.batch_size if batch_size is None else batch_size
    for start in range(0, len(images), size):
        prepared = [model.preparation(image) for image in images[start : start + size]]
        alike = len({tuple(x["inputs"].shape) for x in prepared}) == 1
        for group in [prepared] if alike else [[x] for x in prepared]:
            img = model.module.data_preprocessor(model.preparation.batch(group), False)["inputs"]
            last = model.encode(img)[-1].float()
            if last.ndim == 4:
                last = last.flatten(2).mean(dim=2)
            elif last.ndim == 3:
                last = last.mean(dim=1)
            yield last.cpu()
