"""Parameters and MACs by part, against what is counted by hand."""

from pathlib import Path

import pytest
import torch

import mmvisionllama
from mmvisionllama.analysis.flops import Cost, cost_of
from mmvisionllama.analysis.networks import network_of
from mmvisionllama.errors import InputError, UserError
from tests.inference.models import NAMES

HW = (40, 72)  # 5 x 9 patches of 8 px


def plain_block(tokens: int, width: int, hidden: int) -> tuple[int, int]:
    """Return the MACs of attention and feed-forward: q, k, v and output; scores and sums; gate, up, down."""
    return 4 * tokens * width**2 + 2 * tokens**2 * width, 3 * tokens * width * hidden


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    sizes = {"classification": HW, "segmentation": (64, 96), "detection": (96, 64)}
    return {task: cost_of(network_of(name), sizes.get(task)) for task, name in NAMES.items()}


def test_a_plain_block_costs_what_the_formula_says(costs: dict[str, Cost]) -> None:
    blocks = [x for x in costs["classification"].parts if ".blocks." in x.name]
    assert len(blocks) == 8
    for block in blocks:
        assert (block.macs["attention"], block.macs["feed-forward"]) == plain_block(45, 96, 256)
        assert block.parameters["attention"] == 4 * (96 * 96 + 96)
        assert block.parameters["feed-forward"] == 3 * 96 * 256
    (stem,) = [x for x in costs["classification"].parts if "patch_embed" in x.name]
    assert stem.all_macs == 45 * 96 * 3 * 64


@pytest.mark.parametrize(
    ("backbone", "kind"), [("plain", "grouped"), ("plain", "windows"), ("pyramid", "gsa")]
)
def test_grouped_windowed_and_subsampled_attention_are_counted(
    backbone: str, kind: str, tmp_path: Path
) -> None:
    given = {
        "grouped": dict(attn=dict(num_kv_heads=2), out_type="avg_featmap"),
        "windows": dict(window=dict(size=4, global_blocks=(1,)), out_type="avg_featmap"),
        "gsa": {},
    }[kind]
    arch = dict(embed_dims=32, num_layers=2, num_heads=4)
    if backbone == "pyramid":
        arch = dict(embed_dims=(32,) * 4, depths=(2,) * 4, num_heads=(4,) * 4)
    config = tmp_path / "own.py"
    name = "PyramidVisionLLaMA" if backbone == "pyramid" else "VisionLLaMA"
    told = dict(type=f"mmvisionllama.{name}", arch=arch, img_size=48, **given)
    told |= {} if backbone == "pyramid" else dict(patch_size=8)
    head = dict(type="LinearClsHead", num_classes=3, in_channels=32)
    model = dict(type="ImageClassifier", backbone=told, head=head)
    config.write_text(f"default_scope = 'mmpretrain'\nmodel = {model!r}\n")
    first = [x for x in cost_of(network_of(str(config))).parts if "blocks." in x.name]
    if kind == "grouped":  # half the keys and values, the scores of every head
        assert first[0].macs["attention"] == 36 * 32 * (32 + 2 * 16 + 32) + 2 * 36**2 * 32
    elif kind == "windows":  # 4 windows of 16 places, padding included; then all 36 tokens
        # Inputs are padded before they are projected, outputs cut before their projection.
        assert first[0].macs["attention"] == 64 * 3 * 32**2 + 4 * 2 * 16**2 * 32 + 36 * 32**2
        assert first[1].macs["attention"] == plain_block(36, 32, 256)[0]
    else:  # 12 x 12 tokens, 2 x 2 summaries of 8 x 8
        queries, keys = 144 * 32**2, 4 * 2 * 32**2
        summary = 4 * 32 * 32 * 64
        assert first[1].macs["attention"] == 2 * queries + keys + summary + 2 * 144 * 4 * 32


def test_every_task_has_all_its_parameters_and_work_in_its_parts(costs: dict[str, Cost]) -> None:
    for task, cost in costs.items():
        module = mmvisionllama.load(NAMES[task]).module
        assert cost.parameters == sum(x.numel() for x in module.parameters()), task
        assert cost.macs > 1e6
        assert not any(value < 0 for part in cost.parts for value in part.macs.values())
    heads = {x.name: x.all_macs for x in costs["detection"].parts}
    assert heads["roi_head.mask_head"] > heads["roi_head.bbox_head"] > 0
    assert "100 regions" in costs["detection"].note
    assert "25%" in costs["reconstruction"].note
    assert [row[:2] for row in costs["generation"].rows() if "blocks" in row[0]] == [
        ("network.blocks.0 .. 5", 6)
    ]


def test_a_backbone_by_name_has_the_published_size() -> None:
    cost = cost_of(network_of("visionllama_small"))
    assert cost.hw == (224, 224)
    assert cost.parameters == pytest.approx(22e6, rel=0.01)  # Tab. 2 of the paper
    assert cost.macs == pytest.approx(4.6e9, rel=0.01)  # Tab. 2: GFLOPs there are MACs
    assert cost.plot().axes


@pytest.mark.parametrize(
    ("source", "hw", "told"),
    [
        (NAMES["reconstruction"], (72, 64), "--size 72x64: .*takes 64 x 64 px alone"),
        (NAMES["generation"], (30, 28), "no whole number of patches of 4"),
        (NAMES["classification"], (4, 64), "smaller than a patch"),
    ],
)
def test_a_size_that_does_not_suit_is_one_line(source: str, hw: tuple[int, int], told: str) -> None:
    with pytest.raises(InputError, match=told):
        cost_of(network_of(source), hw)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'visionllama_small'"):
        network_of("visionlama_small")


def test_a_network_has_no_values() -> None:
    network = network_of("pyramid_visionllama_tiny")
    assert all(x.is_meta for x in network.module.parameters())
    assert torch.empty(0).device.type == "cpu"
