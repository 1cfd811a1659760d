import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, constants
from PIL import Image
from safetensors.torch import load_file

import mmvisionllama
from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.errors import CheckpointError, ConfigError, InputError
from mmvisionllama.files import sha256_of
from mmvisionllama.inference.hub import push
from mmvisionllama.inference.published_files import described, settings_of
from mmvisionllama.inference.publishing import publish
from mmvisionllama.inference.trained_model import TrainedModel, load
from mmvisionllama.inference.zoo import BEGIN, END, enter, require_zoo, rows_in
from tests.house import ROOT
from tests.inference.hub_server import HubServer, hub_server
from tests.inference.models import CONFIGS, FOLDERS, assert_equal, config_of
from tests.tools.commands import main


@pytest.mark.parametrize("task", CONFIGS)
def test_a_folder_has_card_config_example_and_no_path_of_this_machine(
    task: str, checkpoints: dict[str, Path], published: dict[str, Path]
) -> None:
    folder = published[task]
    assert {x.name for x in folder.iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
        "training.jsonl",
        "example.png",
    }
    Image.open(folder / "example.png").verify()
    texts = [(folder / x).read_text() for x in ("README.md", "config.json", "training.jsonl")]
    assert not any(str(checkpoints[task].parents[1]) in text for text in texts)
    card = ModelCard.load(folder / "README.md").data
    assert (card.license, card.library_name) == ("apache-2.0", "mmvisionllama")
    summary = json.loads((checkpoints[task].parent / "summary.json").read_text())
    known = {name: x for name, x in summary["last"].items() if x != -1}  # of COCO: no objects of a size
    assert {x.metric_type: x.metric_value for x in card.eval_results} == pytest.approx(known, rel=1e-5)
    assert sha256_of(folder / "model.safetensors") in texts[0]
    assert f'mmvisionllama.load("{folder.name}")' in texts[0]
    assert json.loads(texts[1])["sha256"] == sha256_of(folder / "model.safetensors")


