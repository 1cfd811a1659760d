"""Measure evaluations in processor seconds: batches of one size against one by one, and what metrics take.

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python docs/figures/measure_evaluation.py batches [ROUNDS]
    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python docs/figures/measure_evaluation.py metrics [ROUNDS]

Models have random weights and images random pixels: neither changes how long it takes.
"""

import io
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import METRICS, init_default_scope
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from mmvisionllama.config import load_config
from mmvisionllama.training.runner import ResumableRunner

CONFIG = "configs/seg/visionllama_upernet_ade20k.py"
SIZES = [(256, 256), (320, 256), (256, 320)]
IMAGES, CLASSES = 6, 150
BATCHES = dict(type="mmvisionllama.SameSizeBatchSampler")
DEFAULT_HOOKS = ("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint")
SMALL = {
    "model.backbone.arch": "small",
    "model.neck.embed_dim": 384,
    "model.decode_head.in_channels": [384] * 4,
    "model.decode_head.channels": 512,
    "model.auxiliary_head.in_channels": 384,
    "model.test_cfg": dict(_delete_=True, mode="whole"),
}
COCO_IMAGES, OBJECTS, DETECTIONS, SIDE = 500, 10, 100, 512


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def told(values: list[float]) -> str:
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{median(values):.3f} ({low:.3f}-{high:.3f})"


