import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmvisionllama import VisionLLaMA
from mmvisionllama.checkpoint.reading import read_checkpoint
from mmvisionllama.checks.checkpoint import check_exact, check_pretrained, check_resume, check_start
from mmvisionllama.config.option_values import parse_options
from mmvisionllama.errors import CheckpointError
from mmvisionllama.host_internals import load_weights
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


class Classifier(nn.Module):
    """A model whose head has mmpretrain's name."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone, self.head = Backbone(), nn.Module()
        self.head.fc = nn.Linear(4, classes)


def test_a_start_with_other_classes_of_known_names_fits_and_says_what_became_of_them(tmp_path: Path) -> None:
    meta = {"dataset_meta": {"classes": ("a", "b", "c")}}
    path = save(tmp_path, {"state_dict": Classifier(3).state_dict(), "meta": meta})
    (note,) = check_start(Classifier(2), path, classes=("c", "new"))
    assert "1 kept (c); 1 new (new); 2 dropped (a, b)" in note
    assert check_start(Classifier(3), path, classes=("a", "b", "c")) == []


def test_a_start_with_other_classes_without_names_begins_the_head_anew(tmp_path: Path) -> None:
    path = save(tmp_path, Classifier(3).state_dict())
    notes = check_start(Classifier(2), path, classes=("a", "b"))
    assert "head.fc.weight, head.fc.bias are of another number of classes and begin anew" in notes[0]
    assert "2 only in the model: head.fc.weight, head.fc.bias" in notes[1]


def test_a_resume_does_not_take_other_classes(tmp_path: Path) -> None:
    meta = {"dataset_meta": {"classes": ("a", "b", "c")}}
    content = {"state_dict": Classifier(3).state_dict(), "meta": meta, "optimizer": {}, "message_hub": {}}
    with pytest.raises(CheckpointError, match=r"head\.fc\.weight \(2, 4\) here, \(3, 4\) there"):
        check_resume(Classifier(2), save(tmp_path, content))


def test_a_part_of_another_shape_begins_anew_where_the_config_accepts_that(tmp_path: Path) -> None:
    path = save(tmp_path, Model(Backbone(), classes=5).state_dict())
    cfg = Config(dict(model=dict(type="X"), accepted_differences=["model.head"]))
    notes = check_start(Model(Backbone()), path, cfg)
    assert "these begin anew: head.weight, head.bias" in notes[0]


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


@pytest.mark.parametrize("prefix", [None, "module."])
def test_a_wrapped_backbone_alone_is_found_as_the_loader_finds_it(tmp_path: Path, prefix: str | None) -> None:
    path = save(tmp_path, {f"module.{k}": v for k, v in Backbone().state_dict().items()})
    model = Model(Backbone(init_cfg=pretrained(path, prefix=prefix)))
    assert check_pretrained(model) == []
    model.backbone.init_weights()
    assert torch.equal(model.backbone.hidden.weight, torch.load(path)["module.hidden.weight"])


def test_a_start_from_a_wrapped_model_is_checked_as_the_runner_loads_it(tmp_path: Path) -> None:
    path = save(tmp_path, {f"module.{k}": v for k, v in Model(Backbone()).state_dict().items()})
    model = Model(Backbone())
    assert check_start(model, path) == []
    load_weights(model, read_checkpoint(path))
    assert torch.equal(model.backbone.hidden.weight, torch.load(path)["module.backbone.hidden.weight"])


@pytest.mark.parametrize("given", [None, "backbone.", "backbone", ""])
def test_the_prefix_that_is_proposed_for_a_wrapped_model_works(tmp_path: Path, given: str | None) -> None:
    path = save(tmp_path, {f"module.{k}": v for k, v in Model(Backbone()).state_dict().items()})
    with pytest.raises(CheckpointError, match=r"prefix='module\.backbone\.'"):
        check_pretrained(Model(Backbone(init_cfg=pretrained(path, prefix=given))))
    model = Model(Backbone(init_cfg=pretrained(path, prefix="module.backbone.")))
    assert check_pretrained(model) == []
    model.backbone.init_weights()
    assert torch.equal(model.backbone.hidden.weight, torch.load(path)["module.backbone.hidden.weight"])


def test_a_prefix_that_the_names_do_not_have_is_to_be_left_out(tmp_path: Path) -> None:
    path = save(tmp_path, Backbone().state_dict())
    with pytest.raises(CheckpointError, match="lie under no prefix: leave prefix out"):
        check_pretrained(Model(Backbone(init_cfg=pretrained(path, prefix="backbone."))))


class Deep(BaseModule):
    def __init__(self, depth: int = 3, init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.blocks = nn.ModuleList(Backbone() for _ in range(depth))


def deep_weights(lacking: str, depth: int = 3) -> dict[str, Tensor]:
    return {k: v for k, v in Deep(depth).state_dict().items() if lacking not in k}


PARTIAL = r"blocks\.0-2: 2 of 4 weights each, without norm\.weight, norm\.bias"


def test_a_start_with_parts_of_blocks_is_an_error_that_says_what_share_came_in(tmp_path: Path) -> None:
    path = save(tmp_path, {f"backbone.{k}": v for k, v in deep_weights("norm.bias").items()})
    told = r"(?s)only some weights of a block.*backbone\.blocks\.0-2: 3 of 4 weights each, without norm\.bias"
    with pytest.raises(CheckpointError, match=told):
        check_start(Model(Deep()), path)


def test_a_pretrained_backbone_with_parts_of_blocks_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path, deep_weights("norm"))
    with pytest.raises(CheckpointError, match=PARTIAL):
        check_pretrained(Model(Deep(init_cfg=pretrained(path))))


def test_a_vit_under_the_names_of_timm_is_an_error(tmp_path: Path) -> None:
    backbone = VisionLLaMA("tiny", img_size=64, patch_size=8, layer_scale=None)
    alike = {k: v for k, v in backbone.state_dict().items() if k.startswith("blocks") and "ffn" not in k}
    assert (len(alike), len(backbone.state_dict())) == (64, 93)  # timm has mlp.fc1, patch_embed.proj, norm
    backbone.init_cfg = pretrained(save(tmp_path, alike))
    told = r"blocks\.0-7: 8 of 11 weights each, without ffn\.gate\.weight, ffn\.up\.weight, ffn\.down\.weight"
    with pytest.raises(CheckpointError, match=told):
        check_pretrained(Model(backbone))


def test_a_start_that_lacks_whole_blocks_says_which(tmp_path: Path) -> None:
    path = save(tmp_path, {f"backbone.{k}": v for k, v in Deep(2).state_dict().items()})
    (note,) = check_start(Model(Deep()), path)
    assert "backbone.blocks.2: 0 of 4 weights" in note


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone."])
def test_an_error_proposes_the_option_that_loads_the_backbone_alone(tmp_path: Path, prefix: str) -> None:
    weights = {f"{prefix}{k}": v for k, v in Backbone().state_dict().items()}
    head = torch.zeros(5, 4) if prefix else torch.zeros(1)
    path = save(tmp_path, {**weights, f"{prefix.removesuffix('backbone.')}head.weight": head})
    with pytest.raises(CheckpointError) as refused:
        check_start(Model(Backbone()), path)
    (option,) = re.findall(r"(model\.backbone\.init_cfg)='(.+)'", str(refused.value))
    init_cfg = parse_options(["=".join(option)])["model.backbone.init_cfg"]
    model = Model(Backbone(init_cfg=init_cfg))
    check_pretrained(model)
    model.backbone.init_weights()
    assert torch.equal(model.backbone.hidden.weight, weights[f"{prefix}hidden.weight"])


def test_what_an_error_says_to_accept_is_accepted_from_the_command_line(tmp_path: Path) -> None:
    path = save(tmp_path, deep_weights("norm"))
    model = Model(Deep(init_cfg=pretrained(path)))
    with pytest.raises(CheckpointError) as refused:
        check_pretrained(model)
    (option,) = re.findall(r"--cfg-options '(.+)'", str(refused.value))
    assert (
        option
        == "accepted_differences=[model.backbone.blocks.*.norm.bias,model.backbone.blocks.*.norm.weight]"
    )
    (note,) = check_pretrained(model, Config(dict(model=dict(type="Any"), **parse_options([option]))))
    assert PARTIAL.replace("\\", "") in note


@pytest.mark.parametrize("check", [check_exact, check_start])
def test_released_weights_that_were_not_converted_are_told_from_others(tmp_path: Path, check: Any) -> None:
    path = save(tmp_path, load_case("plain_cls").weights)
    with pytest.raises(CheckpointError, match=r"Convert it: tools/convert_checkpoint\.py"):
        check(Model(Backbone()), path)
    with pytest.raises(CheckpointError, match=r"Convert it: tools/convert_checkpoint\.py"):
        check_pretrained(Model(Backbone(init_cfg=pretrained(path))))
