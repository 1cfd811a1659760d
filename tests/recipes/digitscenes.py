"""Short trainings on DigitScenes: the data, and the options that end them after a few steps."""

from collections.abc import Callable, Iterator

import pytest

from mmvisionllama.datasets.digitscenes import write_digitscenes
from tests.tools.commands import IN_PROCESS

LOGGED = [*IN_PROCESS, "default_hooks.logger.interval=1", "log_processor.window_size=1"]


def shortened(length: str, number: int, batch_size: int) -> list[str]:
    """Give the options that make a training a few steps long; ``length`` is what its schedule counts in."""
    return [
        *LOGGED,
        f"train_dataloader.batch_size={batch_size}",
        f"train_cfg.{length}={number}",
        f"train_cfg.val_interval={number}",
        "param_scheduler.0.end=2",
        "param_scheduler.1.begin=2",
        f"param_scheduler.1.end={number}",
    ]


def written(layout: str, num_train: int) -> Callable[..., Iterator[None]]:
    """Return the fixture of a module: a few images in one layout, where the configs look for them."""

    @pytest.fixture(scope="module", autouse=True)
    def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        base = tmp_path_factory.mktemp("data")
        write_digitscenes(base / "digitscenes", num_train=num_train, num_val=8, layouts=[layout], workers=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MMVISIONLLAMA_DATA", str(base))
            yield

    return data
