"""Class activation maps by pytorch-grad-cam: which places of an image speak for a class."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from mmvisionllama.analysis.attention_maps import choose_block
from mmvisionllama.errors import InputError
from mmvisionllama.inference.export_networks import normalisation
from mmvisionllama.inference.input_images import InputImage
from mmvisionllama.inference.trained_model import TrainedModel
from mmvisionllama.models.backbone import RotaryBackbone
from mmvisionllama.models.grids import Grid, squares
from mmvisionllama.reports.figures import shown_size
from mmvisionllama.suggestions import did_you_mean, shortened

METHODS = {  # as pytorch-grad-cam calls them, and its class
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "xgradcam": "XGradCAM",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "gradcamelementwise": "GradCAMElementWise",
    "eigengradcam": "EigenGradCAM",
    "eigencam": "EigenCAM",
}
_EIGEN = ("eigengradcam", "eigencam")
_MOST_IMAGES = 32
_MOST_PLACES = 4096  # of a map that is decomposed, as the library makes a matrix of their square


@dataclass(frozen=True, eq=False)
class ClassMap:
    """What of an image speaks for a class.

    Attributes:
        image: (H, W, 3) or (H, W), uint8, RGB: what the model saw.
        heat: (H, W), float32, in [0, 1]; the largest is 1, unless nothing speaks for the class.
        label: Of the class; None where the method looks at none.
        class_name: Its name, "" for none.
        score: What the model makes of the class: a probability, of a segmentation its share of the pixels,
            of a detector the score of its surest box; None for no class.
    """

    name: str
    image: NDArray
    heat: NDArray
    label: int | None
    class_name: str
    score: float | None
    method: str
    layer: str

    @property
    def peak(self) -> Grid:
        """Row and column of the pixel that speaks most."""
        row, column = divmod(int(self.heat.argmax()), self.heat.shape[1])
        return row, column

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, for JSON: the map by its peak and mean alone."""
        told = {"image": self.name, "label": self.label, "class": self.class_name, "score": self.score}
        where = {"peak": list(self.peak), "mean": float(self.heat.mean())}
        return {**told, "method": self.method, "layer": self.layer, **where}


def class_map(
    model: TrainedModel,
    image: InputImage,
    *,
    method: str = "gradcam",
    wanted: str | None = None,
    layer: str | None = None,
) -> ClassMap:
    """Make the map of a class for one image.

    The score of a class is the logit of a classifier; the mean logit over all pixels of a segmentor; the sum
    of the probabilities that the second stage of a detector gives to the class in the boxes which it found.

    Args:
        method: One of ``METHODS``.
        wanted: A class by name or number; None: the one that is predicted, of a segmentation the largest.
        layer: A module of the backbone by its path; its output is tokens or a map. None: the first norm of
            the last block that is run.
    Raises: InputError: for a model, method, layer or class that makes no map.
    """
    _require_method(model, method)
    score_of, label, score = _target(model, image, method, wanted)
    name = _layer_name(model, layer)
    x = model.inputs_of([image])["inputs"]
    backbone = model.module.backbone
    with _output_of(backbone, name) as seen, torch.no_grad():
        model.encode(x)
    reshape = _reshape(model, name, seen, tuple(x.shape[2:]), method)
    import pytorch_grad_cam

    make = getattr(pytorch_grad_cam, METHODS[method])
    targets: list[Callable[[Tensor], Tensor]] = [
        lambda scores: scores.sum() if label is None else scores[label]
    ]
    with make(score_of, [backbone.get_submodule(name)], reshape_transform=reshape) as cam:
        (heat,) = cam(x.clone().requires_grad_(), targets)
    model.module.zero_grad(set_to_none=True)
    pixels = normalisation(model)[0].undone(x.detach().cpu())[0].permute(1, 2, 0).numpy().squeeze()
    named = "" if label is None else _name(model, label)
    return ClassMap(image.name, pixels, heat.clip(0, 1), label, named, score, method, name)


def require_few(images: Sequence[InputImage]) -> None:
    """Raise an InputError for more images than one picture shows."""
    if len(images) > _MOST_IMAGES:
        raise InputError(f"one picture shows the maps of at most {_MOST_IMAGES} images, got {len(images)}")


