"""ImageNet generation recipes, from files to samples: the shipped configs, shortened by options."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.experiments.tiny_data import write_autoencoder
from mmvisionllama.inference.latent_caching import options_for
from tests.tools.commands import IN_PROCESS, logged_losses, run, summary

SYNSETS = ("n01440764", "n01443537", "n02084071")
SHRUNK = [
    *IN_PROCESS,
    *(f"{split}_dataloader.dataset.metainfo.classes=[{','.join(SYNSETS)}]" for split in ("train", "val")),
    "train_dataloader.batch_size=3",
    "auto_scale_lr.base_batch_size=3",
    "val_dataloader.dataset.indices=2",
    "train_cfg.max_iters=2",
    "train_cfg.val_interval=2",
    "param_scheduler.0.end=2",
    "default_hooks.checkpoint.interval=2",
    "default_hooks.logger.interval=1",
    "model.network.arch=tiny",
    "model.network.num_classes=3",
    "model.sampler.steps=2",
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write noisy images in ImageNet's layout, and a random autoencoder that shrinks eightfold."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for synset in SYNSETS:
            folder = tmp_path / "data/imagenet" / split / synset
            folder.mkdir(parents=True)
            pixels = rng.integers(0, 256, (*rng.integers(60, 600, 2), 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{synset}_0.JPEG")
    monkeypatch.setenv("MMVISIONLLAMA_DATA", str(tmp_path / "data"))
    torch.manual_seed(0)
    write_autoencoder(tmp_path / "autoencoder")
    return tmp_path


@pytest.mark.parametrize("name", ["dit_visionllama_base_p4_in1k_256", "sit_small_p2_in1k_256"])
def test_imagenet_is_trained_on_in_latents(name: str, data: Path) -> None:
    work_dir = data / "work"
    options = [*SHRUNK, f"model.autoencoder.path={data / 'autoencoder'}"]
    assert run("train", f"configs/gen/{name}.py", "--work-dir", work_dir, "--cfg-options", *options) == 0
    losses, facts = logged_losses(work_dir), summary(work_dir)
    assert list(losses) == [1, 2]
    assert np.isfinite([*losses.values(), facts["last"]["denoising/loss"]]).all()
    weights = read_checkpoint(facts["last_checkpoint"])["state_dict"]
    assert {key.partition(".")[0] for key in weights} == {"network"}  # the autoencoder is not in it
    with Image.open(work_dir / "predictions.png") as picture:
        assert min(picture.size) > 40


def test_imagenet_is_trained_on_from_cached_latents(data: Path) -> None:
    name, work_dir = "configs/gen/sit_visionllama_small_p2_in1k_256.py", data / "work"
    shrunk = [*SHRUNK, f"model.autoencoder.path={data / 'autoencoder'}"]
    assert run("cache_latents", name, "--batch-size", "2", "--cfg-options", *shrunk) == 0
    cache = data / "data" / "imagenet_latents_256"  # beside the images
    options = [x for x in shrunk if "train_dataloader.dataset" not in x] + options_for(cache)
    (data / "data" / "imagenet" / "train").rename(data / "gone")
    assert run("train", name, "--work-dir", work_dir, "--cfg-options", *options) == 0
    losses = logged_losses(work_dir)
    assert list(losses) == [1, 2]
    assert np.isfinite([*losses.values()]).all()
