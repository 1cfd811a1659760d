"""Registries find whatever any file of a room registers, without a second entry."""

import re
from pathlib import Path

import pytest

import mmvisionllama
from mmvisionllama import registry
from tests.house import MODULES


def registering() -> list[tuple[str, str, str]]:
    """Return (module, name of the registry, name of the class) for every registered class."""
    named = re.compile(r"^@(\w+)\.register_module\(\)\n(?:@.*\n)*(?:class|def) (\w+)", re.MULTILINE)
    return [(module, *found) for module, path in MODULES.items() for found in named.findall(path.read_text())]


@pytest.mark.parametrize(("module", "kind", "name"), registering(), ids=lambda x: x)
def test_a_registered_class_is_found_by_its_name_alone(module: str, kind: str, name: str) -> None:
    assert getattr(registry, kind).get(f"mmvisionllama.{name}").__module__ == f"mmvisionllama.{module}"


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A room of the package, empty so far."""
    monkeypatch.setattr(mmvisionllama, "__path__", [str(tmp_path), *mmvisionllama.__path__])
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "registry.py"))
    monkeypatch.setattr(registry, "_registered", registry._registered.__wrapped__)
    monkeypatch.setattr(registry.HOOKS, "_packages", ("new_room",))
    (tmp_path / "new_room").mkdir()
    return tmp_path / "new_room"


def register(name: str) -> str:
    return f"from mmvisionllama.registry import HOOKS\n@HOOKS.register_module({name})\nclass Own: ..."


def test_a_name_in_any_new_file_of_a_room_is_found_without_importing_the_others(room: Path) -> None:
    (room / "broken.py").write_text(f"{register('')}\nraise ImportError('a host is missing')")
    (room / "named.py").write_text(register("'Other'"))
    assert registry.HOOKS.get("Other").__module__ == "mmvisionllama.new_room.named"
    assert {"Other", "Own"} <= set(registry.HOOKS.names())
    with pytest.raises(ImportError, match="a host is missing"):
        registry.HOOKS.get("mmvisionllama.Own")
    del registry.HOOKS.module_dict["Other"], registry.HOOKS.module_dict["Own"]


def test_names_of_hosts_and_dotted_paths_are_found_as_in_any_registry() -> None:
    assert registry.MODELS.get("mmpretrain.ImageClassifier").__module__.startswith("mmpretrain.")
    assert registry.MODELS.get("BaseDataPreprocessor").__module__.startswith("mmengine.")
    assert registry.MODELS.get("mmvisionllama.models.VisionLLaMA") is registry.MODELS.get("VisionLLaMA")
    assert registry.MODELS.get("mmvisionllama.VisonLLaMA") is None


@pytest.mark.parametrize(
    "kind", [k for k, x in vars(registry).items() if isinstance(x, registry.LazyRegistry)]
)
def test_importing_every_location_registers_the_names_that_the_sources_tell(kind: str) -> None:
    every = getattr(registry, kind)
    every.import_from_location()
    assert sorted(every.module_dict) == every.names()
