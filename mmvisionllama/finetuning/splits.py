"""A seeded split of samples into training and validation that keeps the shares of classes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mmvisionllama.errors import DataError
from mmvisionllama.finetuning.found_data import Annotated, FoundData, Sample

VAL_SHARE = 0.2


def with_validation(found: FoundData, seed: int, share: float = VAL_SHARE) -> FoundData:
    """Return data that have a validation part: their own, else a share of the training part.

    Of each class (in a detection: of the images whose rarest class it is) the same share is taken, at least
    one image of two.

    Raises: DataError: for a single image, of which nothing can be held out.
    """
    train = found.parts["train"]
    if "val" in found.parts:
        return found
    if len(train) < 2:
        raise DataError(f"{found.root}: {len(train)} images cannot be split into training and validation")
    held = held_out(train, _stratum_of(train), seed, share)
    parts = {
        "train": tuple(x for i, x in enumerate(train) if i not in held),
        "val": tuple(x for i, x in enumerate(train) if i in held),
        **{part: x for part, x in found.parts.items() if part != "train"},
    }
    note = f"no validation part: {len(held):,} of {len(train):,} images are held out (seed {seed})"
    return replace(found, parts=parts, notes=(*found.notes, note))


def held_out(
    samples: Sequence[Sample], stratum_of: Callable[[Sample], str], seed: int, share: float
) -> set[int]:
    """Choose the indices of a share of the samples, the same share of every stratum.

    The choice depends on the seed and the names of the files, not on their order.
    """
    strata: dict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(samples)), key=lambda i: str(samples[i].image)):
        strata[stratum_of(samples[index])].append(index)
    draw, held = np.random.default_rng(seed), set()
    for _, indices in sorted(strata.items()):
        count = min(max(round(share * len(indices)), 1), len(indices) - 1)
        held |= set(draw.permutation(indices)[:count].tolist())
    if not held:  # every stratum has one image
        held = set(draw.permutation(len(samples))[: max(round(share * len(samples)), 1)].tolist())
    return held


def _stratum_of(samples: Sequence[Sample]) -> Callable[[Sample], str]:
    if not isinstance(samples[0].label, Annotated):
        return lambda sample: sample.label if isinstance(sample.label, str) else ""
    counts = Counter(name for x in samples for name in {o.name for o in x.label.objects})
    return lambda sample: min(
        (o.name for o in sample.label.objects), key=lambda name: (counts[name], name), default=""
    )
