"""Ablation configs: they differ from the unchanged config in one component, as text and as built models."""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from torch import nn

from mmvisionllama.models.layers import GELUFFN, PEG, LearnedPosEmbed, SwiGLU
from mmvisionllama.models.rope import RoPE2D
from tests.configs.shipped import NAMES, build, header, load, shapes


class Study(NamedTuple):
    """What one study changes.

    Attributes:
        config: Changed arguments of the backbone.
        built: Changed entries of :func:`components`, but for ``parameters``.
        parameters: How many more the backbone has.
        top1: Published result (paper, Tab. 7; RoPE1D and RoPE2D: Tab. 12).
        unchanged: Published result of the unchanged model.
    """

    config: dict[str, Any]
    built: dict[str, set]
    parameters: int
    top1: float
    unchanged: float


def scaled(**options: Any) -> dict[str, Any]:
    return {"rope": {"type": "AS2DRoPE", **options}}


L, B, S = "visionllama_large_in1k", "visionllama_in1k", "visionllama_small_in1k"
DEIT, PYRAMID = "deit3_large_in1k", "pyramid_visionllama_small_in1k"
FIRST_STAGES = {L: f"{L}_pre160", DEIT: f"{DEIT}_pre160", B: f"{B}_pre192"}

RMS = {"type": "RMSNorm", "eps": 1e-6}
# Learned positions come with their exemption from weight decay, as in DeiT III and Twins.
UNDECAYED = {"optim_wrapper.paramwise_cfg.custom_keys": {"pos_embed": {"decay_mult": 0.0}}}
# Without a class token there is none to spare weight decay.
NO_TOKEN = {"optim_wrapper.paramwise_cfg.custom_keys.cls_token": "absent"}
MEAN, POOLED = {"out_type": "avg_featmap"}, {"pooling": {("avg_featmap", False)}}
UNSCALED = {"scale_at_twice_the_side": {1.0}}
# 24 blocks of width 1024: two biased layers of 4096 for three plain ones of 2816.
GELU_MORE = 24 * (2 * 1024 * 4096 + 4096 + 1024 - 3 * 1024 * 2816)
TABLES = 56**2 * 64 + 28**2 * 128 + 14**2 * 256 + 7**2 * 512
CONVOLUTIONS = (9 + 1) * (64 + 128 + 256 + 512)
STUDIES = {
    (L, "gelu"): Study({"ffn": {"type": "GELUFFN"}}, {"ffn": {"GELUFFN"}}, GELU_MORE, 84.6, 84.6),
    (L, "rmsnorm"): Study({"norm_cfg": RMS}, {"norm": {("RMSNorm", 1e-6)}}, -49 * 1024, 84.4, 84.6),
    (L, "rope_ratio25"): Study(scaled(ratio=0.25), {"rotary_dims": {16}}, 0, 84.5, 84.6),
    (L, "rope_ratio50"): Study(scaled(ratio=0.5), {"rotary_dims": {32}}, 0, 84.5, 84.6),
    (L, "rope_base100"): Study(scaled(base=100), {"base": {100}}, 0, 84.6, 84.6),
    (L, "rope_base1000"): Study(scaled(base=1000), {"base": {1000}}, 0, 84.6, 84.6),
    (L, "rope_base100000"): Study(scaled(base=100000), {"base": {100000}}, 0, 84.4, 84.6),
    (L, "rope_unshared"): Study(scaled(shared=False), {"tables": {16}}, 0, 84.2, 84.6),
    (L, "gap"): Study(MEAN, POOLED, -1024, 84.3, 84.6),
    (B, "gap"): Study(MEAN, POOLED, -768, 83.6, 83.6),
    (S, "gap"): Study(MEAN, POOLED, -384, 81.8, 81.6),
    (DEIT, "gap"): Study(MEAN, POOLED, -1024, 84.2, 84.5),
    (PYRAMID, "learned_pos_embed"): Study(
        {"pos_embed": {"type": "LearnedPosEmbed"}}, {"pos_embed": {"LearnedPosEmbed"}}, TABLES, 81.6, 81.6
    ),
    (PYRAMID, "peg"): Study({"pos_embed": {"type": "PEG"}}, {"pos_embed": {"PEG"}}, CONVOLUTIONS, 81.8, 81.6),
    (PYRAMID, "rope1d"): Study({"rope": {"type": "RoPE1D"}}, UNSCALED | {"rope": {"RoPE1D"}}, 0, 81.5, 81.6),
    (PYRAMID, "rope2d"): Study({"rope": {"type": "RoPE2D"}}, UNSCALED | {"rope": {"RoPE2D"}}, 0, 81.6, 81.6),
}
# Config of the ablation: the unchanged config, and the study. Both stages of a study change the same.
ABLATIONS = {
    f"configs/ablation/{stage}_{delta}.py": (f"configs/cls/{stage}.py", study)
    for (model, delta), study in STUDIES.items()
    for stage in (FIRST_STAGES.get(model), model)
    if stage
}
TWO_STAGES = [(model, delta) for model, delta in STUDIES if model in FIRST_STAGES]
every_ablation = pytest.mark.parametrize("name", ABLATIONS)
every_pair_of_stages = pytest.mark.parametrize(("model", "delta"), TWO_STAGES)


