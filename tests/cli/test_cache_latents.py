"""Latents of real digits by a random autoencoder: cached, read, and refused where they are of others."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor

from mmvisionllama.checks.run import build_model
from mmvisionllama.config import load_config
from mmvisionllama.datasets.latents import CachedLatents
from mmvisionllama.fault_tolerance.random_state import randomness_by
from mmvisionllama.generation import ClassConditionalGenerator
from mmvisionllama.inference import latent_caching as caching_module
from mmvisionllama.inference.latent_caching import options_for
from tests.generation.files import save_autoencoder
from tests.generation.networks import randomised
from tests.tools.commands import IN_PROCESS, REPOSITORY, logged_losses, run, run_in_two

CONFIG = str(REPOSITORY / "tests" / "cli" / "latent_config.py")
COUNT = 90
SHARDS = ["--shard-size", "40", "--batch-size", "16"]


def autoencoder(folder: Path) -> str:
    return f"model.autoencoder.path={folder}"


def cache(folder: Path, out: Path, *options: str) -> int:
    options = [*IN_PROCESS, autoencoder(folder), *options]
    return run("cache_latents", CONFIG, "--out", out, *SHARDS, "--cfg-options", *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder and the latents of 90 digits; tests must not change them."""
    folder = tmp_path_factory.mktemp("latents")
    assert cache(save_autoencoder(folder / "autoencoder"), folder / "cache") == 0
    return folder


@pytest.fixture
def model(folder: Path) -> ClassConditionalGenerator:
    return randomised(
        build_model(load_config(CONFIG, {"model.autoencoder.path": str(folder / "autoencoder")}))
    )


def dataset(root: Path, **options: Any) -> CachedLatents:
    init_default_scope("mmpretrain")
    return DATASETS.build(dict(type="mmvisionllama.CachedLatents", data_root=str(root), **options))


def images(count: int) -> list[dict[str, Any]]:
    init_default_scope("mmpretrain")
    digits = dict(type="mmvisionllama.SklearnDigits", pipeline=[dict(type="PackInputs")])
    built = DATASETS.build(digits)
    return [built[i] for i in range(count)]


def batch_of(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: [x[key] for x in items] for key in ("inputs", "data_samples")}