def segmentor(folder: Path, side: tuple[int, int] | None = None) -> ResumableRunner:
    """Build the evaluation of plain S with UperNet over images of three sizes, or of one."""
    draws = np.random.default_rng(0)
    for number in range(IMAGES):
        width, height = side or SIZES[number % len(SIZES)]
        for kind, shape, high in (("images", (height, width, 3), 256), ("labels", (height, width), CLASSES)):
            (folder / kind).mkdir(exist_ok=True)
            pixels = draws.integers(0, high, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{number}.{'jpg' if kind == 'images' else 'png'}")
    loader = "test_dataloader"
    prefix = dict(img_path="images", seg_map_path="labels")
    steps = [dict(type=name) for name in ("LoadImageFromFile", "LoadAnnotations", "PackSegInputs")]
    changes: dict[str, Any] = {
        **SMALL,
        f"{loader}.dataset.data_root": str(folder),
        f"{loader}.dataset.data_prefix": prefix,
        f"{loader}.dataset.pipeline": steps,
        f"{loader}.num_workers": 0,
        f"{loader}.persistent_workers": False,
        "custom_hooks": [],
        "default_hooks": dict(_delete_=True, **dict.fromkeys(DEFAULT_HOOKS)),
        "work_dir": str(folder),
        "log_level": "ERROR",
    }
    return ResumableRunner.from_cfg(load_config(CONFIG, changes))


def measure_batches(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runner = segmentor(Path(folder))
        loader = Config(runner.cfg.test_dataloader.to_dict())
        loops = {}
        for size in (1, 2):
            cfg = loader.to_dict() | dict(batch_size=size, batch_sampler=BATCHES if size > 1 else None)
            loops[size] = runner.build_test_loop(dict(type="TestLoop", dataloader=cfg))
        measured: dict[int, list[float]] = {size: [] for size in loops}
        for number in range(rounds):
            for size in sorted(loops, reverse=number % 2 == 1):
                runner._test_loop = loops[size]
                measured[size].append(seconds(loops[size].run))
        tell(f"plain S, UperNet, {IMAGES} images of {len(SIZES)} sizes, {rounds} rounds")
        for size, spent in measured.items():
            ratios = [one / this for one, this in zip(measured[1], spent, strict=True)]
            tell(f"batches of {size}: {median(spent):.1f} s, one by one / this {told(ratios)}")


def one_count(predicted: torch.Tensor, label: torch.Tensor) -> NDArray:
    """Count every pair of labels at once, in the place of mmseg's three histograms."""
    kept = label != 255
    pairs = torch.bincount(label[kept].long() * CLASSES + predicted[kept].long(), minlength=CLASSES**2)
    return pairs.numpy().reshape(CLASSES, CLASSES)


def measure_segmentation(rounds: int) -> None:
    draws = torch.Generator().manual_seed(0)
    maps = torch.randint(0, CLASSES, (100, 2, SIDE, SIDE), generator=draws, dtype=torch.uint8)
    samples = [dict(pred_sem_seg=dict(data=x[:1].long()), gt_sem_seg=dict(data=x[1:].long())) for x in maps]
    with tempfile.TemporaryDirectory() as folder:
        runner = segmentor(Path(folder), (SIDE, SIDE))
        metric = METRICS.build(dict(type="mmseg.IoUMetric"))
        metric.dataset_meta = dict(classes=[*map(str, range(CLASSES))])
        model, batches = runner.model.eval(), iter(runner.build_dataloader(runner.cfg.test_dataloader))
        networks = [seconds(lambda: model.test_step(next(batches))) for _ in range(3)]
    ious, counts = [], []
    pairs = [(x["pred_sem_seg"]["data"], x["gt_sem_seg"]["data"]) for x in samples]
    for _ in range(rounds):
        ious.append(seconds(lambda: metric.process({}, samples)) / len(samples))
        counts.append(seconds(lambda: [one_count(*pair) for pair in pairs]) / len(samples))
    each = median(networks) / runner.cfg.test_dataloader.batch_size
    tell(f"plain S, UperNet, {SIDE} px: network {each:.2f} s an image, three batches")
    tell(f"IoUMetric: {told(ious)} s an image, {median(ious) / each:.2%} of the network")
    tell(f"one bincount: {told(counts)} s an image")


def measure_detection(rounds: int) -> None:
    draws = np.random.default_rng(0)

    def boxes(count: int) -> NDArray:
        corners = draws.uniform(0, SIDE * 0.6, (count, 2))
        return np.hstack([corners, corners + draws.uniform(16, SIDE * 0.4, (count, 2))])

    def outline(box: NDArray) -> list[list[float]]:
        left, top, right, bottom = box.tolist()
        return [[left, top, right, top, right, bottom, left, bottom]]

    images, annotations, samples = [], [], []
    for number in range(COCO_IMAGES):
        images.append(dict(id=number, file_name=f"{number}.jpg", width=SIDE, height=SIDE))
        truth = boxes(OBJECTS)
        labels = draws.integers(0, 80, OBJECTS)
        for box, label in zip(truth, labels, strict=True):
            left, top, right, bottom = box.tolist()
            annotations.append(
                dict(id=len(annotations) + 1, image_id=number, category_id=int(label), iscrowd=0)
                | dict(bbox=[left, top, right - left, bottom - top], area=(right - left) * (bottom - top))
                | dict(segmentation=outline(box))
            )
        near = np.vstack([truth + draws.normal(0, 4, truth.shape), boxes(DETECTIONS - OBJECTS)])
        found = np.hstack([labels, draws.integers(0, 80, DETECTIONS - OBJECTS)])
        masks = torch.zeros(DETECTIONS, SIDE, SIDE, dtype=torch.bool)
        for mask, (left, top, right, bottom) in zip(masks, near.clip(0, SIDE).astype(int), strict=True):
            mask[top:bottom, left:right] = True
        encoded = coco_mask.encode(np.asfortranarray(masks.numpy().transpose(1, 2, 0).astype(np.uint8)))
        predicted = dict(bboxes=torch.tensor(near), labels=torch.tensor(found), masks=encoded)
        predicted["scores"] = torch.tensor(draws.uniform(0, 1, DETECTIONS))
        samples.append(dict(img_id=number, ori_shape=(SIDE, SIDE), pred_instances=predicted))
    init_default_scope("mmdet")
    categories = [dict(id=number, name=str(number)) for number in range(80)]
    spent: dict[str, list[float]] = {"FasterCocoMetric": [], "CocoMetric": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "annotations.json")
        file.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
        for _ in range(rounds):
            for name in spent:
                metric = METRICS.build(
                    dict(type=f"mmdet.{name}", ann_file=str(file), metric=["bbox", "segm"])
                )
                metric.dataset_meta = dict(classes=[x["name"] for x in categories])

                def evaluate(metric: Any = metric) -> None:
                    with redirect_stdout(io.StringIO()):  # of the tables
                        metric.process({}, samples)
                        metric.evaluate(len(samples))

                spent[name].append(seconds(evaluate))
    ratios = [one / this for one, this in zip(*reversed(spent.values()), strict=True)]
    for name, values in spent.items():
        tell(f"{name}: {told(values)} s of {COCO_IMAGES} images with {DETECTIONS} detections each")
    tell(f"CocoMetric / FasterCocoMetric {told(ratios)}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if sys.argv[1] == "batches":
        measure_batches(rounds)
    else:
        measure_segmentation(rounds)
        measure_detection(rounds)