def changes(old: Any, new: Any, path: str = "") -> dict[str, Any]:
    """Give the new value at every place where two configs differ, as deep as both have a dict."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return {} if old == new else {path: new}
    found = {}
    for key in old.keys() | new.keys():
        found |= changes(old.get(key, "absent"), new.get(key, "absent"), f"{path}.{key}" if path else key)
    return found


@cache
def backbone(name: str) -> nn.Module:
    return build(load(name)).backbone


def components(model: nn.Module) -> dict[str, Any]:
    """Describe a backbone by what its modules are, whatever its config says."""
    ropes = [x for x in model.modules() if isinstance(x, RoPE2D)]
    angles = [x.angles(x.class_token((14, 14)), (14, 14), x.base) for x in ropes]

    def kinds(*types: type) -> set[str]:
        return {type(x).__name__ for x in model.modules() if isinstance(x, types)}

    norms = [x for x in model.modules() if isinstance(x, nn.LayerNorm | nn.RMSNorm)]
    return {
        "ffn": kinds(SwiGLU, GELUFFN),
        "norm": {(type(x).__name__, x.eps) for x in norms},
        "rope": kinds(RoPE2D),
        "rotary_dims": {2 * x.shape[-1] for x in angles},
        "tables": {x.shape[-2] for x in angles},
        "base": {x.base for x in ropes},
        "scale_at_twice_the_side": {x.scale((28, 28), (14, 14)) for x in ropes},
        "pos_embed": kinds(LearnedPosEmbed, PEG),
        "pooling": {(model.out_type, hasattr(model, "cls_token"))},
        "parameters": sum(x.numel() for x in model.parameters()),
    }


def test_every_ablation_is_a_published_study_and_every_study_has_its_files() -> None:
    assert set(ABLATIONS) == {name for name in NAMES if name.startswith("configs/ablation/")}


@every_ablation
def test_ablation_differs_from_the_unchanged_config_in_its_component_alone(name: str) -> None:
    unchanged, study = ABLATIONS[name]
    expected = {f"model.backbone.{key}": value for key, value in study.config.items()}
    expected |= UNDECAYED if "pos_embed" in study.config else {}
    expected |= NO_TOKEN if study.config == MEAN else {}
    expected["work_dir"] = f"work_dirs/{Path(name).stem}"
    assert changes(load(unchanged).to_dict(), load(name).to_dict()) == expected


@every_ablation
def test_changed_component_alone_arrives_in_the_model(name: str) -> None:
    unchanged, study = ABLATIONS[name]
    before = components(backbone(unchanged))
    after = before | study.built | {"parameters": before["parameters"] + study.parameters}
    assert components(backbone(name)) == after
    assert after != before


@every_ablation
def test_header_gives_the_published_result_and_the_unchanged_one(name: str) -> None:
    study, text = ABLATIONS[name][1], " ".join(header(name).split())
    result, _, rest = text.partition(" Top-1 ")[2].partition("; unchanged ")
    assert (float(result[:4]), float(rest[:4])) == (study.top1, study.unchanged)


@every_pair_of_stages
def test_second_stage_takes_every_weight_that_the_first_leaves(model: str, delta: str) -> None:
    first, second = (backbone(f"configs/ablation/{x}_{delta}.py") for x in (FIRST_STAGES[model], model))
    left, wanted = shapes(first), shapes(second)
    resized = {"pos_embed.weight"} if model == DEIT else set()
    assert {key for key in left | wanted if left.get(key) != wanted.get(key)} == resized
    second.load_state_dict(first.state_dict())  # raises for a missing name or a shape that is not resized


@every_pair_of_stages
def test_second_stage_names_the_last_checkpoint_of_the_first(model: str, delta: str) -> None:
    first = f"{FIRST_STAGES[model]}_{delta}"
    epochs = load(f"configs/ablation/{first}.py").train_cfg.max_epochs
    command = header(f"configs/ablation/{model}_{delta}.py").partition("--cfg-options ")[2].split()[0]
    assert command == f"load_from=work_dirs/{first}/epoch_{epochs}.pth"
