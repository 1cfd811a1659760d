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

from mmvisionllama.config import ConfigError
from mmvisionllama.engine.resolution import Result, draw_sweep, parse_size, pipeline_at, sweep

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
    with pytest.raises(ValueError, match=f"HEIGHTxWIDTH in pixels, got {re.escape(repr(text))}"):
        parse_size(text)


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
    results = list(sweep(*trained(), [(32, 32), (48, 64)], lambda done, total: seen.append((done, total))))
    assert [(x.size, x.positions) for x in results] == [
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
    list(sweep(cfg, checkpoint, [(32, 32), (64, 64)]))
    scaled, plain, scaled_large, plain_large = (torch.cat(features[i : i + 2]) for i in (0, 2, 4, 6))
    assert torch.equal(scaled, plain)
    assert not torch.allclose(scaled_large, plain_large, atol=1e-6)


def test_options_of_the_positions_are_kept(trained: Callable) -> None:
    cfg, checkpoint = trained(rope=dict(type="RoPE2D", ratio=0.5))
    assert len(list(sweep(cfg, checkpoint, [(32, 32)]))) == 2


def test_sizes_below_a_patch_are_an_error_that_names_them(trained: Callable) -> None:
    with pytest.raises(ConfigError, match=r"sizes 7, 32x4 are smaller than a patch \(8 px\)"):
        list(sweep(*trained(), [(32, 32), (7, 7), (32, 4)]))


@pytest.mark.parametrize("rope", [None, dict(type="RoPE1D")])
def test_a_model_without_such_positions_is_an_error(trained: Callable, rope: dict | None) -> None:
    cfg, checkpoint = trained(rope=rope)
    with pytest.raises(ConfigError, match="a sweep compares AS2DRoPE and RoPE2D"):
        list(sweep(cfg, checkpoint, [(32, 32)]))


def test_the_curve_has_a_line_for_each_kind_and_marks_the_training_size() -> None:
    results = [
        Result(size, positions, dict(top1=value))
        for size, values in (((32, 32), (90, 90)), ((48, 64), (80, 60)))
        for positions, value in zip(("AS2DRoPE", "RoPE2D"), values, strict=True)
    ]
    (ax,) = draw_sweep(results, "top1", (32, 32)).axes
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert (lines["AS2DRoPE"], lines["RoPE2D"]) == ([90, 80], [90, 60])
    assert list(ax.lines[2].get_xdata()) == [0, 0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["32", "48x64"]
