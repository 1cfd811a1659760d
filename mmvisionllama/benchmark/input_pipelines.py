"""Training pipelines measured in turn on the same images, in one process and through data loaders."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.registry import FUNCTIONS, init_default_scope
from torch.utils.data import DataLoader, Dataset, default_collate

from mmvisionllama.benchmark.interleaved import Timing
from mmvisionllama.benchmark.peer_pipelines import peer_of
from mmvisionllama.benchmark.sample_images import Record
from mmvisionllama.fault_tolerance.random_state import randomness_by
from mmvisionllama.inference.preparation import pipeline_of

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class InputPipeline:
    """A pipeline that is measured.

    Args:
        sample: From what a data set knows of an image to a sample.
        collate: From samples to a batch.
    """

    name: str
    sample: Callable[[Record], Any]
    collate: Callable[[list[Any]], Any]


@dataclass(frozen=True)
class _KeyedPipeline:
    """Transforms with the randomness of a key, as a training runs them."""

    transforms: Compose

    def __call__(self, record: Record) -> Any:
        with randomness_by(0, record["sample_idx"]):
            return self.transforms(dict(record))


@dataclass(frozen=True)
class _Samples(Dataset):
    pipeline: InputPipeline
    records: Sequence[Record]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Any:
        return self.pipeline.sample({**self.records[index], "sample_idx": index})


def pipelines_of(configs: Mapping[str, Mapping[str, Any]]) -> list[InputPipeline]:
    """Return the peers of some configs by name, each once, then the training pipelines of the configs."""
    ours, peers = [], {}
    for name, cfg in configs.items():
        init_default_scope(cfg["default_scope"])
        loader = cfg["train_dataloader"]
        steps = pipeline_of(loader["dataset"])
        collate = FUNCTIONS.get(loader.get("collate_fn", {}).get("type", "pseudo_collate"))
        ours.append(InputPipeline(name, _KeyedPipeline(Compose(steps)), collate))
        if (peer := peer_of(steps)) is not None:
            peers.setdefault(peer.name, InputPipeline(peer.name, peer, default_collate))
    return [*peers.values(), *ours]


def _decoded(record: Record) -> np.ndarray:
    content = np.frombuffer(Path(record["img_path"]).read_bytes(), np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_COLOR)


# What bounds a pipeline that decodes whole images.
DECODING = InputPipeline("reading and decoding alone", _decoded, list)


def measure_alone(
    pipelines: Sequence[InputPipeline],
    records: Sequence[Record],
    *,
    rounds: int = 15,
    warmup: int = 1,
    progress: Progress = lambda done, total: None,
) -> list[Timing]:
    """Run all records through each pipeline in turn, and take the processor time of one thread."""
    samples = [_Samples(pipeline, records) for pipeline in pipelines]

    def turn(data: _Samples) -> float:
        start = time.process_time()
        for index in range(len(data)):
            data[index]
        return time.process_time() - start

    with _one_thread():
        return _in_turn(samples, turn, rounds, warmup, progress)


def measure_loaders(
    pipelines: Sequence[InputPipeline],
    records: Sequence[Record],
    *,
    workers: int,
    batch: int,
    rounds: int = 15,
    warmup: int = 1,
    progress: Progress = lambda done, total: None,
) -> list[Timing]:
    """Load all records in batches by loading processes, and take the time until the last batch has come.

    The processes of each pipeline stay, and are idle while another's work.
    """
    loaders = [
        DataLoader(
            _Samples(pipeline, records),
            batch,
            num_workers=workers,
            collate_fn=pipeline.collate,
            persistent_workers=True,
        )
        for pipeline in pipelines
    ]

    def turn(loader: DataLoader) -> float:
        start = time.perf_counter()
        for _ in loader:
            pass
        return time.perf_counter() - start

    with _one_thread():
        return _in_turn(loaders, turn, rounds, warmup, progress)


def _in_turn(
    subjects: Sequence[Any], turn: Callable[[Any], float], rounds: int, warmup: int, progress: Progress
) -> list[Timing]:
    seconds: list[list[float]] = [[] for _ in subjects]
    for done in range(1, warmup + rounds + 1):
        for subject, taken in zip(subjects, seconds, strict=True):
            taken.append(turn(subject))
        progress(done, warmup + rounds)
    return [Timing(taken[warmup:]) for taken in seconds]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch and OpenCV take one thread each, as in the loading processes of a training."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
