"""Non-maximum suppression and RoIAlign in place of mmcv's compiled operators.

Where mmcv was installed without compiled operators, ``compat.install`` gives these functions to ``mmcv.ops``
as the module ``mmcv._ext``; names, arguments and results in place are those of mmcv's own module.
torchvision's compiled operators do the work where they are loaded, else plain torch does.

RoIAlign samples a box on a regular grid, and a bilinear weight is a product of one of its row and one of its
column. So the means over the bins are W_y X W_x^T, X being the part of the map below the box, with a matrix
of mean weights (bins x rows) and one (bins x columns). Boxes of like size are done together, in chunks that
bound the memory.
"""

import shlex
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor

from mmvisionllama.errors import UserError

_NMS_CHUNK = 128  # boxes whose overlaps with all later ones exist at a time
# Numbers below the boxes that RoIAlign does together: what a CPU's cache holds; on a GPU, fewer kernels.
_CPU_CHUNK, _GPU_CHUNK = 1 << 20, 1 << 24


@cache
def backend(device: str) -> str:
    """Whose operators serve a type of device: "torchvision", or "torch"."""
    if find_spec("torchvision") is None:
        return "torch"
    import torchvision  # noqa: F401  (loads its compiled operators if they fit this torch)

    if not hasattr(torch.ops.torchvision, "roi_align"):
        return "torch"
    boxes = torch.zeros(0, 4, device=device)
    try:
        torch.ops.torchvision.nms(boxes, boxes[:, 0], 0.5)
    except NotImplementedError:  # built without this device
        return "torch"
    return "torchvision"


def compile_command() -> str:
    """The shell command that compiles mmcv's operators, for the GPU too where torch sees one."""
    pip = f"{shlex.quote(sys.executable)} -m pip install"
    # Neither pip's cache nor a folder of wheels may supply once more a wheel without operators.
    options = "--no-build-isolation --no-deps --force-reinstall --no-cache-dir --no-binary=onedl-mmcv"
    flags = "FORCE_CUDA=1 CFLAGS=-g0" if torch.cuda.is_available() else "CFLAGS=-g0"
    version = metadata.version("onedl-mmcv")
    return f"{pip} 'setuptools>=80' wheel ninja && {flags} {pip} {options} onedl-mmcv=={version}"


# --- non-maximum suppression ----------------------------------------------------------------------


@torch.no_grad()
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes that no better one overlaps by more than the threshold, best first.

    Args:
        boxes: (N, 4), x1 y1 x2 y2.
        scores: (N,).
        iou_threshold: Intersection over union.
        offset: 0 or 1, added to widths and heights.
    """
    dtype = _computed_in(boxes)
    boxes = boxes.to(dtype)
    iou_threshold = torch.tensor(iou_threshold, dtype=dtype).item()  # rounded as mmcv rounds it
    order = scores.sort(descending=True).indices  # not stable, as in mmcv, so that ties fall alike
    if offset == 0 and backend(boxes.device.type) == "torchvision":
        falling = torch.arange(len(order), 0, -1, dtype=dtype, device=boxes.device)
        return order[torch.ops.torchvision.nms(boxes[order], falling, iou_threshold)]
    sides_4N = boxes.T[:, order]
    kept = []
    while len(order):
        overlaps_BN = _overlaps(sides_4N[:, :_NMS_CHUNK], sides_4N, offset) > iou_threshold
        keep = _greedy(overlaps_BN[:, :_NMS_CHUNK])
        kept.append(order[:_NMS_CHUNK][keep])
        rest = ~overlaps_BN[keep, _NMS_CHUNK:].any(0)
        sides_4N, order = sides_4N[:, _NMS_CHUNK:][:, rest], order[_NMS_CHUNK:][rest]
    return torch.cat(kept) if kept else order


def _greedy(overlaps_BB: Tensor) -> Tensor:
    """Which of some sorted boxes stay, when each that stays removes all later ones that it overlaps.

    Repeats "a box stays unless an earlier one that stays overlaps it" until nothing changes. After n rounds
    the first n boxes are right, so this ends, and the answer is the only one; a few rounds do in practice.
    """
    earlier_BB = overlaps_BB.triu(1).float()
    keep = torch.ones(len(overlaps_BB), dtype=torch.bool, device=overlaps_BB.device)
    while True:
        found = (keep.float() @ earlier_BB) == 0
        if torch.equal(found, keep):
            return keep
        keep = found


def _overlaps(one_4B: Tensor, other_4N: Tensor, offset: int) -> Tensor:
    """Intersection over union (B, N), with each operation in mmcv's order, so that roundings are the same."""

    def length(low: Tensor, high: Tensor) -> Tensor:
        return high.sub_(low).add_(offset)

    (x1, y1, x2, y2), (u1, v1, u2, v2) = one_4B[:, :, None], other_4N
    both = length(torch.maximum(x1, u1), torch.minimum(x2, u2)).clamp_(min=0)
    both *= length(torch.maximum(y1, v1), torch.minimum(y2, v2)).clamp_(min=0)
    areas = length(x1, x2.clone()) * length(y1, y2.clone()) + length(u1, u2.clone()) * length(v1, v2.clone())
    return both.div_(areas.sub_(both))


