from pathlib import Path
from typing import Any

import pytest
import torch

import mmvisionllama
from mmvisionllama import VisionLLaMA
from mmvisionllama.errors import ArgumentError, CheckpointError
from mmvisionllama.inference.trained_model import load
from tests.inference.models import NAMES, PREDICTING

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TINY = dict(img_size=32)


def test_every_arch_has_a_name() -> None:
    assert "visionllama_base" in mmvisionllama.list_models()
    assert "pyramid_visionllama_small" in mmvisionllama.list_models()
    with torch.device("meta"):
        model = mmvisionllama.create_model("visionllama_base", num_classes=0)
    assert sum(x.numel() for x in model.parameters()) == 86_388_712 - 769_000  # without the classifier


@pytest.mark.parametrize(
    ("name", "width"), [("visionllama_tiny", 96), ("pyramid_visionllama_tiny", 160)], ids=["plain", "pyramid"]
)
def test_a_classifier_has_the_parts_that_timm_gives_one(name: str, width: int) -> None:
    model = mmvisionllama.create_model(name, num_classes=7, **TINY).eval()
    tokens = model.forward_features(IMAGES)
    assert model(IMAGES).shape == (2, 7)
    assert tokens.shape[0::2] == (2, width) == (2, model.num_features)
    features = model.forward_head(tokens, pre_logits=True)
    assert features.shape == (2, width)
    torch.testing.assert_close(model.get_classifier()(features), model(IMAGES), rtol=0, atol=0)
    model.reset_classifier(3)
    assert model(IMAGES).shape == (2, 3)
    model.reset_classifier(0)
    assert torch.equal(model(IMAGES), features)


@pytest.mark.parametrize("name", ["visionllama_tiny", "pyramid_visionllama_tiny"])
def test_feature_maps_are_what_feature_info_says(name: str) -> None:
    whole = mmvisionllama.create_model(name, features_only=True, **TINY)
    some = mmvisionllama.create_model(name, features_only=True, out_indices=(1, 3), **TINY)
    assert len(whole.feature_info) == len(whole(IMAGES)) == 4
    for model in (whole, some):
        info, modules = model.feature_info, dict(model.backbone.named_modules())
        for x, channels, side, module in zip(
            model(IMAGES), info.channels(), info.reduction(), info.module_name(), strict=True
        ):
            assert x.shape == (2, channels, 32 // side, 32 // side)
            assert module in modules
    assert [x[-1] for x in some.feature_info.module_name()] == ["1", "3"]


def test_recomputed_activations_give_the_same_gradients() -> None:
    model = mmvisionllama.create_model("visionllama_tiny", num_classes=2, **TINY)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model(IMAGES).sum().backward()
        gradients.append(model.backbone.patch_embed.projection.weight.grad.clone())
    assert model.backbone.with_cp
    assert torch.equal(*gradients)


@pytest.mark.parametrize("task", PREDICTING)
def test_a_trained_model_gives_its_backbone(task: str, checkpoints: dict[str, Path]) -> None:
    source = checkpoints[task] if task == "detection" else NAMES[task]
    module = load(source, device="cpu").module
    kind = "pyramid_visionllama_tiny" if task == "detection" else "visionllama_tiny"
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        if task == "classification":
            made = mmvisionllama.create_model(kind, source).eval()
            torch.testing.assert_close(made(images), module(images), rtol=1e-5, atol=1e-6)
            other = mmvisionllama.create_model(kind, source, num_classes=3)
            assert other.get_classifier().out_features == 3
        assert mmvisionllama.create_model(kind, source, num_classes=0).eval()(images).ndim == 2
        made = mmvisionllama.create_model(kind, source, features_only=True).eval()
        weights = module.backbone.state_dict()
        assert all(torch.equal(x, weights[name]) for name, x in made.backbone.state_dict().items())
        if task == "segmentation":
            for one, other in zip(made(images), module.backbone(images), strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=0)


def saved(folder: Path, **options: Any) -> tuple[VisionLLaMA, Path]:
    """Save a backbone as a training does."""
    torch.manual_seed(0)
    backbone = VisionLLaMA("tiny", **TINY, **options).eval()
    torch.nn.init.normal_(backbone.norms["all"].weight)
    weights = {f"backbone.{name}": x for name, x in backbone.state_dict().items()}
    model = dict(type="ImageClassifier", backbone=dict(type="VisionLLaMA", arch="tiny", **TINY, **options))
    torch.save(dict(state_dict=weights, meta=dict(model=model)), folder / "a.pth")
    return backbone, folder / "a.pth"


def test_a_norm_of_tokens_stays_before_their_mean(tmp_path: Path) -> None:
    backbone, path = saved(
        tmp_path, out_type="avg_featmap", out_norm="tokens", registers=dict(count=4), with_cls_token=True
    )
    made = mmvisionllama.create_model("visionllama_tiny", path, num_classes=0).eval()
    torch.testing.assert_close(made(IMAGES), backbone(IMAGES)[0])


def test_a_model_that_pools_with_attention_gives_its_maps_and_says_that_it_is_no_classifier(
    tmp_path: Path,
) -> None:
    backbone, path = saved(tmp_path, out_type=dict(type="AttentionPool"), out_norm="tokens")
    with pytest.raises(ArgumentError, match="global_pool: the pretrained model pools by AttentionPool"):
        mmvisionllama.create_model("visionllama_tiny", path, num_classes=0)
    for options in (dict(features_only=True), dict(num_classes=0, global_pool="avg")):
        made = mmvisionllama.create_model("visionllama_tiny", path, **options)
        weights = backbone.state_dict()
        assert all(torch.equal(x, weights[name]) for name, x in made.backbone.state_dict().items())


def test_a_model_of_another_backbone_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"is a VisionLLaMA 'tiny', not the VisionLLaMA 'base'"):
        mmvisionllama.create_model("visionllama_base", NAMES["classification"])


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("visionllama_bas", {}, r"unknown model 'visionllama_bas'. Did you mean 'visionllama_base'"),
        ("visionllama_tiny", {"pretrained": True}, "does not say which weights"),
        ("visionllama_tiny", {"img_sise": 32}, "does not take 'img_sise'. Did you mean 'img_size'"),
        ("visionllama_tiny", {"out_indices": (1,)}, "give features_only=True"),
        ("visionllama_tiny", {"features_only": True, "out_indices": (9,)}, r"indices of blocks in -8 .. 7"),
        ("visionllama_tiny", {"features_only": True, "out_indices": ()}, "out_indices"),
        ("visionllama_tiny", {"num_classes": -1}, "num_classes takes a whole number of at least 0"),
        ("pyramid_visionllama_tiny", {"global_pool": "token"}, "a pyramid has no class token"),
    ],
)
def test_a_mistake_is_named(name: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        mmvisionllama.create_model(name, **arguments)
    with pytest.raises(ArgumentError, match="global_pool: this model was made with 'token'"):
        mmvisionllama.create_model("visionllama_tiny", **TINY).reset_classifier(2, "avg")
