from pathlib import Path

import numpy as np
import pytest
import torch

import mmvisionllama
from mmvisionllama.checkpoint.released.names import PLACE, RELEASED
from mmvisionllama.config.config_files import find_config
from mmvisionllama.errors import CheckpointError
from mmvisionllama.inference.trained_model import load

NAME = "visionllama-small-in1k-released"
# Ours -> the release's, in the order of ``families``.
_NAMES = {
    "patch_embed.projection.": "patch_embed.proj.",
    "norms.all.": "norm.",
    ".gamma": ".gamma_",
    ".ffn.gate.": ".mlp.c_fc1.",
    ".ffn.up.": ".mlp.c_fc2.",
    ".ffn.down.": ".mlp.c_proj.",
}


def written(folder: Path, arch: str) -> Path:
    """Write weights of that size as the release does, drawn and in half precision."""
    torch.manual_seed(0)
    weights = mmvisionllama.VisionLLaMA(arch, out_type="cls_token").state_dict()
    weights |= {"head.weight": torch.randn(1000, 384) * 0.02, "head.bias": torch.zeros(1000)}
    for ours, theirs in _NAMES.items():
        weights = {name.replace(ours, theirs): x for name, x in weights.items()}
    path = folder / RELEASED[NAME].file
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": {name: x.half() for name, x in weights.items()}}, path)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv(PLACE, raising=False)
    return tmp_path / "hub" / "mmvisionllama"


def test_released_weights_are_converted_once_and_predict(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = written(tmp_path / "mirror", "small")
    monkeypatch.setenv(PLACE, str(published.parent))
    image = np.random.default_rng(0).integers(0, 256, (240, 300, 3), dtype=np.uint8)
    first = load(NAME)
    assert (first.task, len(first.classes)) == ("classification", 1000)
    scores = first.predict(image).scores
    published.unlink()  # what was converted is kept
    model = mmvisionllama.create_model("visionllama_small", NAME).eval()
    assert {x.name for x in cache.iterdir()} == {f"{NAME}.safetensors", f"{NAME}.json"}
    inputs = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(model(inputs), first.module(inputs), rtol=1e-4, atol=1e-5)
    assert scores.shape == (1000,)


def test_a_file_of_another_size_is_refused_and_not_kept(cache: Path) -> None:
    written(cache, "small")
    (cache / RELEASED[NAME].file).rename(cache / RELEASED["visionllama-base-in1k-released"].file)
    with pytest.raises(CheckpointError, match=r"it has the size 'small', not 'base'"):
        load("visionllama-base-in1k-released")
    assert not list(cache.glob("*.safetensors"))


def test_what_to_download_is_said_where_there_is_none(cache: Path) -> None:
    for name, release in RELEASED.items():
        with pytest.raises(CheckpointError) as error:
            load(name)
        assert f"download {release.file} ({release.size})" in str(error.value)
        assert f"put it at {cache / release.file}" in str(error.value)
        assert find_config(release.config).is_file()
    with pytest.raises(CheckpointError, match="Did you mean 'visionllama-base-in1k-released'"):
        load("visionlama-base-in1k-released")