def plot(maps: Sequence[ClassMap]) -> Figure:
    """Draw each image beside its map, a row for each."""
    sizes = [shown_size(*x.image.shape[:2]) for x in maps]
    heights = [3 * height / width + 0.35 for width, height in sizes]
    figure = Figure(figsize=(6.2, sum(heights) + 0.3), dpi=100, layout="constrained")
    figure.suptitle(f"{maps[0].method}, {maps[0].layer}", fontsize="small")
    axes = figure.subplots(len(maps), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
    for (left, right), one in zip(axes, maps, strict=True):
        for ax in (left, right):
            ax.set_axis_off()
            ax.imshow(one.image, cmap="gray")
        right.imshow(one.heat, cmap="inferno", alpha=0.65, vmin=0, vmax=1)
        score = "" if one.score is None else f" {one.score:.2f}"
        right.set_title(f"{one.class_name}{score}" if one.class_name else "no class", fontsize="small")
        left.set_title(one.name.rpartition("/")[2], fontsize="small")
    return figure


def _require_method(model: TrainedModel, method: str) -> None:
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise InputError(
            f"--method {method}: there is no such method.{did_you_mean(method, METHODS)} There are {known}"
        )
    if model.task == "generation":
        raise InputError(f"{model.source} generates images, and looks at none")
    if method == "eigencam":
        return
    if model.task == "reconstruction":
        raise InputError(
            f"{model.source} predicts no class, whose score {method} follows back: use --method eigencam, "
            "which looks at features alone, or mmvisionllama analyze attention"
        )
    if model.task == "detection" and not hasattr(getattr(model.module, "roi_head", None), "bbox_head"):
        raise InputError(
            f"{model.source} is a {type(model.module).__name__}, without a second stage that scores boxes: "
            "use --method eigencam, which looks at features alone"
        )


def _target(
    model: TrainedModel, image: InputImage, method: str, wanted: str | None
) -> tuple[nn.Module, int | None, float | None]:
    """Return what computes a score for each class, the label, and what the model makes of it."""
    if method == "eigencam":
        if wanted is not None:
            raise InputError(
                f"--class {wanted}: eigencam looks at features alone, and at no class: leave it out"
            )
        return (
            _Scores(model.module, lambda x: torch.stack([y.flatten(1).sum(1) for y in model.encode(x)], 1)),
            None,
            None,
        )
    prediction = model.predict(image)
    label = None if wanted is None else _label(model, wanted)
    module = model.module
    if model.task == "classification":
        label = prediction.label if label is None else label
        return _Scores(module, lambda x: module(x, mode="tensor")), label, float(prediction.scores[label])
    if model.task == "segmentation":
        counts = (
            torch.from_numpy(prediction.labels.astype("int64")).flatten().bincount(minlength=_classes(model))
        )
        label = int(counts.argmax()) if label is None else label
        mean = _Scores(module, lambda x: module(x, mode="tensor").mean(dim=(2, 3)))
        return mean, label, float(counts[label] / counts.sum())
    found = prediction.labels
    if label is None:
        if not len(found):
            raise InputError(
                f"{image.name}: nothing was found there, so give a class by --class, or --method eigencam"
            )
        label = int(found[0])
    of_class = found == label
    if not of_class.any():
        raise InputError(
            f"{image.name}: no {_name(model, label)} was found there, so there are no boxes to score"
        )
    # The transforms of the test resize the image; boxes are those of the file.
    sample = model.inputs_of([image])["data_samples"][0]
    scale = torch.tensor(sample.get("scale_factor", (1.0, 1.0))).repeat(2)
    boxes = torch.from_numpy(prediction.boxes[of_class]).float() * scale
    return (
        _Scores(module, lambda x: _box_scores(module, x, boxes)),
        label,
        float(prediction.scores[of_class][0]),
    )


def _box_scores(module: nn.Module, x: Tensor, boxes_N4: Tensor) -> Tensor:
    """Return the sum over boxes of each class's probability, (1, classes and background)."""
    roi_N5 = torch.cat((boxes_N4.new_zeros(len(boxes_N4), 1), boxes_N4), dim=1).to(x)
    heads, maps = module.roi_head, module.extract_feat(x)
    several = isinstance(heads.bbox_head, nn.ModuleList)  # of a cascade, whose last one decides
    extractor, head = (y[-1] if several else y for y in (heads.bbox_roi_extractor, heads.bbox_head))
    region = extractor(maps[: extractor.num_inputs], roi_N5)
    scores_NC, _ = head(region)
    return scores_NC.softmax(dim=-1).sum(dim=0, keepdim=True)


class _Scores(nn.Module):
    """What pytorch-grad-cam takes for a model: images in, a score for each class out."""

    def __init__(self, module: nn.Module, scores: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.module, self._scores = module, scores

    def forward(self, x: Tensor) -> Tensor:
        return self._scores(x)


def _label(model: TrainedModel, wanted: str) -> int:
    names = [x.split(",")[0] for x in model.classes]
    if wanted in names:
        return names.index(wanted)
    count = _classes(model)
    if wanted.isdecimal():
        if int(wanted) < count:
            return int(wanted)
        raise InputError(f"--class {wanted}: the model knows the classes 0 to {count - 1}")
    known = f" Classes are {shortened(names)}" if names else f" It knows numbers from 0 to {count - 1} alone"
    raise InputError(f"--class {wanted}: there is no such class.{did_you_mean(wanted, names)}{known}")


def _classes(model: TrainedModel) -> int:
    return len(model.palette)


def _name(model: TrainedModel, label: int) -> str:
    return model.classes[label].split(",")[0] if label < len(model.classes) else str(label)


def _layer_name(model: TrainedModel, given: str | None) -> str:
    backbone = model.module.backbone
    names = [name for name, _ in backbone.named_modules() if name]
    if given is not None:
        if given not in names:
            blocks = [x for x in names if x.endswith(("norm1", "norm2"))]
            raise InputError(
                f"--layer {given}: the backbone has no such module.{did_you_mean(given, names)} It has e.g. "
                f"{shortened(blocks or names)}"
            )
        return given
    if not isinstance(backbone, RotaryBackbone):
        raise InputError(
            f"{model.source} has a {type(backbone).__name__}: say by --layer which module of it gives a map "
            f"(B, C, H, W), e.g. {shortened(names)}"
        )
    return f"{choose_block(backbone, None)}.norm1"


@contextmanager
def _output_of(backbone: nn.Module, layer: str) -> Iterator[list[Any]]:
    """Yield a list that gets what a layer returns."""
    seen: list[Any] = []
    hook = backbone.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    try:
        yield seen
    finally:
        hook.remove()


def _reshape(
    model: TrainedModel, layer: str, seen: list[Any], img_hw: Grid, method: str
) -> Callable[[Tensor], Tensor]:
    """Return what makes a map (B, C, rows, columns) of what a layer returns, without class token.

    Raises: InputError: if that is no map.
    """
    if not seen:
        raise InputError(f"--layer {layer} is not run: no output of the model depends on it")
    output, backbone = seen[0], model.module.backbone
    if isinstance(output, Tensor) and output.ndim == 4:
        hw, reshape = tuple(output.shape[2:]), lambda x: x
    elif isinstance(output, Tensor) and output.ndim == 3 and isinstance(backbone, RotaryBackbone):
        hw = _grid(backbone, layer, img_hw)
        tokens = hw[0] * hw[1]
        extra = output.shape[1] - tokens
        if extra not in (0, 1) or len(output) != 1:
            raise InputError(_no_map(layer, output))

        def reshape(x: Tensor) -> Tensor:
            return x[:, extra:].transpose(1, 2).unflatten(2, hw)
    else:
        raise InputError(_no_map(layer, output))
    if method in _EIGEN and hw[0] * hw[1] > _MOST_PLACES:
        raise InputError(
            f"--layer {layer} has {hw[0]} x {hw[1]} places, {method} decomposes at most {_MOST_PLACES:,}: "
            "take a deeper layer, or --method gradcam"
        )
    return reshape


def _grid(backbone: RotaryBackbone, layer: str, img_hw: Grid) -> Grid:
    if hasattr(backbone, "patch_embed"):
        return squares(img_hw, backbone.patch_embed.projection.stride[0])
    hw = img_hw
    path = layer.split(".")
    last = int(path[1]) if path[0] == "stages" else len(backbone.stages) - 1
    for stage in backbone.stages[: last + 1]:
        hw = squares(hw, stage.patch_embed.projection.stride[0])
    return hw


def _no_map(layer: str, output: Any) -> str:
    got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    return f"--layer {layer} gives {got}, which is no map of the image: take a block, or a norm of one"
