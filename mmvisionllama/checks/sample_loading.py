"""Load samples of a data set as a run will, and look at what comes out."""

from collections.abc import Callable, Iterator
from typing import Any

from mmengine.dataset import BaseDataset, Compose

from mmvisionllama.checks.data_problems import DataProblem, Role, samples_of
from mmvisionllama.checks.image_data import spaced
from mmvisionllama.checks.needed_labels import lacking
from mmvisionllama.datasets.image_loading import CorruptImageError

# Returns why images of a height and width do not suit a model, or None.
SizeCheck = Callable[[tuple[int, int]], str | None]
_TRIED = 20  # samples, if the pipeline drops one after the other
_SIZES = 4  # of image files, each of which gets a sample


def load_samples(
    role: Role, pipeline: Compose, dataset: BaseDataset, size_check: SizeCheck | None
) -> Iterator[DataProblem | tuple[int, int]]:
    """Yield what is wrong with loading samples, or the heights and widths that come out.

    One sample is loaded for each of a few sizes of image files, of a training two at least, as its sizes may
    be random. A training may drop samples, but not all.
    """
    if type(dataset).prepare_data is not BaseDataset.prepare_data:  # which knows what the pipeline gets
        return
    samples, sizes, dropped, channels = samples_of(dataset), [], 0, set()
    chosen = _of_each_size(role, samples)
    for index in dict.fromkeys([*chosen, *spaced(len(samples), _TRIED)]):
        if index not in chosen and len(sizes) >= (1 if role.evaluated else 2):
            break
        try:
            result = pipeline(dataset.get_data_info(index))
        except CorruptImageError as error:
            yield DataProblem(role.name, str(error))
            return
        except Exception as error:  # a pipeline fails on unsuitable data by almost any error
            path = samples[index].get("img_path", f"sample {index}")
            text = f"its pipeline fails on {path}: {type(error).__name__}: {error}"
            yield DataProblem(role.name, text)
            return
        if result is None and role.evaluated:
            text = f"its pipeline drops {samples[index].get('img_path', index)}, which an evaluation needs"
            yield DataProblem(role.name, text)
            return
        if result is None:
            dropped += 1
        elif "data_samples" in result and (
            problem := lacking(result["data_samples"], role.needed, role.evaluated)
        ):
            yield DataProblem(role.name, problem)
            return
        elif getattr(img := result.get("inputs"), "ndim", 0) == 3:
            channels.add(len(img))
            sizes.append(tuple(img.shape[-2:]))
        else:  # views of an image, or what is no image
            return
    if dropped and not sizes:
        filters = [repr(x) for x in pipeline.transforms if "filter" in type(x).__name__.lower()]
        by = f" ({'; '.join(filters)})" if filters else ""
        text = f"there is nothing to learn from: its pipeline drops all of the {dropped} images tried{by}"
        yield DataProblem(role.name, text)
    if len(channels) > 1:
        text = f"its pipeline gives images of {' and '.join(map(str, sorted(channels)))} channels"
        yield DataProblem(role.name, f"{text}; set color_type='color' of the loader")
    for size in dict.fromkeys(sizes):
        if size_check is not None and (problem := size_check(size)) is not None:
            text = f"its pipeline gives images of {size[0]} x {size[1]} px, {problem}"
            yield DataProblem(role.name, text)
            return
        yield size


def _of_each_size(role: Role, samples: list[dict[str, Any]]) -> list[int]:
    """Return the first sample, those of the widest, highest and smallest files, and of each kind of pixels.

    Kinds of pixels matter where the loader keeps them.
    """
    paths = [x.get("img_path") for x in samples]
    known = role.headers.known(path for path in paths if isinstance(path, str))
    found = {0: 0}
    sizes: dict[tuple[int, int], int] = {}
    modes: dict[str, int] = {}
    for index, path in enumerate(paths):
        if (header := known.get(path)) is not None:
            sizes.setdefault(header.loaded_size(role.follows_orientation), index)
            modes.setdefault(header.mode, index)
    if getattr(role.loader, "color_type", "color") == "unchanged":
        found |= dict.fromkeys(modes.values(), 0)
    if len(sizes) > 1:
        orders = (lambda s: s[0] / s[1], lambda s: s[1] / s[0], lambda s: s[0] * s[1])
        found |= {sizes[max(sizes, key=order)]: 0 for order in orders[: _SIZES - 1]}
        found |= {sizes[min(sizes, key=orders[-1])]: 0}
    return list(found)
