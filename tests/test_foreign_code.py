"""A payload at every entrance of a file: none of it runs, and the user is told."""

import functools
import io
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as host

from mmvisionllama.checkpoint import convert_file, kept_model, newest_good, read_checkpoint, verify
from mmvisionllama.checkpoint.reading import make_mmengine_read_safely
from mmvisionllama.checks.checkpoint import check_exact
from mmvisionllama.checks.data import check_dataset
from mmvisionllama.checks.same_model import differences
from mmvisionllama.config import load_config
from mmvisionllama.config.component_types import UnknownType, resolve_untrusted
from mmvisionllama.config.option_values import parse_options
from mmvisionllama.datasets.latents import FACTS, CachedLatents
from mmvisionllama.errors import UserError
from mmvisionllama.evaluation.images import open_images, read_array
from mmvisionllama.evaluation.inception import InceptionFeatures
from mmvisionllama.evaluation.reference import open_reference
from mmvisionllama.fault_tolerance.bad_batches import read_batch
from mmvisionllama.fault_tolerance.replay import replay
from tests import foreign_code as plant
from tests.checkpoint.test_saving import content, save
from tests.checkpoint.test_sharded import save as save_sharded
from tests.tools.commands import TOY, main, run

ENTRANCES: dict[str, Callable[[Path, Path], Any]] = {}


def entrance(function: Callable[[Path, Path], Any]) -> Callable[[Path, Path], Any]:
    """Register what plants a payload in a folder, with the marker that it would leave, and goes in."""
    ENTRANCES[function.__name__] = function
    return function


# --- checkpoints ---


@entrance
def a_checkpoint(folder: Path, marker: Path) -> None:
    read_checkpoint(plant.checkpoint(folder / "a.pth", marker))


@entrance
def a_checkpoint_that_is_mapped(folder: Path, marker: Path) -> None:
    read_checkpoint(plant.checkpoint(folder / "a.pth", marker), lazy=True)


@entrance
def a_checkpoint_of_the_old_format(folder: Path, marker: Path) -> None:
    read_checkpoint(plant.legacy_checkpoint(folder / "a.pth", marker))


@entrance
def a_bare_pickle(folder: Path, marker: Path) -> None:
    read_checkpoint(plant.bare_pickle(folder / "a.pth", marker))


@entrance
def a_pickle_called_safetensors(folder: Path, marker: Path) -> None:
    read_checkpoint(plant.bare_pickle(folder / "a.safetensors", marker))


def read_shards(folder: Path, name: str, plant_at: Callable[[Path, Path], Path], marker: Path) -> None:
    """Read a sharded checkpoint of which one file is forged, its manifest, too."""
    path = save_sharded(folder, 1)
    plant_at(path / name, marker)
    plant.forged(path, name)
    read_checkpoint(path)


@entrance
def the_shards_description(folder: Path, marker: Path) -> None:
    read_shards(folder, ".metadata", plant.bare_pickle, marker)


@entrance
def the_common_part_of_shards(folder: Path, marker: Path) -> None:
    read_shards(folder, "common.pth", plant.checkpoint, marker)


@entrance
def a_shard(folder: Path, marker: Path) -> None:
    read_shards(folder, "__0_0.distcp", plant.bare_pickle, marker)


@entrance
def a_verdict(folder: Path, marker: Path) -> None:
    verdict = verify(plant.checkpoint(folder / "iter_9.pth", marker))
    assert "posix.mkdir" in verdict.problem
    raise UserError(verdict.problem)


@entrance
def the_newest_of_a_folder(folder: Path, marker: Path) -> None:
    good = save(folder, 1)
    plant.checkpoint(folder / "iter_9.pth", marker)
    choice = newest_good(folder)
    assert choice.path == good
    raise UserError(choice.rejected[0].problem)


@entrance
def a_folder_that_the_pointer_names(folder: Path, marker: Path) -> None:
    (folder / "other").mkdir()
    planted = plant.checkpoint(folder / "other" / "iter_9.pth", marker)
    (folder / "last_checkpoint").write_text(str(planted))
    choice = newest_good(folder)
    assert choice.path is None
    raise UserError("nothing good there")


@entrance
def mmengines_loader(folder: Path, marker: Path) -> None:
    CheckpointLoader.load_checkpoint(str(plant.checkpoint(folder / "a.pth", marker)))


