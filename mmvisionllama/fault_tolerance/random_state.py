"""Random state of a process as plain values, a random stream for every rank, and randomness by a key."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import get_worker_info


def capture_random_state() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and torch's generators, on this process's GPU as well."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
        "numpy": {
            "name": name,
            "keys": torch.from_numpy(keys.astype(np.int64)),
            "position": position,
            "has_gauss": has_gauss,
            "cached": cached,
        },
        "torch": torch.default_generator.get_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Go back to a captured state."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    keys = numpy["keys"].numpy().astype(np.uint32)
    np.random.set_state((numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))
    torch.default_generator.set_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


def split_streams(seed: int, rank: int) -> None:
    """Let each process draw from a stream of its own, which follows from ``seed`` and ``rank``.

    The first one goes on with the stream that all have had in common.
    """
    if rank == 0:
        return
    # A spawn key, unlike (seed, rank) as entropy, gives none of the streams of ``randomness_by``.
    words = np.random.SeedSequence(seed, spawn_key=(rank,)).generate_state(4)
    _seed_host(words)
    torch.manual_seed(_seed_of(words))  # on all devices


@contextmanager
def randomness_by(*key: int) -> Iterator[None]:
    """Let all that is drawn on the CPU in this block follow from ``key``, and nothing outside of it.

    A process that loads for a ``DataLoader`` draws for samples alone, each by a key of its own. It does not
    go back to where it was: reading and setting NumPy's state takes a twentieth of the time of a sample.

    Args:
        key: Whole numbers, not negative.
    """
    loads = get_worker_info() is not None
    before = None if loads else _host_states()
    words = np.random.SeedSequence(key).generate_state(4)
    _seed_host(words)
    # torch.manual_seed would seed the GPU too, which belongs to the model.
    torch.default_generator.manual_seed(_seed_of(words))
    cv2.setRNGSeed(int(words[2] >> 1))
    try:
        yield
    finally:
        if before is not None:
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.default_generator.set_state(before[2])


def _host_states() -> tuple[Any, Any, torch.Tensor]:
    return random.getstate(), np.random.get_state(), torch.default_generator.get_state()


def _seed_host(words: np.ndarray) -> None:
    random.seed(words.tobytes())
    np.random.seed(words)


def _seed_of(words: np.ndarray) -> int:
    return int(words[0]) << 32 | int(words[1])
