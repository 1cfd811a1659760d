"""Tiny trained models, shared by the tests of this folder, which run in one process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmvisionllama.inference.publishing import publish
from mmvisionllama.inference.trained_model import TrainedModel, load
from tests.inference.models import CONFIGS, data_in, train
from tests.quick import write_plainly


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with data_in(tmp_path_factory.mktemp("data")) as digitscenes:
        yield digitscenes


@pytest.fixture(scope="package")
def checkpoints(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        write_plainly(patch)
        return {task: train(task, base) for task in CONFIGS}


@pytest.fixture(scope="package")
def models(checkpoints: dict[str, Path]) -> dict[str, TrainedModel]:
    return {task: load(path) for task, path in checkpoints.items()}


@pytest.fixture(scope="package")
def published(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("published")
    return {task: publish(path, base / task, license="apache-2.0") for task, path in checkpoints.items()}


@pytest.fixture
def photo(data: Path) -> Path:
    return sorted((data / "cls/val").rglob("*.jpg"))[0]