@entrance
def mmengines_loader_of_files(folder: Path, marker: Path) -> None:
    host.load_from_local(str(plant.checkpoint(folder / "a.pth", marker)), None)


@entrance
def mmengines_loader_of_object_stores(folder: Path, marker: Path) -> None:
    content = plant.checkpoint(folder / "a.pth", marker).read_bytes()
    host._safe_torch_load(io.BytesIO(content))


@entrance
def an_address(folder: Path, marker: Path) -> None:
    plant.checkpoint(folder / "a.pth", marker)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            read_checkpoint(f"http://127.0.0.1:{server.server_port}/a.pth")
        finally:
            server.shutdown()


@entrance
def a_released_file(folder: Path, marker: Path) -> None:
    convert_file(plant.checkpoint(folder / "a.pth", marker), folder / "ours.safetensors")


@entrance
def weights_of_the_metrics_network(folder: Path, marker: Path) -> None:
    InceptionFeatures(plant.checkpoint(folder / "a.pth", marker))


@entrance
def an_autoencoder(folder: Path, marker: Path) -> None:
    from mmvisionllama.generation.autoencoder import KLAutoencoder

    (folder / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    plant.bare_pickle(folder / "diffusion_pytorch_model.bin", marker)
    try:
        _ = KLAutoencoder(str(folder)).scale
    except ValueError as error:
        raise UserError(str(error)) from error


# --- what a checkpoint says of its config ---


@entrance
def the_text_of_a_kept_config(folder: Path, marker: Path) -> None:
    text = plant.python_text(marker) + "model = __import__('os').mkdir('x') or dict(type='X')\n"
    assert kept_model({"meta": {"cfg": text}}, "a.pth") is None
    raise UserError("it is no data")


@entrance
def a_module_that_a_kept_config_names(folder: Path, marker: Path) -> None:
    (folder / "planted_module.py").write_text(plant.python_text(marker))
    sys.path.insert(0, str(folder))
    kept = {"type": "planted_module.Model", "backbone": {"type": "VisionLLaMA", "_scope_": "planted_module"}}
    try:
        differences({"meta": {"model": kept}}, "a.pth", Config({"model": {"type": "Other"}}))
        assert "planted_module" not in sys.modules
        for name in ("planted_module.Model", "os.system", "planted_module.sub.Model"):
            with pytest.raises(UnknownType):
                resolve_untrusted(name, "model", ("planted_module",))
    finally:
        sys.path.remove(str(folder))
    raise UserError("compared by name alone")


# --- batches ---


def batch(folder: Path, value: Any) -> Path:
    path = folder / "batch.pth"
    torch.save({"batch": [value], "random": {}, "meta": {}}, path)
    return path


@entrance
def a_bad_batch(folder: Path, marker: Path) -> None:
    read_batch(batch(folder, plant.RunsCode(marker)))


@entrance
def a_dataset_in_a_bad_batch(folder: Path, marker: Path) -> None:
    data = np.frombuffer(pickle.dumps(plant.RunsCode(marker)), np.uint8)
    state = {
        "data_bytes": {"__array__": torch.tensor(data)},
        "data_address": {"__array__": torch.tensor([len(data)])},
    }
    dataset = {"__object__": "mmengine.dataset.base_dataset:BaseDataset", "state": state}
    dataset["state"] |= {"serialize_data": True, "_fully_initialized": True}
    read_batch(batch(folder, dataset))[0][0].get_data_info(0)


@entrance
def a_process_in_a_bad_batch(folder: Path, marker: Path) -> None:
    element = {"__element__": "subprocess:Popen", "metainfo": ["mkdir", str(marker)], "data": {}}
    read_batch(batch(folder, element))


@entrance
def a_method_in_a_bad_batch(folder: Path, marker: Path) -> None:
    name = "mmpretrain.structures.data_sample:DataSample"
    read_batch(batch(folder, {"__element__": name, "metainfo": {}, "data": {"to": 1}}))


@entrance
def a_bad_batch_to_replay(folder: Path, marker: Path) -> None:
    replay(TOY, batch(folder, plant.RunsCode(marker)))


# --- data ---


@entrance
def annotations_as_pickle(folder: Path, marker: Path) -> None:
    mmengine.load(str(plant.bare_pickle(folder / "a.pkl", marker)))


@entrance
def annotations_of_any_suffix_read_as_pickle(folder: Path, marker: Path) -> None:
    mmengine.load(str(plant.bare_pickle(folder / "refs(google).p", marker)), file_format="pkl")


@entrance
def a_dataset_with_annotations_as_pickle(folder: Path, marker: Path) -> None:
    file = plant.bare_pickle(folder / "a.pickle", marker)
    dataset = BaseDataset(ann_file=file.name, data_root=str(folder), lazy_init=True)
    (problem,) = check_dataset(dataset).problems
    assert file.name in str(problem)
    raise UserError(str(problem))


@entrance
def annotations_as_yaml(folder: Path, marker: Path) -> None:
    (folder / "a.yaml").write_text(plant.yaml_text(marker))
    mmengine.load(str(folder / "a.yaml"))


@entrance
def annotations_as_yml(folder: Path, marker: Path) -> None:
    (folder / "a.yml").write_text(plant.yaml_text(marker))
    mmengine.load(str(folder / "a.yml"))


@entrance
def a_yaml_base_of_a_config(folder: Path, marker: Path) -> None:
    (folder / "base.yaml").write_text("model: " + plant.yaml_text(marker))
    (folder / "config.py").write_text("_base_ = 'base.yaml'\n")
    load_config(folder / "config.py")


@entrance
def an_option_of_a_command(folder: Path, marker: Path) -> None:
    text = f"__import__('os').mkdir({str(marker)!r})"
    assert parse_options([f"model={text}"])["model"] == text
    raise UserError("a text")


def cifar(folder: Path, marker: Path, **names: Any) -> BaseDataset:
    from mmpretrain.datasets import CIFAR10

    (folder / "cifar").mkdir()
    plant.bare_pickle(folder / "cifar" / "planted", marker)
    good = {"data": np.zeros((1, 3072), np.uint8), "labels": [0]}
    (folder / "cifar" / "good").write_bytes(pickle.dumps(good, protocol=2))
    lists = {"train_list": [["good", None]], "test_list": [], "METAINFO": {}}
    kind = type("Cifar", (CIFAR10,), {"base_folder": "cifar", **lists, **names})
    return kind(str(folder), download=False, lazy_init=True)


@entrance
def cifars_batches(folder: Path, marker: Path) -> None:
    cifar(folder, marker, train_list=[["planted", None]]).full_init()


@entrance
def cifars_classes(folder: Path, marker: Path) -> None:
    meta = {"filename": "planted", "key": "label_names", "md5": None}
    cifar(folder, marker, meta=meta).full_init()


@entrance
def a_biomedical_image(folder: Path, marker: Path) -> None:
    from mmseg.utils.io import datafrombytes

    datafrombytes(plant.bare_pickle(folder / "a.pkl", marker).read_bytes(), backend="pickle")


@entrance
def the_class_tree_of_openimages(folder: Path, marker: Path) -> None:
    from mmdet.datasets import OpenImagesChallengeDataset

    dataset = OpenImagesChallengeDataset.__new__(OpenImagesChallengeDataset)
    dataset.backend_args = None
    dataset._get_relation_matrix(str(plant.array_file(folder / "tree.npy", marker)))


@entrance
def an_archive_of_a_dataset(folder: Path, marker: Path) -> None:
    from mmpretrain.datasets.utils import extract_archive

    (folder / "data").mkdir()
    extract_archive(str(plant.climbing_tar(folder / "data" / "a.tar.gz", marker)))


@entrance
def a_zip_archive_of_a_dataset(folder: Path, marker: Path) -> None:
    from mmpretrain.datasets.utils import extract_archive

    (folder / "data").mkdir()
    extract_archive(str(plant.climbing_zip(folder / "data" / "a.zip", marker)))
    assert (folder / "data" / marker.name).exists()  # Python leaves the climbing out
    raise UserError("inside")


@entrance
def moments_of_a_reference(folder: Path, marker: Path) -> None:
    open_reference(str(plant.arrays_file(folder / "a.npz", marker)))


@entrance
def labels_of_samples(folder: Path, marker: Path) -> None:
    images = np.zeros((1, 2, 2, 3), np.uint8)
    open_images(plant.arrays_file(folder / "a.npz", marker, arr_0=images))


@entrance
def an_array_of_samples(folder: Path, marker: Path) -> None:
    read_array(plant.arrays_file(folder / "a.npz", marker), "mu")


@entrance
def cached_latents(folder: Path, marker: Path) -> None:
    facts = {"images": {"count": 1}, "shard_size": 1, "flip_prob": 0.0, "classes": []}
    (folder / FACTS).write_text(json.dumps(facts))
    plant.bare_pickle(folder / "shard_00000.safetensors", marker)
    try:
        CachedLatents(str(folder))
    except RuntimeError as error:
        raise UserError(str(error)) from error


# --- commands ---


def command(status: int) -> None:
    assert status == 2
    raise UserError("by the command")


@entrance
def the_command_train_resuming(folder: Path, marker: Path) -> None:
    command(run("train", TOY, "--resume", plant.checkpoint(folder / "a.pth", marker)))


@entrance
def the_command_train_starting(folder: Path, marker: Path) -> None:
    command(run("train", TOY, load_from=str(plant.checkpoint(folder / "a.pth", marker))))


@entrance
def the_command_test(folder: Path, marker: Path) -> None:
    command(run("test", TOY, plant.checkpoint(folder / "a.pth", marker)))


@entrance
def the_command_replay(folder: Path, marker: Path) -> None:
    command(main("replay_batch", TOY, batch(folder, plant.RunsCode(marker))))


@entrance
def the_command_convert(folder: Path, marker: Path) -> None:
    command(main("convert_checkpoint", plant.checkpoint(folder / "a.pth", marker), folder / "a.safetensors"))


@entrance
def the_command_sample(folder: Path, marker: Path) -> None:
    path = plant.checkpoint(folder / "a.pth", marker)
    command(main("sample", "configs/toy/dit_tiny_digits.py", path, "--out", folder / "samples"))


@pytest.fixture
def safe_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    make_mmengine_read_safely()
    yield


@pytest.mark.parametrize("name", ENTRANCES)
def test_a_payload_does_not_run_and_the_user_is_told(
    name: str, tmp_path: Path, safe_hosts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, marker = tmp_path / "folder", tmp_path / "folder" / "ran"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(UserError) as caught:
        ENTRANCES[name](folder, marker)
    assert not marker.exists()
    assert len(str(caught.value).splitlines()) == 1


def test_the_payloads_run_where_nothing_guards(tmp_path: Path) -> None:
    """Else the tests above would show nothing."""
    for number, (make, load) in enumerate(
        [
            (plant.bare_pickle, lambda path: pickle.loads(path.read_bytes())),
            (plant.checkpoint, lambda path: torch.load(path, weights_only=False)),
            (plant.legacy_checkpoint, lambda path: torch.load(path, weights_only=False)),
            (plant.array_file, lambda path: np.load(path, allow_pickle=True)),
        ]
    ):
        marker = tmp_path / f"ran_{number}"
        load(make(tmp_path / f"{number}.npy", marker))
        assert marker.is_dir()


def test_there_are_entrances_enough() -> None:
    assert len(ENTRANCES) >= 25


def test_a_resumed_training_does_not_run_the_config_text_that_mmengine_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.fault_tolerance.resume_cases import training

    training(tmp_path, max_iters=5).train()
    path, marker = tmp_path / "iter_5.pth", tmp_path / "ran"
    saved = read_checkpoint(path)
    saved["meta"]["config"] = plant.python_text(marker)
    torch.save(saved, path)
    (tmp_path / "iter_5.pth.json").unlink()
    resumed = training(tmp_path, resume=True, max_iters=6)
    resumed.train()
    assert resumed.resumed_from == path
    assert not marker.exists()


def test_plain_pickles_yaml_and_arrays_are_read_as_before(tmp_path: Path, safe_hosts: None) -> None:
    value = {"a": [1, 2.0, None, (True, "x", b"y")], "b": {1, 2}, "c": np.arange(3), "d": np.float32(2)}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
        found = mmengine.load(str(tmp_path / "a.pkl"))
        assert {**found, "c": found["c"].tolist()} == {**value, "c": [0, 1, 2]}
    (tmp_path / "a.yaml").write_text("a: [1, 2.5, text, null]\n")
    assert mmengine.load(str(tmp_path / "a.yaml")) == {"a": [1, 2.5, "text", None]}
    assert len(cifar(tmp_path, tmp_path / "ran", CLASSES=["a"])) == 1


def test_check_exact_reads_a_whole_checkpoint_of_ours(tmp_path: Path) -> None:
    """The same roads are open to files that hold data alone."""
    model = torch.nn.Linear(64, 64)
    torch.save(content(1, state_dict=model.state_dict()), tmp_path / "a.pth")
    assert check_exact(model, str(tmp_path / "a.pth")) == []
