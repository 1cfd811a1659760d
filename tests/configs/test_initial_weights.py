"""The initial weights of every shipped config: all are set, and spread as the recipe says."""

import json
import math
import re
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from tests.configs.shipped import NAMES, load

# Every model is built at these sizes, as the spread of a weight follows from its shape.
_PLAIN = dict(embed_dims=96, num_layers=4, num_heads=3)
_VIT = dict(_PLAIN, feedforward_channels=384)
SIZES: dict[str, dict[str, Any]] = {
    "VisionLLaMA": _PLAIN,
    "MAEVisionLLaMA": _PLAIN,
    "PyramidVisionLLaMA": dict(embed_dims=(32, 64, 96, 128), depths=(2, 2, 2, 2), num_heads=(1, 2, 3, 4)),
    "DiT": _PLAIN,
    "VisionTransformer": _VIT,
    "MAEViT": _VIT,
    "ViTDet": dict(_VIT, global_attn_indexes=[1, 3]),
    "SwinTransformer": dict(embed_dims=24, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8]),
    "SVT": dict(
        embed_dims=[16, 32, 64, 128],
        depths=[1, 1, 2, 1],
        num_heads=[1, 2, 4, 8],
        mlp_ratios=[2, 2, 2, 2],
        patch_sizes=[4, 2, 2, 2],
        strides=[4, 2, 2, 2],
        sr_ratios=[8, 4, 2, 1],
        window_sizes=[7, 7, 7, 7],
    ),
}
WIDTH = 96
WIDTHS = {
    *("in_channels", "channels", "out_channels", "feat_channels", "conv_out_channels", "fc_out_channels"),
    *("embed_dim", "decoder_embed_dim", "input_features"),
}
# What no initial weight depends on.
OF_TRAINING = {
    *(
        "train_cfg",
        "test_cfg",
        "loss",
        "loss_decode",
        "guidance",
        "sampler",
        "objective",
        "data_preprocessor",
    ),
    *("drop_path_rate", "drop_path_schedule", "drop_path_branches", "mask_ratio", "dropout_ratio", "topk"),
}
# Backbones of the hosts that have no values after the meta device: Swin and Twins read some while they are
# built, and constructors alone set the tokens, norms and convolutions of ViT.
ON_CPU = ("SwinTransformer", "SVT", "VisionTransformer", "ViTDet")
# Starts from torchvision's weights, with heads as all detectors have them.
PRETRAINED = "configs/det/resnet50_maskrcnn_coco_3x.py"
# Parts of the hosts that only their constructors set, so that they have no values after the meta device.
BY_CONSTRUCTORS = "|".join(
    (
        r"data_preprocessor\..*",  # mean and deviation of images, from the config
        r"(decode_head|auxiliary_head)\..*",  # mmseg keeps ConvModules where init_weights does not go
        r"roi_head\.bbox_head\.shared_convs\..*",  # so does mmdet
        r"neck\.upsample_.*",  # mmseg's Feature2Pyramid has no init_weights
        r"neck\.bn\..*",  # running statistics of mmpretrain's ClsBatchNormNeck
    )
)
# The first rule that matches a name. A number is the standard deviation, "zero" is no spread; "torch" is
# uniform within 1 / sqrt(inputs), as torch has it; "xavier", "flat" (Xavier over a flattened kernel),
# "fan_out" and "fan_in" (Kaiming's) depend on the numbers of inputs and outputs; "turned" are frequencies
# of known sizes and random directions; "table" is not random.
RULES = (
    # DiT and SiT.
    (r"network\.(.*modulation|head)\.linear\..*", "zero"),
    (r"network\.((time|label)_embed\..*weight|pos_embed\.weight|registers\.tokens)", 0.02),
    (r"network\..*weight", "xavier"),
    # Masked autoencoders, ours and ViT.
    (r"mae:backbone\.patch_embed\.projection\.weight", "flat"),
    (r"mae:(backbone\.pos_embed|neck\.decoder_pos_embed)", "table"),
    (r"mae:(backbone\.cls_token|neck\.mask_token)", 0.02),
    (r"mae:(backbone\.(blocks|layers)|neck\.decoder)\S*\.weight", "xavier"),
    # Backbones: the pyramid and Twins, then plain ones, ViT and Swin.
    (r"backbone\.(stages\.\d+\.patch_embed|patch_embeds\.\d+)\.projection\.weight", "fan_out"),
    (r"backbone\..*\.attn\.(summary|sr)\.weight", "fan_out"),
    (r"backbone\.(stages\.\d+\.pos_embed\.conv|position_encodings\.\d+\.proj)\.weight", "fan_in"),
    (r"backbone\.patch_embed\.projection\..*", "torch"),
    (r"vitdet:backbone\.layers\.\d+\.attn\.rel_pos_[hw]", "zero"),
    (r"vitdet:backbone\.layers\.\S*\.(weight|bias)", "torch"),
    (r"backbone\.layers\.\d+\.ffn\..*weight", "xavier"),
    # As mmpretrain leaves them where a pre-training comes before, or, on toy data, nothing else is said.
    (r"host:backbone\.(stages\.\S*|layers\.\d+\.attn\.\S*)\.(weight|bias)", "torch"),
    (r"(host|vit):backbone\.cls_token", "zero"),
    (r"backbone\.(cls_token|registers\.tokens)", 0.02),
    (r"backbone\.rope\.frequencies\.\d+", "turned"),
    (r"backbone\..*(weight|pos_embed|relative_position_bias_table)", 0.02),
    (r"backbone\..*relative_position_index", "table"),
    # Necks and heads of detectors and segmentors.
    (r"neck\.(scales|upsample_.*)\..*", "torch"),
    (r"neck\.convs\..*weight", "fan_out"),
    (r"neck\.(lateral|fpn)_convs\..*weight", "xavier"),
    (r"rpn_head\..*weight", 0.01),
    (r"roi_head\.bbox_head\.fc_cls\.weight", 0.01),
    (r"roi_head\.bbox_head\.fc_reg\.weight", 0.001),
    (r"roi_head\.bbox_head\.shared_fcs\..*weight", "xavier"),
    (r"roi_head\..*weight", "fan_out"),
    (r"(decode|auxiliary)_head\.conv_seg\.weight", 0.01),
    (r"(decode|auxiliary)_head\..*weight", "fan_out"),
    # ViT's feed-forward has biases of 1e-6.
    (r".*\.bias", "zero"),
)
# Of the classifier: DeiT III, Twins and Swin; after MAE; mmpretrain's own, in the small models of other data.
HEADS = ((r"_mae_finetune_", 2e-5), (r"_linear_", 0.01), (r"^configs/(cls|ablation)/", 0.02), (r"", 0.01))
NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _BatchNorm)


