from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmvisionllama.checkpoint import (
    CheckpointError,
    check_exact,
    check_pretrained,
    check_resume,
    check_start,
)
from tests.models.released import load_case


class Backbone(BaseModule):
    def __init__(self, width: int = 4, init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.hidden = nn.Linear(3, width)
        self.norm = nn.LayerNorm(width)


class ConvertsWhileLoading(Backbone):
    """Calls the weights of the norm by an older name in its files."""

    def __init__(self, width: int = 4, init_cfg: Any = None) -> None:
        super().__init__(width, init_cfg)
        self._register_load_state_dict_pre_hook(self._rename)

    def _rename(self, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
        for name in list(state_dict):
            state_dict[name.replace(f"{prefix}ln.", f"{prefix}norm.")] = state_dict.pop(name)


class LoadsByItself(Backbone):
    """Reads its file on its own, as the Swin of the hosts does."""

    def init_weights(self) -> None:
        found = CheckpointLoader.load_checkpoint(self.init_cfg["checkpoint"], map_location="cpu")
        self.load_state_dict(found["model"], strict=False)


class Model(nn.Module):
    def __init__(self, backbone: nn.Module, classes: int = 2) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(4, classes)


def save(folder: Path, content: dict[str, Any]) -> str:
    torch.save(content, folder / "weights.pth")
    return str(folder / "weights.pth")


def pretrained(path: str, **options: Any) -> dict[str, Any]:
    return {"type": "Pretrained", "checkpoint": path, **options}


def test_the_checkpoint_of_the_same_model_is_exact(tmp_path: Path) -> None:
    check_exact(Model(Backbone()), save(tmp_path, {"state_dict": Model(Backbone()).state_dict()}))


def test_a_checkpoint_of_another_width_is_an_error_that_lists_the_shapes(tmp_path: Path) -> None:
    path = save(tmp_path, Backbone(8).state_dict())
    with pytest.raises(CheckpointError, match=r"hidden\.weight \(4, 3\) here, \(8, 3\) there"):
        check_exact(Backbone(), path)


def test_a_checkpoint_of_the_backbone_alone_is_not_exact(tmp_path: Path) -> None:
    path = save(tmp_path, {f"backbone.{k}": v for k, v in Backbone().state_dict().items()})
    with pytest.raises(CheckpointError, match=r"2 only in the model: head\.weight, head\.bias"):
        check_exact(Model(Backbone()), path)


def test_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    path = save(tmp_path, {"state_dict": Backbone().state_dict(), "meta": {}})
    with pytest.raises(CheckpointError, match=r"no training .no optimizer, no message_hub.. Start from"):
        check_resume(Backbone(), path)


def test_a_training_of_another_model_cannot_be_resumed(tmp_path: Path) -> None:
    path = save(tmp_path, {"state_dict": Backbone(8).state_dict(), "optimizer": {}, "message_hub": {}})
    with pytest.raises(CheckpointError, match=r"\(4, 3\) here, \(8, 3\) there"):
        check_resume(Backbone(), path)


def test_a_start_without_the_head_is_reported_in_one_line(tmp_path: Path) -> None:
    path = save(tmp_path, {f"backbone.{k}": v for k, v in Backbone().state_dict().items()})
    (note,) = check_start(Model(Backbone()), path)
    assert "head.weight, head.bias" in note
    assert "\n" not in note


def test_a_start_without_any_backbone_weight_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path, {f"head.{k}": v for k, v in nn.Linear(4, 2).state_dict().items()})
    with pytest.raises(CheckpointError, match="does not fit the model"):
        check_start(Model(Backbone()), path)


def test_a_start_with_another_number_of_classes_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path, Model(Backbone(), classes=5).state_dict())
    with pytest.raises(CheckpointError, match=r"head\.weight \(2, 4\) here, \(5, 4\) there"):
        check_start(Model(Backbone()), path)


@pytest.mark.parametrize("prefix", ["backbone", "backbone."])
def test_a_pretrained_backbone_is_taken_from_below_its_prefix(tmp_path: Path, prefix: str) -> None:
    path = save(tmp_path, Model(Backbone()).state_dict())
    assert check_pretrained(Model(Backbone(init_cfg=pretrained(path, prefix=prefix)))) == []


def test_a_forgotten_prefix_is_an_error_that_suggests_it(tmp_path: Path) -> None:
    path = save(tmp_path, Model(Backbone()).state_dict())
    with pytest.raises(CheckpointError, match=r"backbone\.init_cfg: .*(?s:.*)add prefix='backbone\.'"):
        check_pretrained(Model(Backbone(init_cfg=pretrained(path))))


def test_a_pretrained_backbone_of_another_width_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path, Backbone(8).state_dict())
    with pytest.raises(CheckpointError, match=r"norm\.weight \(4,\) here, \(8,\) there"):
        check_pretrained(Model(Backbone(init_cfg=pretrained(path))))


def test_weights_that_pretraining_lacks_are_reported_in_one_line(tmp_path: Path) -> None:
    path = save(tmp_path, {"hidden.weight": torch.ones(4, 3), "hidden.bias": torch.ones(4)})
    (note,) = check_pretrained(Model(Backbone(init_cfg=pretrained(path))))
    assert "norm.weight, norm.bias" in note
    assert "\n" not in note


def test_names_are_compared_after_the_conversion_that_the_backbone_makes(tmp_path: Path) -> None:
    old = {k.replace("norm.", "ln."): v for k, v in Backbone().state_dict().items()}
    path = save(tmp_path, old)
    assert check_pretrained(Model(ConvertsWhileLoading(init_cfg=pretrained(path)))) == []


def test_a_backbone_that_loads_by_itself_is_asked_to(tmp_path: Path) -> None:
    path = save(tmp_path, {"model": Backbone().state_dict()})
    assert check_pretrained(Model(LoadsByItself(init_cfg=pretrained(path)))) == []


def test_a_backbone_that_loads_by_itself_refuses_another_width(tmp_path: Path) -> None:
    path = save(tmp_path, {"model": Backbone(8).state_dict()})
    with pytest.raises(CheckpointError, match=r"norm\.weight \(4,\) here, \(8,\) there"):
        check_pretrained(Model(LoadsByItself(init_cfg=pretrained(path))))


@pytest.mark.parametrize("check", [check_exact, check_start])
def test_released_weights_that_were_not_converted_are_told_from_others(tmp_path: Path, check: Any) -> None:
    path = save(tmp_path, load_case("plain_cls").weights)
    with pytest.raises(CheckpointError, match=r"Convert it: tools/convert_checkpoint\.py"):
        check(Model(Backbone()), path)
    with pytest.raises(CheckpointError, match=r"Convert it: tools/convert_checkpoint\.py"):
        check_pretrained(Model(Backbone(init_cfg=pretrained(path))))