# --- RoIAlign -------------------------------------------------------------------------------------


@torch.no_grad()
def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write into ``output`` the mean of each bin of each box.

    Args:
        input: Maps (B, C, H, W).
        rois: (R, 5): index of the map, x1 y1 x2 y2.
        output: (R, C, bins, bins).
        argmax_y: Used by max pooling alone.
        argmax_x: Used by max pooling alone.
        aligned_height: Bins of a column.
        aligned_width: Bins of a row.
        spatial_scale: Cells of the map over units of the boxes.
        sampling_ratio: Samples of a bin along each side; 0: as many as the bin has cells, rounded up.
        pool_mode: 1, the mean.
        aligned: Move the boxes by half a cell, and let them be smaller than one.

    Raises:
        UserError: if the maximum is asked for.
    """
    _require_mean(pool_mode)
    bins = (aligned_height, aligned_width)
    dtype = _computed_in(input)
    if backend(input.device.type) == "torchvision":
        output.copy_(_torchvision(input.to(dtype), rois, bins, spatial_scale, sampling_ratio, aligned))
        return
    size = input.shape[2:]
    cells = input.permute(0, 2, 3, 1).flatten(0, 2)  # a cell's channels lie together
    with torch.autocast(input.device.type, enabled=False):
        for chunk in _chunks(rois, dtype, size, input.shape[1], bins, spatial_scale, sampling_ratio, aligned):
            windows = cells[chunk.cells_RHW].to(dtype)
            rows = (chunk.rows_RPH @ windows.flatten(2)).unflatten(2, windows.shape[2:])
            pooled = chunk.columns_RQW @ rows.transpose(1, 2).flatten(2)
            output[chunk.boxes] = pooled.unflatten(2, (bins[0], -1)).permute(0, 3, 2, 1).to(output.dtype)


@torch.no_grad()
def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add to ``grad_input`` the gradient of ``roi_align_forward`` with respect to its input."""
    _require_mean(pool_mode)
    bins = (aligned_height, aligned_width)
    dtype = _computed_in(grad_output)
    B, C, H, W = grad_input.shape
    if backend(grad_output.device.type) == "torchvision":
        with torch.enable_grad():  # the operator is linear, so any input has this gradient
            maps = torch.zeros_like(grad_input, dtype=dtype, requires_grad=True)
            pooled = _torchvision(maps, rois, bins, spatial_scale, sampling_ratio, aligned)
        grad_input += torch.autograd.grad(pooled, maps, grad_output.to(dtype))[0]
        return
    grad = grad_output.new_zeros(B * H * W, C, dtype=dtype)
    with torch.autocast(grad_output.device.type, enabled=False):
        for chunk in _chunks(rois, dtype, (H, W), C, bins, spatial_scale, sampling_ratio, aligned):
            pooled = grad_output[chunk.boxes].to(dtype).permute(0, 3, 2, 1)
            rows = (chunk.columns_RQW.mT @ pooled.flatten(2)).unflatten(2, pooled.shape[2:])
            windows = chunk.rows_RPH.mT @ rows.transpose(1, 2).flatten(2)
            grad.index_add_(0, chunk.cells_RHW.flatten(), windows.reshape(-1, C))
    grad_input += grad.view(B, H, W, C).permute(0, 3, 1, 2)


def _torchvision(
    maps: Tensor, rois: Tensor, bins: tuple[int, int], scale: float, samples: int, aligned: bool
) -> Tensor:
    # Of a box that is not finite the operator reads no cells, or some outside of the map; torch makes it NaN.
    finite = rois.isfinite().all(dim=1, keepdim=True)
    boxes = torch.where(finite, rois, 0).to(maps)
    pooled = torch.ops.torchvision.roi_align(maps, boxes, scale, *bins, samples, aligned)
    return torch.where(finite[..., None, None], pooled, torch.nan)


class _Chunk(NamedTuple):
    """Some boxes of like size, and the windows of the maps below them."""

    boxes: Tensor  # (R,)
    cells_RHW: Tensor  # indices of the cells of all maps
    rows_RPH: Tensor
    columns_RQW: Tensor


class _Side(NamedTuple):
    """The bins of all boxes along one side of the maps; each field has one value for a box."""

    start: Tensor
    bin: Tensor
    samples: Tensor
    first: Tensor  # cell of the window
    length: Tensor  # cells of the window