def bare(type_name: str) -> str:
    return type_name.rpartition(".")[2]


def of_one_width(value: Any) -> Any:
    """Give a part of a model, and all parts of it, one width."""
    if isinstance(value, list | tuple):
        return [of_one_width(x) for x in value]
    if not isinstance(value, dict):
        return value
    found = {key: of_one_width(x) for key, x in value.items()}
    wide = {key: x for key, x in found.items() if key in WIDTHS}
    return found | {key: [WIDTH] * len(x) if isinstance(x, list) else WIDTH for key, x in wide.items()}


def reduced(cfg: Config) -> dict[str, Any]:
    """Return the model of a config, four blocks deep and of one width."""
    model: dict[str, Any] = deepcopy(cfg.model.to_dict())
    for part in ("autoencoder", "guidance"):
        model.pop(part, None)
    model.setdefault("data_preprocessor", cfg.get("data_preprocessor"))
    part = "network" if "network" in model else "backbone"
    backbone = model[part]
    model = of_one_width({**model, part: None})
    if model.get("neck", {}).get("decoder_depth"):
        model["neck"]["decoder_depth"] = 1
    if "global_blocks" in (backbone.get("window") or {}):
        backbone["window"]["global_blocks"] = (1, 3)
    if backbone.get("frozen_stages", -1) > 4:
        backbone["frozen_stages"] = 4
    if max(out := backbone.get("out_indices") or [0], default=0) > 3:
        backbone["out_indices"] = list(range(4))[-len(out) :]
    return {**model, part: {**backbone, "arch": SIZES[bare(backbone["type"])]}}


def deciding(value: Any) -> Any:
    """Leave out what no initial weight depends on."""
    if isinstance(value, dict):
        return {key: deciding(x) for key, x in value.items() if key not in OF_TRAINING}
    return [deciding(x) for x in value] if isinstance(value, list | tuple) else value


def head_rule(config: str) -> float:
    return next(std for pattern, std in HEADS if re.search(pattern, config))


@cache
def alike() -> list[list[str]]:
    """Return all configs, those together whose models are the same once they are reduced."""
    found: dict[str, list[str]] = {}
    for name in NAMES:
        if name != PRETRAINED:
            cfg = load(name)
            key = json.dumps(
                [cfg.default_scope, head_rule(name), deciding(reduced(cfg))], sort_keys=True, default=str
            )
            found.setdefault(key, []).append(name)
    return list(found.values())


def on_cpu(config: str) -> bool:
    return bare(load(config).model.get("backbone", {}).get("type", "")) in ON_CPU


def built(config: str, device: str) -> nn.Module:
    cfg = load(config)
    init_default_scope(cfg.default_scope)
    with torch.device(device):
        return MODELS.build(ConfigDict(reduced(cfg)))


