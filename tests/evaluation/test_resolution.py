"""One checkpoint at many sizes: what the images and the positions become."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmvisionllama.errors import ConfigError
from mmvisionllama.evaluation.resolution import (
    DEFAULT_POSITIONS,
    Positions,
    Result,
    draw_sweep,
    parse_positions,
    parse_size,
    pipeline_at,
    sweep,
)

LOAD, PACK = dict(type="mmvisionllama.LoadImageFromFile"), dict(type="PackInputs")


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., tuple[Config, str]]:
    def make(**backbone: object) -> tuple[Config, str]:
        rng = np.random.default_rng(0)
        for name in ("ant", "bee"):
            folder = tmp_path / "data/val" / name
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(3):
                pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
        cfg = Config(
            dict(
                default_scope="mmpretrain",
                model=dict(
                    type="ImageClassifier",
                    backbone=dict(
                        type="mmvisionllama.VisionLLaMA",
                        arch="tiny",
                        img_size=32,
                        patch_size=8,
                        out_type="avg_featmap",
                        layer_scale=None,
                    )
                    | backbone,
                    head=dict(type="LinearClsHead", num_classes=2, in_channels=96),
                ),
                data_preprocessor=dict(num_classes=2, mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True),
                test_dataloader=dict(
                    batch_size=4,
                    num_workers=0,
                    sampler=dict(type="DefaultSampler", shuffle=False),
                    dataset=dict(
                        type="CustomDataset",
                        data_root=str(tmp_path / "data"),
                        data_prefix="val",
                        pipeline=[LOAD, PACK],
                    ),
                ),
                test_evaluator=dict(type="Accuracy", topk=(1,)),
            )
        )
        init_default_scope("mmpretrain")
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        torch.save(dict(state_dict=model.state_dict()), tmp_path / "model.pth")
        return cfg, str(tmp_path / "model.pth")

    return make


def test_sizes_are_sides_or_height_by_width() -> None:
    assert parse_size("224") == (224, 224)
    assert parse_size("160x320") == (160, 320)


@pytest.mark.parametrize("text", ["0", "-3", "12x", "1x2x3", "big", "1.5"])
def test_other_sizes_are_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=f"HEIGHTxWIDTH in pixels, got {re.escape(repr(text))}"):
        parse_size(text)


def test_positions_are_a_name_and_for_ntk_a_factor() -> None:
    assert parse_positions("RoPE2D") == Positions("RoPE2D")
    assert parse_positions("NTKRoPE2D:5") == Positions("NTKRoPE2D", 5.0)
    assert parse_positions("NTKRoPE2D:5:queries") == Positions("NTKRoPE2D", 5.0, queries_only=True)
    shown = {
        "AS2DRoPE": "AS2DRoPE",
        "NTKRoPE2D:2.50": "NTKRoPE2D:2.5",
        "NTKRoPE2D:5:queries": "NTKRoPE2D:5:queries",
    }
    assert {text: str(parse_positions(text)) for text in shown} == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("AS2DRope", "unknown positions 'AS2DRope'. Did you mean 'AS2DRoPE'?"),
        ("NTKRoPE2d:5", "unknown positions 'NTKRoPE2d'. Did you mean 'NTKRoPE2D'?"),
        ("RoPE2D:5", "RoPE2D takes no number"),
        ("NTKRoPE2D", "NTKRoPE2D needs a factor above 0"),
        ("NTKRoPE2D:", "NTKRoPE2D needs a factor above 0"),
        ("NTKRoPE2D:-2", "NTKRoPE2D needs a factor above 0"),
        ("NTKRoPE2D:five", "NTKRoPE2D needs a factor above 0"),
        ("NTKRoPE2D:inf", "NTKRoPE2D needs a factor above 0"),
        ("NTKRoPE2D:5:keys", "after the factor comes nothing or 'queries'"),
    ],
)
def test_other_positions_are_an_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_positions(text)


def test_options_of_one_kind_of_positions_do_not_reach_another() -> None:
    trained = dict(type="AS2DRoPE", anchor=14, scale_side="rows", ratio=0.5)
    assert Positions("AS2DRoPE").rope(trained) == trained
    assert Positions("RoPE2D").rope(trained) == dict(type="RoPE2D", ratio=0.5)
    assert Positions("NTKRoPE2D", 5).rope(trained) == dict(type="NTKRoPE2D", ratio=0.5, alpha=5)


def test_ntk_enlarges_the_base_of_the_queries_alone_if_asked_for_or_if_the_model_is_the_release_s() -> None:
    ours, released = dict(type="RoPE2D"), dict(type="RoPE2D", key_positions="released")
    assert "queries_only" not in Positions("NTKRoPE2D", 5).rope(ours)
    assert Positions("NTKRoPE2D", 5, queries_only=True).rope(ours)["queries_only"]
    assert Positions("NTKRoPE2D", 5).rope(released) == released | dict(
        type="NTKRoPE2D", alpha=5, queries_only=True
    )


def test_the_share_of_the_edge_that_the_config_keeps_is_kept_at_every_size() -> None:
    steps = [
        LOAD,
        dict(type="ResizeEdge", scale=256, edge="short"),
        dict(type="CenterCrop", crop_size=224),
        PACK,
    ]
    load, resize, crop, pack = pipeline_at(steps, (448, 448))
    assert (load, pack) == (LOAD, PACK)
    assert (resize["scale"], crop["crop_size"]) == (512, (448, 448))


def test_pipelines_without_a_resize_get_one_and_crops_are_width_first() -> None:
    _, resize, crop, _ = pipeline_at([LOAD, PACK], (32, 64))
    assert (resize["scale"], crop["crop_size"]) == (64, (64, 32))


def test_every_size_is_evaluated_with_both_kinds_of_positions(trained: Callable) -> None:
    seen = []
    note = lambda done, total: seen.append((done, total))  # noqa: E731
    results = list(sweep(*trained(), [(32, 32), (48, 64)], progress=note))
    assert [(x.size, str(x.positions)) for x in results] == [
        *(((32, 32), "AS2DRoPE"), ((32, 32), "RoPE2D")),
        *(((48, 64), "AS2DRoPE"), ((48, 64), "RoPE2D")),
    ]
    assert seen == [(1, 2), (2, 2)] * 4
    assert results[0].metrics == results[1].metrics  # at the training size the scale is 1
    assert all(0 <= x.metrics["accuracy/top1"] <= 100 for x in results)


def test_scaling_changes_what_a_model_sees_away_from_its_training_size(
    trained: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmpretrain.models import LinearClsHead

    features: list[torch.Tensor] = []
    forward = LinearClsHead.pre_logits
    monkeypatch.setattr(
        LinearClsHead, "pre_logits", lambda self, feats: features.append(feats[-1]) or forward(self, feats)
    )
    cfg, checkpoint = trained()
    ntk = [Positions("NTKRoPE2D", alpha) for alpha in (1, 5)]
    list(sweep(cfg, checkpoint, [(32, 32), (64, 64)], [*DEFAULT_POSITIONS, *ntk]))
    assert not any(x.requires_grad for x in features)  # or the graph of every image would be kept
    batches = [torch.cat(features[i : i + 2]) for i in range(0, len(features), 2)]
    scaled, plain, same_base, larger_base = batches[:4]
    assert torch.equal(scaled, plain)
    assert torch.equal(same_base, plain)
    assert not torch.allclose(larger_base, plain, atol=1e-6)
    scaled, plain, same_base, larger_base = batches[4:]
    assert not torch.allclose(scaled, plain, atol=1e-6)
    assert torch.equal(same_base, plain)
    assert not torch.allclose(larger_base, plain, atol=1e-6)


def test_options_of_the_positions_are_kept(trained: Callable) -> None:
    cfg, checkpoint = trained(rope=dict(type="RoPE2D", ratio=0.5))
    assert len(list(sweep(cfg, checkpoint, [(32, 32)]))) == 2


def test_sizes_below_a_patch_are_an_error_that_names_them(trained: Callable) -> None:
    with pytest.raises(ConfigError, match=r"sizes 7, 32x4: smaller than a patch of the model \(8 x 8 px\)"):
        list(sweep(*trained(), [(32, 32), (7, 7), (32, 4)]))


def test_a_model_without_positions_is_an_error(trained: Callable) -> None:
    cfg, checkpoint = trained(rope=None)
    with pytest.raises(ConfigError, match="a sweep is of a VisionLLaMA with positions"):
        list(sweep(cfg, checkpoint, [(32, 32)]))


def test_a_model_with_a_learned_table_is_evaluated_with_the_table_interpolated(trained: Callable) -> None:
    cfg, checkpoint = trained(rope=None, pos_embed=dict(type="LearnedPosEmbed"))
    results = list(sweep(cfg, checkpoint, [(32, 32), (48, 64)], [Positions("LearnedPosEmbed")]))
    assert [str(x.positions) for x in results] == ["LearnedPosEmbed"] * 2
    with pytest.raises(
        ConfigError, match=r"was trained with LearnedPosEmbed, so AS2DRoPE says nothing of it"
    ):
        list(sweep(cfg, checkpoint, [(32, 32)]))


def test_a_model_of_one_dimension_is_evaluated_with_its_own_positions_alone(trained: Callable) -> None:
    cfg, checkpoint = trained(rope=dict(type="RoPE1D"))
    (result,) = sweep(cfg, checkpoint, [(48, 64)], [Positions("RoPE1D")])
    assert str(result.positions) == "RoPE1D"
    with pytest.raises(ConfigError, match="was trained with RoPE1D, so AS2DRoPE says nothing of it"):
        list(sweep(cfg, checkpoint, [(48, 64)]))


def test_options_that_only_the_trained_positions_know_are_dropped() -> None:
    trained = dict(type="NTKRoPE2D", alpha=2, queries_only=True, ratio=0.5)
    assert Positions("AS2DRoPE").rope(trained) == dict(type="AS2DRoPE", ratio=0.5)
    assert Positions("NTKRoPE2D", 5).rope(trained) == trained | dict(alpha=5)


def results_of(values: dict[tuple[int, int], tuple[float, ...]], *positions: str) -> list[Result]:
    return [
        Result(size, parse_positions(kind), dict(top1=value))
        for size, row in values.items()
        for kind, value in zip(positions, row, strict=True)
    ]


def test_the_curve_has_a_line_for_each_kind_and_marks_the_training_size() -> None:
    results = results_of({(48, 48): (80, 60), (32, 32): (90, 91)}, "AS2DRoPE", "RoPE2D")
    (ax,) = draw_sweep(results, "top1", (32, 32)).axes
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert (lines["AS2DRoPE"], lines["RoPE2D"]) == ([90, 80], [91, 60])
    assert list(ax.lines[2].get_xdata()) == [0, 0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["32", "48"]


def test_sizes_that_are_not_square_stand_apart_behind_the_others() -> None:
    values = {(48, 64): (80,), (64, 64): (70,), (32, 32): (90,), (32, 48): (85,)}
    (ax,) = draw_sweep(results_of(values, "RoPE2D"), "top1", (224, 224)).axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["32", "64", "32x48", "48x64"]
    assert [list(line.get_ydata()) for line in ax.lines] == [[90, 70], [85, 80]]
    assert ax.lines[0].get_color() == ax.lines[1].get_color()


def test_ten_curves_all_look_different_and_are_all_named() -> None:
    kinds = [f"NTKRoPE2D:{alpha}" for alpha in range(1, 11)]
    figure = draw_sweep(results_of({(32, 64): tuple(range(10))}, *kinds), "top1", (32, 32))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == kinds
    styles = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(styles) == 10
