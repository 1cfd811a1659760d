"""Decode the raw outputs of an exported detector into proposals, by numpy alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mmvisionllama.errors import ExportError

Array = NDArray[np.float32]
_WIDEST = abs(np.log(16 / 1000))  # the largest change of a side that mmdet's coder admits, as a logarithm


def proposal_facts(rpn_head: nn.Module) -> dict[str, Any]:
    """Return what ``decode_proposals`` must know of mmdet's RPN, for JSON.

    Raises: ExportError: for anchors, offsets or scores of another kind.
    """
    anchors, coder, test = rpn_head.anchor_generator, rpn_head.bbox_coder, rpn_head.test_cfg
    kinds = (type(anchors).__name__, type(coder).__name__, test["nms"]["type"], rpn_head.use_sigmoid_cls)
    if kinds != ("AnchorGenerator", "DeltaXYWHBBoxCoder", "nms", True) or coder.add_ctr_clamp:
        raise ExportError(
            f"an RPN with {', '.join(map(str, kinds))} is not exported: its decoding is unknown"
        )
    return {
        "strides": [list(stride) for stride in anchors.strides],
        "anchors": [level.tolist() for level in anchors.base_anchors],
        "means": list(coder.means),
        "stds": list(coder.stds),
        "nms_pre": test.get("nms_pre", -1),
        "iou_threshold": test["nms"]["iou_threshold"],
        "min_bbox_size": test.get("min_bbox_size", -1),
        "max_per_img": test["max_per_img"],
    }


def decode_proposals(
    scores: Sequence[Array], offsets: Sequence[Array], img_hw: tuple[int, int], facts: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Turn the outputs ``score_*`` and ``offset_*`` of one image into proposals, the best first.

    Args:
        scores: Of each level, (anchors of a place, rows, columns), before the sigmoid.
        offsets: Of each level, (4 x anchors of a place, rows, columns).
        img_hw: Sides of the image without padding; boxes are cut there.
        facts: The entry ``proposals`` of the exported file's metadata.

    Returns: Boxes (N, 4) as x1, y1, x2, y2 in pixels, and their scores (N,).
    """
    boxes, found, levels = [], [], []
    for level, (score, offset) in enumerate(zip(scores, offsets, strict=True)):
        anchors = np.float32(facts["anchors"][level])
        rows, cols = score.shape[1:]
        y, x = np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij")
        place = np.stack([x, y, x, y], axis=-1)[:, :, None] * np.float32([*facts["strides"][level]] * 2)
        anchor = (place + anchors).reshape(-1, 4).astype(np.float32)
        score = 1 / (1 + np.exp(-score.transpose(1, 2, 0).reshape(-1)))
        offset = offset.reshape(len(anchors), 4, rows, cols).transpose(2, 3, 0, 1).reshape(-1, 4)
        if 0 < facts["nms_pre"] < len(score):
            best = np.argsort(-score, kind="stable")[: facts["nms_pre"]]
            anchor, score, offset = anchor[best], score[best], offset[best]
        boxes.append(_boxes(anchor, offset, img_hw, facts))
        found.append(score)
        levels.append(np.full(len(score), level))
    box, score, level = np.concatenate(boxes), np.concatenate(found), np.concatenate(levels)
    if facts["min_bbox_size"] >= 0:
        large = (box[:, 2:] - box[:, :2] > facts["min_bbox_size"]).all(axis=1)
        box, score, level = box[large], score[large], level[large]
    kept = _suppressed(box, score, level, facts["iou_threshold"])[: facts["max_per_img"]]
    return box[kept], score[kept]


def _boxes(anchor: Array, offset: Array, img_hw: tuple[int, int], facts: Mapping[str, Any]) -> Array:
    offset = offset * np.float32(facts["stds"]) + np.float32(facts["means"])
    centre, side = (anchor[:, :2] + anchor[:, 2:]) / 2, anchor[:, 2:] - anchor[:, :2]
    centre = centre + side * offset[:, :2]
    side = side * np.exp(offset[:, 2:].clip(-_WIDEST, _WIDEST))
    box = np.concatenate([centre - side / 2, centre + side / 2], axis=1)
    return box.clip(0, np.float32([img_hw[1], img_hw[0]] * 2)).astype(np.float32)


def _suppressed(box: Array, score: Array, level: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """Give the boxes, the best first, that no better one of their level overlaps by more than a threshold."""
    area = (box[:, 2:] - box[:, :2]).prod(axis=1)
    left, kept = np.argsort(-score, kind="stable"), []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        low, high = np.maximum(box[first, :2], box[left, :2]), np.minimum(box[first, 2:], box[left, 2:])
        shared = (high - low).clip(0).prod(axis=1)
        overlap = shared / np.maximum(area[first] + area[left] - shared, 1e-12)
        left = left[(overlap <= threshold) | (level[left] != level[first])]
    return np.array(kept, dtype=np.int64)