def deviation(rule: str | float, x: Tensor) -> float:
    if not isinstance(rule, str):
        return rule
    if rule == "turned":  # pairs of base 10: of 10^(-2m / P) along two axes each
        sizes = [10.0 ** (-2 * m / x.shape[1]) for m in range(x.shape[1] // 2)]
        return math.sqrt(sum(size**2 for size in sizes) / len(sizes) / 2)
    inputs, outputs = nn.init._calculate_fan_in_and_fan_out(x) if x.ndim > 1 else (0, 0)
    return {
        "torch": lambda: 1 / math.sqrt(3 * inputs),
        "xavier": lambda: math.sqrt(2 / (inputs + outputs)),
        "flat": lambda: math.sqrt(2 / (inputs + len(x))),
        "fan_out": lambda: math.sqrt(2 / outputs),
        "fan_in": lambda: math.sqrt(2 / inputs),
    }[rule]()


def special(model: nn.Module) -> str:
    """Return the prefix of rules for this model alone."""
    if hasattr(getattr(model, "neck", None), "mask_token"):
        return "mae"
    name = type(getattr(model, "backbone", None)).__name__
    if name in ("VisionTransformer", "SwinTransformer"):
        return "vit" if model.init_cfg else "host"
    return name.lower()


def wrong(config: str, model: nn.Module, name: str, x: Tensor) -> str | None:
    """Say what is wrong with a weight or buffer, None if it is as it should be."""
    owner, _, leaf = name.rpartition(".")
    module = model.get_submodule(owner)
    if isinstance(module, NORMS):
        value = float(leaf in ("weight", "running_var"))
        return None if (x == value).all() else f"{name} is not {value}"
    if leaf.startswith("gamma"):
        value = load(config).model.get("backbone", {}).get("layer_scale", 1e-4)
        return None if (x == value).all() else f"{name} is not {value}"
    if name == "head.fc.weight" or name == "head.layers.head.weight":
        rule = head_rule(config)
    else:
        names = (f"{special(model)}:{name}", name)
        rule = next((rule for pattern, rule in RULES if any(re.fullmatch(pattern, x) for x in names)), None)
        if rule is None:
            return f"{name}: no rule"
    if not x.isfinite().all():
        return f"{name} is not set"
    rms = x.float().square().mean().sqrt().item()
    if rule == "table":
        return None
    if rule == "zero":
        return None if rms < 2e-6 else f"{name}: {rms:.3g} instead of 0"
    weight = module.weight if leaf == "bias" else x
    wanted = deviation(rule, weight)
    # Five deviations of what is found in so many numbers.
    close = abs(rms / wanted - 1) < 5 / math.sqrt(2 * x.numel()) + 0.005
    return None if close else f"{name}: {rms:.3g} instead of {wanted:.3g} ({rule})"


def problems(config: str, model: nn.Module, leave_out: str = "data_preprocessor.*") -> list[str]:
    named = [*model.named_parameters(), *model.named_buffers()]
    found = [wrong(config, model, name, x) for name, x in named if not re.fullmatch(leave_out, name)]
    return [x for x in found if x]


@torch.no_grad()
def test_a_model_from_the_meta_device_gets_the_initial_weights_of_its_recipe(
    subtests: pytest.Subtests,
) -> None:
    for config in (names[0] for names in alike() if not on_cpu(names[0])):
        model = built(config, "meta").to_empty(device="cpu")
        for x in (*model.parameters(), *model.buffers()):
            x.fill_(math.nan if x.is_floating_point() else -1)
        torch.manual_seed(0)
        model.init_weights()
        with subtests.test(config):
            assert not problems(config, model, BY_CONSTRUCTORS)


@torch.no_grad()
def test_a_model_of_a_training_starts_as_its_recipe_says(subtests: pytest.Subtests) -> None:
    for config, *_ in alike():
        torch.manual_seed(0)
        model = built(config, "cpu")
        model.init_weights()
        with subtests.test(config):
            assert not problems(config, model)


def test_every_shipped_config_is_among_them_but_for_a_pretrained_baseline() -> None:
    assert sorted(name for names in alike() for name in names) == sorted(set(NAMES) - {PRETRAINED})


@torch.no_grad()
def test_every_encoder_of_masked_pretraining_starts_with_the_same_spread() -> None:
    found = []
    for name in ("visionllama", "vit"):
        model = built(f"configs/pretrain/{name}_mae_in1k_800e.py", "cpu")
        model.init_weights()
        weight = model.backbone.patch_embed.projection.weight
        found.append((weight.std().item(), weight.abs().max().item()))
    torch.testing.assert_close(*found, rtol=0.02, atol=0)
    assert found[0][0] == pytest.approx(
        math.sqrt(2 / (768 + WIDTH)), rel=0.02
    )  # Xavier on 16 x 16 x 3 inputs
