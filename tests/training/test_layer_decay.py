"""Learning rates by depth: exact values on real models, and what is refused."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, init_default_scope
from torch import nn

LR, DECAY, RATE = 1e-3, 0.05, 0.5
OURS = {"type": "mmvisionllama.VisionLLaMA", "arch": "tiny", "img_size": 32, "patch_size": 16}


def segmentor(backbone: dict, channels: int) -> nn.Module:
    from mmseg.registry import MODELS

    init_default_scope("mmseg")
    head = {"type": "FCNHead", "in_channels": channels, "in_index": 0, "channels": 8, "num_classes": 3}
    return MODELS.build(
        {
            "type": "EncoderDecoder",
            "backbone": backbone,
            "decode_head": {**head, "num_convs": 1, "norm_cfg": {"type": "BN"}},
            "test_cfg": {"mode": "whole"},
        }
    )


def swin() -> nn.Module:
    from mmpretrain.models import SwinTransformer

    arch = {"embed_dims": 8, "depths": [1, 2], "num_heads": [1, 2]}
    return SwinTransformer(arch=arch, img_size=32, window_size=4, out_indices=(1,))


def wrap(model: nn.Module, **paramwise_cfg: object) -> OptimWrapper:
    return OPTIM_WRAPPER_CONSTRUCTORS.build(
        {
            "type": "mmvisionllama.LayerDecayOptimWrapperConstructor",
            "optim_wrapper_cfg": {
                "type": "OptimWrapper",
                "optimizer": {"type": "AdamW", "lr": LR, "weight_decay": DECAY},
            },
            "paramwise_cfg": {"layer_decay_rate": RATE, **paramwise_cfg},
        }
    )(model)


def setting(model: nn.Module, wrapper: OptimWrapper, key: str) -> dict[str, float]:
    of_parameter = {id(p): group[key] for group in wrapper.optimizer.param_groups for p in group["params"]}
    return {name: of_parameter[id(p)] for name, p in model.named_parameters() if id(p) in of_parameter}


def vit_depth(name: str, blocks: int, prefix: str = "backbone.") -> int:
    """Say from the name alone where a parameter of a plain transformer sits."""
    inner = name.removeprefix(prefix)
    if not name.startswith(prefix):
        return blocks + 1
    if inner.startswith(("patch_embed", "cls_token", "pos_embed")):
        return 0
    return int(inner.split(".")[1]) + 1 if inner.startswith(("layers.", "blocks.")) else blocks + 1


def test_every_parameter_of_a_plain_segmentor_has_the_rate_of_its_depth() -> None:
    model = segmentor({**OURS, "out_type": "featmap"}, channels=96)
    rates = setting(model, wrap(model), "lr")
    expected = {name: LR * RATE ** (9 - vit_depth(name, blocks=8)) for name, _ in model.named_parameters()}
    assert rates == pytest.approx(expected)
    assert len(set(rates.values())) == 10


def test_every_parameter_of_a_host_backbone_has_the_rate_of_its_depth() -> None:
    from mmpretrain.models import VisionTransformer

    arch = {"embed_dims": 16, "num_layers": 3, "num_heads": 2, "feedforward_channels": 32}
    model = VisionTransformer(arch=arch, img_size=32, patch_size=16)
    rates = setting(model, wrap(model), "lr")
    assert rates == pytest.approx(
        {n: LR * RATE ** (4 - vit_depth(n, 3, "")) for n, _ in model.named_parameters()}
    )


def test_the_rates_of_a_hierarchical_host_backbone_grow_with_its_blocks() -> None:
    model = swin()
    rates = setting(model, wrap(model), "lr")
    assert rates["patch_embed.projection.weight"] == pytest.approx(LR * RATE**4)
    assert rates["stages.0.blocks.0.norm1.weight"] == pytest.approx(LR * RATE**3)
    assert rates["stages.1.blocks.1.norm1.weight"] == pytest.approx(LR * RATE)
    assert rates["norm1.weight"] == pytest.approx(LR)


@pytest.mark.parametrize("wrapping", ["classifier", "distributed"])
def test_the_wrapping_model_does_not_change_the_rates_of_the_backbone(wrapping: str) -> None:
    plain = swin()
    model = nn.Module()
    if wrapping == "classifier":
        from mmpretrain.models import ImageClassifier

        init_default_scope("mmpretrain")
        model = ImageClassifier(backbone=plain)
    else:
        model.module = plain
    assert setting(plain, wrap(model), "lr") == setting(plain, wrap(plain), "lr")


def test_every_trained_parameter_is_in_exactly_one_group_and_frozen_ones_in_none() -> None:
    model = segmentor({**OURS, "out_type": "featmap", "frozen_stages": 2}, channels=96)
    grouped = [
        id(p) for group in wrap(model, flat_decay_mult=0.0).optimizer.param_groups for p in group["params"]
    ]
    trained = [id(p) for p in model.parameters() if p.requires_grad]
    assert sorted(grouped) == sorted(trained)
    assert len(trained) < len(list(model.parameters()))


def test_a_shared_parameter_is_grouped_once() -> None:
    model = swin()
    model.norm1.bias = model.stages[1].blocks[0].norm1.bias
    grouped = [id(p) for group in wrap(model).optimizer.param_groups for p in group["params"]]
    assert len(grouped) == len(set(grouped)) == len(list(model.parameters()))


def test_groups_are_few_and_named_by_depth_and_decay() -> None:
    names = [group["name"] for group in wrap(swin(), flat_decay_mult=0.0).optimizer.param_groups]
    assert names[:2] == ["depth 0, no decay", "depth 0, decay"]
    assert len(names) == len(set(names)) <= 2 * 5


def test_the_log_has_one_line_per_depth(caplog: pytest.LogCaptureFixture) -> None:
    logger = MMLogger.get_instance("one_line_per_depth")
    logger.addHandler(caplog.handler)
    wrap(swin(), flat_decay_mult=0.0)
    logger.removeHandler(caplog.handler)
    (table,) = {x.getMessage() for x in caplog.records if "Learning rates" in x.getMessage()}
    title, _, *rows = table.splitlines()
    assert title == "Learning rates by depth (lr 0.001, rate 0.5, 5 layers):"
    assert [row.split()[:3] for row in rows] == [
        ["0", "0.0625", "6.25e-05"],
        ["1", "0.125", "0.000125"],
        ["2", "0.25", "0.00025"],
        ["3", "0.5", "0.0005"],
        ["4", "1", "0.001"],
    ]


@pytest.mark.parametrize(
    ("rule", "without_decay"),
    [
        ("norm_decay_mult", {"norm.weight", "norm.bias"}),
        ("bias_decay_mult", {"norm.bias", "linear.bias"}),
        ("flat_decay_mult", {"norm.weight", "norm.bias", "linear.bias", "gamma"}),
    ],
)
def test_a_decay_rule_reaches_exactly_its_parameters(rule: str, without_decay: set[str]) -> None:
    model = OneLayer()
    decays = setting(model, wrap(model, **{rule: 0.0}), "weight_decay")
    assert {name for name, decay in decays.items() if decay == 0} == without_decay
    assert {decay for name, decay in decays.items() if name not in without_decay} == {DECAY}


def test_the_longest_custom_key_replaces_the_rules() -> None:
    model = OneLayer()
    custom = {"linear": {"decay_mult": 0.5}, "linear.bias": {"lr_mult": 2.0}, ".gamma": {"decay_mult": 0.1}}
    wrapper = wrap(model, flat_decay_mult=0.0, custom_keys=custom)
    decays, rates = setting(model, wrapper, "weight_decay"), setting(model, wrapper, "lr")
    assert decays == pytest.approx(
        {
            "gamma": DECAY * 0.1,
            "linear.weight": DECAY * 0.5,
            "linear.bias": DECAY,
            "norm.weight": 0.0,
            "norm.bias": 0.0,
        }
    )
    assert rates["linear.bias"] == pytest.approx(2 * rates["linear.weight"])


def test_the_built_optimizer_trains_every_group() -> None:
    model = OneLayer()
    wrapper = wrap(model, flat_decay_mult=0.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    wrapper.update_params((model(torch.randn(4, 3)) ** 2).sum())
    assert all(not torch.equal(before[name], p) for name, p in model.named_parameters())


@pytest.mark.parametrize(
    ("paramwise_cfg", "said"),
    [
        ({"layer_decay_rat": 0.5}, "did you mean 'layer_decay_rate'"),
        ({"custom_keys": {"linear": {"lr_mutl": 0.1}}}, "did you mean 'lr_mult'"),
        ({"custom_keys": {"gama": {"decay_mult": 0.0}}}, "did you mean 'gamma'"),
        ({"layer_decay_rate": 0}, "0 < rate <= 1, got 0"),
        ({"layer_decay_rate": 1.5}, "0 < rate <= 1, got 1.5"),
        ({"layer_decay_rate": None}, "0 < rate <= 1, got None"),
    ],
)
def test_a_wrong_setting_is_an_error_that_says_what_is_allowed(paramwise_cfg: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        wrap(OneLayer(), **paramwise_cfg)


def test_a_backbone_without_depths_is_an_error_that_names_it() -> None:
    from mmpretrain.models import SVT

    with pytest.raises(TypeError, match=r"SVT has no get_layer_depth"):
        wrap(SVT(arch="small"))


def test_a_parameter_that_the_backbone_cannot_place_is_an_error_that_names_it() -> None:
    model = swin()
    model.stages[0].register_parameter("scale", nn.Parameter(torch.ones(1)))
    with pytest.raises(ValueError, match=r"SwinTransformer cannot place the parameter 'stages\.0\.scale'"):
        wrap(model)


def test_a_depth_out_of_range_is_an_error_that_names_the_parameter() -> None:
    model = OneLayer()
    model.register_parameter("late", nn.Parameter(torch.ones(1)))
    with pytest.raises(ValueError, match=r"'late' at depth 9 of 3 layers; expected 0 to 2"):
        wrap(model)


class OneLayer(nn.Module):
    """A stem-less backbone with one parameter of every kind that a decay rule tells apart."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((3,), 0.5))
        self.linear = nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x)) * self.gamma

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        return (9 if param_name.endswith("late") else 1), 3