def _chunks(
    rois: Tensor,
    dtype: torch.dtype,
    size: tuple[int, int],
    channels: int,
    bins: tuple[int, int],
    scale: float,
    samples: int,
    aligned: bool,
) -> Iterator[_Chunk]:
    rois = rois.to(dtype)
    maps = rois[:, 0].long()
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    x, y = (
        _side(corners[:, axis], corners[:, axis + 2], bins[1 - axis], size[1 - axis], samples, aligned)
        for axis in (0, 1)
    )
    for boxes in _alike(y, x, channels, bins):
        rows, columns = (_Side(*(field[boxes] for field in side)) for side in (y, x))
        cells = (maps[boxes, None] * size[0] + _cells(rows))[:, :, None] * size[1] + _cells(columns)[:, None]
        yield _Chunk(boxes, cells, _weights(rows, bins[0], size[0]), _weights(columns, bins[1], size[1]))


def _side(start: Tensor, end: Tensor, bins: int, size: int, samples: int, aligned: bool) -> _Side:
    extent = end - start if aligned else (end - start).clamp(min=1)
    step = extent / bins
    count = torch.where(step.isfinite(), step.float().ceil(), 1).clamp(min=0).long()
    if samples > 0:
        count = torch.full_like(count, samples)
    low, high = (cell.clamp(0, size - 1).long().clamp(0, size - 1) for cell in (start, start + extent))
    first, last = torch.minimum(low, high), (torch.maximum(low, high) + 1).clamp(max=size - 1)
    return _Side(start, step, count, first, last - first + 1)


def _alike(y: _Side, x: _Side, channels: int, bins: tuple[int, int]) -> Iterator[Tensor]:
    """Yield indices of boxes whose windows, padded to the largest of them, are of bounded size together."""
    device = y.first.device
    most = _CPU_CHUNK if device.type == "cpu" else _GPU_CHUNK
    sizes = torch.stack([y.length, x.length, y.samples, x.samples], 1).tolist()
    boxes: list[int] = []
    largest = [0, 0, 0, 0]
    for box in sorted(range(len(sizes)), key=lambda i: (sizes[i][0].bit_length(), sizes[i][1])):
        height, width, tall, wide = grown = [max(pair) for pair in zip(largest, sizes[box], strict=True)]
        one = height * width * channels + bins[0] * tall + bins[1] * wide
        if boxes and one * (len(boxes) + 1) > most:
            yield torch.tensor(boxes, device=device)
            boxes, grown = [], sizes[box]
        boxes.append(box)
        largest = grown
    if boxes:
        yield torch.tensor(boxes, device=device)


def _cells(side: _Side) -> Tensor:
    """The cells of each window (R, K); one shorter than the longest repeats its last cell, with weight 0."""
    step = torch.arange(int(side.length.max()), device=side.first.device)
    return side.first[:, None] + torch.minimum(step, side.length[:, None] - 1)


def _weights(side: _Side, bins: int, size: int) -> Tensor:
    """The mean bilinear weights of each bin's samples over the cells of the window (R, bins, K)."""
    start, step, samples, first = (field[:, None, None] for field in side[:4])
    p = torch.arange(bins, device=first.device)[:, None]
    s = torch.arange(int(side.samples.max()), device=first.device)
    count = samples.clamp(min=1).to(step.dtype)  # a box without extent has no samples, and 0 comes out
    at = start + p * step + (s + 0.5) * step / count
    share = ((s < samples) & ~((at < -1) | (at > size))) / count
    at = at.clamp(0, size - 1)
    cell = at.floor()
    upper = at - cell
    length = int(side.length.max())
    index = (cell.long() - first).clamp(0, length - 1)
    weights = upper.new_zeros(*index.shape[:2], length)
    weights.scatter_add_(2, index, (1 - upper) * share)
    return weights.scatter_add_(2, (index + 1).clamp(max=length - 1), upper * share)


def _require_mean(pool_mode: int) -> None:
    if pool_mode != 1:
        raise UserError(
            "RoIAlign with pool_mode='max' needs mmcv's compiled operators, which are not installed; allowed"
            f" without them: 'avg'. Fix: pool_mode='avg', or compile them: {compile_command()}"
        )


def _computed_in(tensor: Tensor) -> torch.dtype:
    """Half precision is too coarse for coordinates and sums."""
    return torch.promote_types(tensor.dtype, torch.float32)


# --- the module -----------------------------------------------------------------------------------


def _missing(name: str) -> Callable[..., None]:
    """Return a function that says which operator is missing: mmcv.ops asks for all of them on import."""
    if name.startswith("__"):
        raise AttributeError(f"the stand-in for mmcv._ext has no attribute {name!r}")

    def operator(*args: object, **kwargs: object) -> None:
        raise UserError(
            f"the operator {name!r} needs mmcv's compiled operators, which are not installed; allowed without"
            f" them: {', '.join(x for x in MODULE if not x.startswith(('get', '__')))}."
            f" Fix: compile them: {compile_command()}"
        )

    operator.__name__ = name
    return operator


# The content of mmcv._ext.
MODULE = {
    "nms": nms,
    "roi_align_forward": roi_align_forward,
    "roi_align_backward": roi_align_backward,
    "get_compiler_version": lambda: "none: mmcv was installed without compiled operators",
    "get_compiling_cuda_version": lambda: "none",
    "__getattr__": _missing,
}