def test_weights_in_half_precision_are_measured_as_such_and_computed_in_float32(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    checkpoint = checkpoints["reconstruction"]
    zoo = tmp_path / "zoo.json"
    zoo.with_suffix(".md").write_text(f"# Mine\n\n{BEGIN}\n{END}\n\nThe end.\n")
    measured = dict(measure=config_of(checkpoint), command="x", name="mine", zoo=zoo)
    folder = publish(checkpoint, tmp_path / "a", dtype="float16", **measured)
    (row,) = rows_in(zoo)
    assert (row.name, row.folder, row.sha256) == ("mine", "a", sha256_of(folder / "model.safetensors"))
    assert row.metrics == {
        x.metric_type: x.metric_value for x in ModelCard.load(folder / "README.md").data.eval_results
    }
    page = zoo.with_suffix(".md").read_text()
    assert page.startswith("# Mine") and page.endswith("The end.\n")
    assert "| measured here: test of its config |" in page
    ours = read_checkpoint(checkpoint)
    ours["state_dict"] = {name: x.half().float() for name, x in ours["state_dict"].items()}
    torch.save(ours, tmp_path / "rounded.pth")
    loaded = load(folder).module
    for name, x in loaded.named_parameters():
        assert torch.equal(x, ours["state_dict"][name])
    stored = load_file(folder / "model.safetensors")
    assert {stored[name].dtype for name, _ in loaded.named_parameters()} == {torch.float16}
    measured = mmvisionllama.test(config_of(checkpoint), tmp_path / "rounded.pth", work_dir=tmp_path / "test")
    card = (folder / "README.md").read_text()
    told = {x.metric_type: x.metric_value for x in ModelCard(card).data.eval_results}
    assert told == pytest.approx(measured, rel=1e-5)
    assert "| command | `x` |" in card
    unmeasured = publish(checkpoint, tmp_path / "b", dtype="bfloat16") / "README.md"
    assert ModelCard.load(unmeasured).data.eval_results is None  # the training's were of other weights


def test_a_precision_that_cannot_hold_the_weights_and_a_test_that_is_none_are_refused(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"--dtype float8: .*Did you mean"):
        publish(checkpoints["classification"], tmp_path / "out", dtype="float8")
    with pytest.raises(ConfigError, match="no config 'toy/nothing'"):
        publish(checkpoints["classification"], tmp_path / "out", measure="toy/nothing")
    large = read_checkpoint(checkpoints["classification"])
    large["state_dict"]["head.fc.weight"] *= 1e8
    torch.save(large, tmp_path / "large.pth")
    with pytest.raises(InputError, match=r"head.fc.weight of up to .*use bfloat16 or float32"):
        publish(tmp_path / "large.pth", tmp_path / "out", dtype="float16")
    assert [x.name for x in tmp_path.iterdir()] == ["large.pth"]


def test_a_changed_weight_is_noticed(published: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray((published["classification"] / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    (tmp_path / "config.json").write_bytes((published["classification"] / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match="not those that were saved"):
        load(tmp_path)


def test_foreign_types_in_a_config_are_not_built(published: dict[str, Path], tmp_path: Path) -> None:
    facts = json.loads((published["classification"] / "config.json").read_text())
    facts["model"]["backbone"]["type"] = "os.system"
    (tmp_path / "config.json").write_text(json.dumps(facts))
    (tmp_path / "model.safetensors").symlink_to(published["classification"] / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"'os\.system', which no registry knows"):
        load(tmp_path)


@pytest.mark.parametrize(("part", "value"), [("tuples", 7), ("dataset_meta", 4), ("default_scope", 5)])
def test_a_damaged_config_is_named(part: str, value: int, published: dict[str, Path], tmp_path: Path) -> None:
    facts = json.loads((published["classification"] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**facts, part: value}))
    (tmp_path / "model.safetensors").symlink_to(published["classification"] / "model.safetensors")
    with pytest.raises(CheckpointError, match=part):
        load(tmp_path)


def test_what_cannot_be_published_leaves_nothing(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/note.txt").write_text("mine")
    with pytest.raises(InputError, match=r"full is there already: give a folder that is new or empty"):
        publish(checkpoints["classification"], tmp_path / "full")
    assert main("publish", tmp_path / "nothing.pth", tmp_path / "out") == 2
    with pytest.raises(InputError, match=r"image nothing.jpg does not exist"):
        publish(checkpoints["classification"], tmp_path / "out", image="nothing.jpg")
    assert [x.name for x in tmp_path.iterdir()] == ["full"]


def test_settings_keep_their_tuples_and_lose_what_belongs_to_this_machine(tmp_path: Path) -> None:
    start = dict(type="Pretrained", checkpoint=str(tmp_path / "start.pth"))
    steps = [dict(type="Resize", scale=(64, 32)), dict(type="Choice", scales=[(1, 2), [3, 4]])]
    settings = {
        "model": dict(type="A", backbone=dict(type="B", init_cfg=start)),
        "test_dataloader": dict(dataset=dict(pipeline=steps)),
    }
    facts = json.loads(json.dumps(described({**settings, "work_dir": str(tmp_path)}, {})))
    assert str(tmp_path) not in str(facts)
    del settings["model"]["backbone"]["init_cfg"]
    assert settings_of({"library_name": "mmvisionllama", **facts}) == settings
    settings["model"]["autoencoder"] = dict(path=str(tmp_path))
    with pytest.raises(InputError, match=r"model\.autoencoder\.path='.*' is a path of this machine"):
        described(settings, {})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # of its two protocols the open one
    monkeypatch.setenv("HF_TOKEN", "hf_of_this_test")
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def test_a_model_goes_to_the_hub_and_comes_back(
    hub: HubServer,
    published: dict[str, Path],
    models: dict[str, TrainedModel],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    assert main("push", published["segmentation"], "me/digits") == 0
    assert capsys.readouterr().out.startswith(f"{hub.address}/me/digits/commit/")
    assert set(hub.repositories["me/digits"]["main"]) == {x.name for x in published["segmentation"].iterdir()}
    first = next(x for x in hub.repositories["me/digits"] if x != "main")
    image = sorted((data / FOLDERS["segmentation"]).iterdir())[0]
    ours = models["segmentation"].predict(image)
    assert_equal(load("hf:me/digits").predict(image), ours)
    hub.add("me/digits", {"config.json": b"{}"})
    assert_equal(load(f"hf:me/digits@{first}").predict(image), ours)
    with pytest.raises(CheckpointError, match="does not say what model it is of"):
        load("hf:me/digits")
    fetched = {x.rpartition("/")[2] for x in hub.asked if x.startswith("GET")}
    assert fetched <= {"model.safetensors", "config.json"}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    assert_equal(load(f"hf:me/digits@{first}").predict(image), ours)
    assert len(hub.asked) == asked


def test_what_the_hub_does_not_have_is_said_in_one_line(
    hub: HubServer, published: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("me/pickled", {"pytorch_model.bin": b"cos\nsystem\n", "config.json": b"{}"})
    with pytest.raises(CheckpointError, match=r"has no model.safetensors; of the hub only that is loaded"):
        load("hf:me/pickled")
    assert not any("pytorch_model" in x for x in hub.asked)
    with pytest.raises(CheckpointError, match=r"hf:me/nothing cannot be fetched: .*404"):
        load("hf:me/nothing")
    with pytest.raises(CheckpointError, match=r"hf:me/pickled@v9 cannot be fetched: .*404"):
        load("hf:me/pickled@v9")
    with pytest.raises(InputError, match="'hf:pickled' names no model on the hub"):
        load("hf:pickled")
    with pytest.raises(InputError, match=r"is no published model: model.safetensors is missing"):
        push(tmp_path, "me/digits")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"not in the cache.*`hf download me/other`"):
        load("hf:me/other")


def test_a_row_of_the_zoo_takes_the_place_of_one_of_its_name(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo.json"
    rows = rows_in(ROOT / "docs" / "zoo.json")
    for row in (*rows, replace(rows[0], sha256="0" * 64)):
        enter(zoo, row)
    assert rows_in(zoo) == [replace(rows[0], sha256="0" * 64), *rows[1:]]


@pytest.mark.parametrize(
    ("name", "content", "page", "told"),
    [
        ("zoo.txt", None, None, "give a .json file, e.g. .*zoo.json"),
        ("zoo.json", "[1]", None, "no file that publish --zoo has written"),
        ("zoo.json", '{"a": {"task": "x"}}', None, "no file that publish --zoo has written"),
        ("zoo.json", None, "# A page", "has no place for the table; put in two lines, <!-- zoo"),
    ],
)
def test_a_zoo_that_cannot_take_a_row_is_refused_before_any_work(
    name: str, content: str | None, page: str | None, told: str, tmp_path: Path
) -> None:
    zoo = tmp_path / name
    for path, text in ((zoo, content), (zoo.with_suffix(".md"), page)):
        if text is not None:
            path.write_text(text)
    before = {x: x.read_text() for x in tmp_path.iterdir()}
    with pytest.raises(InputError, match=told):
        require_zoo(zoo)
    with pytest.raises(InputError, match=told):
        publish("visionllama-tiny-digitscenes", tmp_path / "out", zoo=zoo)
    assert {x: x.read_text() for x in tmp_path.iterdir()} == before