def losses(model: ClassConditionalGenerator, items: list[dict[str, Any]], seed: int) -> Tensor:
    """Give the training loss of every item, its latents, time and noise drawn by ``seed``."""
    torch.manual_seed(seed)
    with torch.no_grad():
        return model(**model.data_preprocessor(batch_of(items), True), mode="loss")["loss_mse"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_cache_holds_the_latents_of_images_and_mirror_images(
    folder: Path, model: ClassConditionalGenerator
) -> None:
    cached, online = dataset(folder / "cache"), images(COUNT)
    assert len(cached) == COUNT
    assert cached.metainfo["classes"] == tuple("0123456789")
    img = model.data_preprocessor(batch_of(online))["inputs"]
    found: dict[int, dict[int, Tensor]] = {i: {} for i in range(COUNT)}
    for epoch in range(12):
        for i in range(COUNT):
            with randomness_by(0, epoch, i):
                item = cached[i]
            assert int(item["data_samples"].gt_label) == int(online[i]["data_samples"].gt_label)
            assert item["data_samples"].sample_idx == i
            found[i].setdefault(hash(item["inputs"].numpy().tobytes()), item["inputs"])
    expected = [torch.stack(model.autoencoder.encode(x), 1) for x in (img, img.flip(-1))]
    both = 0
    for i, versions in found.items():
        for latent in versions.values():
            errors = [(latent.float() - x[i]).abs().max() / x[i].abs().max() for x in expected]
            assert min(errors) < 1e-3  # float16
        both += len(versions) == 2
    assert both > 0.95 * COUNT


def test_an_evaluation_reads_images_unflipped(folder: Path) -> None:
    cached = dataset(folder / "cache", test_mode=True)
    for i in (0, 50):
        assert len({cached[i]["inputs"].numpy().tobytes() for _ in range(8)}) == 1


def test_with_the_same_noise_the_loss_from_the_cache_is_that_of_the_images(
    folder: Path, model: ClassConditionalGenerator
) -> None:
    cached, online = dataset(folder / "cache", test_mode=True), images(COUNT)
    from_cache = losses(model, [cached[i] for i in range(COUNT)], seed=1)
    torch.testing.assert_close(from_cache, losses(model, online, seed=1), rtol=1e-2, atol=1e-3)


def test_with_other_noise_the_mean_loss_is_the_same_within_four_standard_errors(
    folder: Path, model: ClassConditionalGenerator
) -> None:
    cached, online = dataset(folder / "cache"), images(COUNT)
    mirrored = [{**x, "inputs": x["inputs"].flip(-1)} for x in online]
    ours, theirs = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        with randomness_by(seed):
            ours.append(losses(model, [cached[i] for i in range(COUNT)], seed).mean())
        flips = rng.random(COUNT) < 0.5
        epoch = [(mirrored if flip else online)[i] for i, flip in enumerate(flips)]
        theirs.append(losses(model, epoch, seed + 1000).mean())
    ours, theirs = torch.stack(ours), torch.stack(theirs)
    error = ((ours.var() + theirs.var()) / len(ours)).sqrt()
    assert (ours.mean() - theirs.mean()).abs() < 4 * error
    assert error < 0.05 * theirs.mean()  # or it would say nothing
    scaled = [{**cached[i], "inputs": 3 * cached[i]["inputs"]} for i in range(COUNT)]
    assert (losses(model, scaled, 0).mean() - theirs.mean()).abs() > 8 * error


def test_loading_the_autoencoder_draws_no_random_number(model: ClassConditionalGenerator) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert model.autoencoder.scale == 0.5
    assert torch.equal(torch.get_rng_state(), before)


def test_latents_are_drawn_anew_from_their_distribution(
    folder: Path, model: ClassConditionalGenerator
) -> None:
    latent = dataset(folder / "cache")[3]["inputs"].float()
    x = latent.expand(4000, *latent.shape)
    torch.manual_seed(0)
    drawn = model.encode(x, resample=True)
    mean, deviation = latent
    assert ((drawn.mean(0) - mean).abs() < 5 * deviation / 4000**0.5).all()
    torch.testing.assert_close(drawn.std(0), deviation, rtol=0.1, atol=0)


def test_a_config_of_images_trains_on_the_cache_by_the_options_that_the_tool_prints(
    folder: Path, tmp_path: Path
) -> None:
    printed = options_for(folder / "cache")
    short = ["train_cfg.max_iters=6", "train_cfg.val_interval=6", "default_hooks.checkpoint.interval=6"]
    short += ["unchecked=[param_scheduler]"]
    logged = ["default_hooks.logger.interval=1", "log_processor.window_size=1"]
    options = [*IN_PROCESS, *short, *logged, autoencoder(folder / "autoencoder"), *printed]
    assert run("train", CONFIG, "--work-dir", tmp_path / "run", "--cfg-options", *options) == 0
    assert np.isfinite(list(logged_losses(tmp_path / "run").values())).all()
    assert (tmp_path / "run" / "predictions.png").is_file()


class Killed(Exception):
    pass


def test_an_interrupted_caching_goes_on_and_ends_in_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = caching_module.Caching.write

    def killed(self: Any, shards: Any, *args: Any) -> Iterator[int]:
        written = whole(self, shards, *args)
        for _ in range(4):  # three batches are the first shard
            yield next(written)
        raise Killed

    monkeypatch.setattr(caching_module.Caching, "write", killed)
    with pytest.raises(Killed):
        cache(folder / "autoencoder", tmp_path / "cache")
    monkeypatch.setattr(caching_module.Caching, "write", whole)
    first = tmp_path / "cache" / "shard_00000.safetensors"
    (tmp_path / "cache" / ".shard_00001.123.safetensors").write_text("half")
    assert sorted(x.name for x in first.parent.glob("shard*")) == [first.name]
    with pytest.raises(RuntimeError, match="not complete: 2 of 3 shards are missing"):
        dataset(tmp_path / "cache")
    written = first.stat().st_mtime_ns
    assert cache(folder / "autoencoder", tmp_path / "cache") == 0
    assert first.stat().st_mtime_ns == written
    assert contents(tmp_path / "cache").keys() == contents(folder / "cache").keys()
    differing = {k for k, v in contents(folder / "cache").items() if contents(tmp_path / "cache")[k] != v}
    assert not differing


def test_two_processes_write_the_same_cache(folder: Path, tmp_path: Path) -> None:
    options = ["--cfg-options", *IN_PROCESS, autoencoder(folder / "autoencoder")]
    said = run_in_two("cache_latents", CONFIG, "--out", "c", *SHARDS, *options, folder=tmp_path)
    assert contents(tmp_path / "c") == contents(folder / "cache")
    assert " ".join(options_for(tmp_path / "c")) in said


def test_an_autoencoder_that_was_moved_is_the_same_one(folder: Path, tmp_path: Path) -> None:
    assert cache(save_autoencoder(tmp_path / "moved"), folder / "cache") == 0
    assert json.loads((folder / "cache" / "cache.json").read_text())["autoencoder"]["scale"] == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model.autoencoder.scale=0.7"], "scale: 0.5 there, 0.7 in the model"),
        (
            ["model.network.input_size=8"],
            "latents of 2 x 4 x 4, of images of 8 x 8 px; the network takes",
        ),
        (["model.autoencoder=None", "model.network.in_channels=1"], "but the model has no autoencoder"),
        (["model.autoencoder.path=OTHER"], "holds latents of another autoencoder"),
        (["train_dataloader.dataset.data_root=GONE"], "GONE does not exist"),
        (["train_dataloader.dataset.data_root=EMPTY"], "holds no cached latents"),
        (["train_dataloader.dataset.data_root=HALF"], "not complete: 1 of 3 shards"),
        (["train_dataloader.dataset.data_root=DAMAGED"], "shard_00001.safetensors is damaged"),
    ],
)
def test_latents_that_do_not_suit_the_model_are_refused_before_training(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    save_autoencoder(tmp_path / "OTHER", seed=5)
    (tmp_path / "EMPTY").mkdir()
    for name, damage in (("HALF", Path.unlink), ("DAMAGED", lambda path: path.write_text("x"))):
        (tmp_path / name).mkdir()
        for file, content in contents(folder / "cache").items():
            (tmp_path / name / file).write_bytes(content)
        damage(tmp_path / name / "shard_00001.safetensors")
    for name in ("OTHER", "GONE", "EMPTY", "HALF", "DAMAGED"):
        options = [x.replace(f"={name}", f"={tmp_path / name}") for x in options]
    given = [*IN_PROCESS, autoencoder(folder / "autoencoder"), *options_for(folder / "cache"), *options]
    assert run("train", CONFIG, "--work-dir", tmp_path / "run", "--cfg-options", *given) == 2
    error = capsys.readouterr().err
    assert message in error, error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model.autoencoder.scale=0.7"], "holds latents of another run: autoencoder:"),
        (["train_dataloader.dataset.indices=80"], "holds latents of another run: images:"),
        (["model.autoencoder=None", "model.network.in_channels=1"], "the model has no autoencoder"),
        (["train_dataloader.dataset.pipeline.0.type=RandomGrayscale"], "RandomGrayscale changes images"),
        (["train_dataloader.dataset.pipeline.0.direction=vertical"], "a cache holds images and their mirror"),
        (["model.autoencoder.path=./none"], "none has no config.json of an autoencoder"),
    ],
)
def test_what_cannot_be_cached_is_an_error_and_nothing_is_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    before = contents(folder / "cache")
    assert cache(folder / "autoencoder", folder / "cache", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error, error
    assert contents(folder / "cache") == before


def test_without_a_folder_of_the_images_the_cache_needs_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*IN_PROCESS, autoencoder(folder / "autoencoder")]
    assert run("cache_latents", CONFIG, "--cfg-options", *options) == 2
    assert "say by --out where its latents go" in capsys.readouterr().err
