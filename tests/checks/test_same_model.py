from typing import Any

import pytest

from mmvisionllama.checks.same_model import differences, differences_at_start, differences_of_part
from mmvisionllama.config import load_config
from tests.configs.shipped import NAMES, ROOT, load, saved, text_of

PLAIN = "configs/toy/visionllama_tiny_digitscenes.py"
PYRAMID = "configs/toy/pyramid_visionllama_tiny_digitscenes.py"
GENERATOR = "configs/toy/sit_visionllama_tiny_digits.py"
SEGMENTOR = "configs/toy/visionllama_tiny_upernet_digitscenes.py"
DETECTOR = "configs/toy/visionllama_tiny_vitdet_digitscenes.py"
LATENT = "configs/gen/sit_visionllama_small_p2_in1k_256.py"
MASKED = "configs/toy/visionllama_tiny_mae_digitscenes.py"


def with_options(name: str, **options: Any) -> Any:
    return load_config(ROOT / name, {key.replace("__", "."): value for key, value in options.items()})


def found(name: str, compare: Any = differences, **options: Any) -> list[str]:
    """Compare a checkpoint of a config with the same config under these options."""
    return [str(x) for x in compare(saved(load(name)), "x.pth", with_options(name, **options))]


@pytest.mark.parametrize("name", [x for x in NAMES if "/toy/" in x])
def test_an_earlier_checkpoint_which_keeps_text_alone_has_none_either(name: str) -> None:
    text = {"meta": {"cfg": text_of(load(name))}}
    assert differences(text, "x.pth", load(name)) == []


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        (PLAIN, dict(model__backbone__rope=None), "model.backbone.rope: {'type': 'AS2DRoPE'} in the"),
        (
            *(PLAIN, dict(model__backbone__rope__type="RoPE1D")),
            "model.backbone.rope.type: 'AS2DRoPE' in the checkpoint, 'RoPE1D' in the config",
        ),
        (PLAIN, dict(model__backbone__rope=dict(type="AS2DRoPE", base=100)), "rope.base: 10000.0 in the"),
        (PLAIN, dict(model__backbone__rope=dict(type="AS2DRoPE", ratio=0.5)), "rope.ratio: 1.0 in the"),
        (PLAIN, dict(model__backbone__rope=dict(type="AS2DRoPE", anchor=14)), "rope.anchor: None in the"),
        (PLAIN, dict(model__backbone__rope=dict(type="AS2DRoPE", shared=False)), "rope.shared: True in"),
        (
            *(PYRAMID, dict(model__backbone__rope=dict(type="AS2DRoPE", key_positions="released"))),
            "model.backbone.rope.key_positions: 'centre' in the checkpoint, 'released' in the config",
        ),
        (PLAIN, dict(model__backbone__img_size=224), "img_size: 64 in the checkpoint, 224 in the config"),
        (
            PLAIN,
            dict(model__backbone__arch=dict(embed_dims=96, num_layers=8, num_heads=6)),
            "model.backbone.arch.num_heads: 3 in the checkpoint, 6 in the config",
        ),
        (PLAIN, dict(model__backbone__window=dict(size=4)), "model.backbone.window: None in the"),
        (PLAIN, dict(model__backbone__norm_cfg=dict(type="LN", eps=1e-5)), "norm_cfg.eps: 1e-06 in the"),
        (PYRAMID, dict(model__backbone__window__size=8), "model.backbone.window.size: 4 in the"),
        (PYRAMID, dict(model__backbone__window__mask_padding=False), "window.mask_padding: True in the"),
        (PYRAMID, dict(model__backbone__out_norm="twice"), "model.backbone.out_norm: None in the"),
        (PLAIN, dict(data_preprocessor__mean=[0.0] * 3), "model.data_preprocessor.mean: [123"),
        (PLAIN, dict(data_preprocessor__to_rgb=False), "swaps_red_and_blue: True in the checkpoint, False"),
        (SEGMENTOR, dict(model__decode_head__align_corners=True), "model.decode_head.align_corners: False"),
        (
            *(DETECTOR, dict(model__rpn_head__anchor_generator__scales=[8])),
            "model.rpn_head.anchor_generator.scales: [4] in the checkpoint, [8] in the config",
        ),
        (
            *(GENERATOR, dict(model__objective__prediction="noise")),
            "model.objective.prediction: 'velocity' in the checkpoint, 'noise' in the config",
        ),
        (
            *(LATENT, dict(model__autoencoder__scale=0.5)),
            "model.autoencoder.scale: 0.18215 in the checkpoint, 0.5 in the config",
        ),
        (GENERATOR, dict(model__network__input_size=16), "model.network.input_size: 8 in the checkpoint, 16"),
    ],
)
def test_what_leaves_no_shape_is_a_difference(name: str, options: dict, told: str) -> None:
    (difference,) = found(name, **options)
    assert told in difference


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (PLAIN, dict(model__type="mmpretrain.ImageClassifier")),
        (PLAIN, dict(model__backbone__rope=dict(type="mmvisionllama.AS2DRoPE", base=10000, ratio=1))),
        (PLAIN, dict(model__backbone__arch=dict(num_heads=3, num_layers=8, embed_dims=96))),
        (PLAIN, dict(model__backbone__img_size=(64, 64))),
        (PLAIN, dict(model__backbone__attn=dict(qkv_bias=True))),
        (PYRAMID, dict(model__backbone__window=dict(size=4, mask_padding=True))),
        (SEGMENTOR, dict(model__backbone__out_indices=[1, 3, 5, 7])),
        (GENERATOR, dict(model__network__block=dict(rope=dict(type="AS2DRoPE")))),
        # what is for training alone, or for what is done with the outputs
        (PLAIN, dict(model__backbone__drop_path_rate=0.3, model__backbone__with_cp=True)),
        (PLAIN, dict(model__backbone__frozen_stages=2, model__head__cal_acc=True)),
        (PLAIN, dict(model__head__loss=dict(type="LabelSmoothLoss", label_smooth_val=0.2, _delete_=True))),
        (SEGMENTOR, dict(model__test_cfg=dict(mode="slide", crop_size=(32, 32), stride=(16, 16)))),
        (DETECTOR, dict(model__test_cfg__rcnn__score_thr=0.5)),
        (GENERATOR, dict(model__sampler__steps=50, model__guidance=dict(scale=2.0), model__seed=3)),
    ],
)
def test_the_same_in_other_words_and_what_changes_no_output_are_none(name: str, options: dict) -> None:
    assert found(name, **options) == []


def test_image_size_does_not_matter_where_no_position_is_scaled_to_it() -> None:
    unscaled = dict(model__backbone__rope=dict(type="RoPE2D"))
    kept = saved(with_options(PLAIN, **unscaled))
    assert differences(kept, "x.pth", with_options(PLAIN, **unscaled, model__backbone__img_size=224)) == []


def test_batch_norms_are_alike_whether_they_are_synchronised_or_not() -> None:
    norms = dict(model__decode_head__norm_cfg=dict(type="SyncBN", _delete_=True))
    kept = saved(with_options(SEGMENTOR, **norms))
    norms = dict(model__decode_head__norm_cfg=dict(type="BN", requires_grad=True, _delete_=True))
    assert differences(kept, "x.pth", with_options(SEGMENTOR, **norms)) == []


@pytest.mark.parametrize(
    "options",
    [
        dict(model__backbone__img_size=224, model__backbone__drop_path_rate=0.3),
        dict(model__backbone__rope=dict(type="AS2DRoPE", anchor=14, scale_side="rows")),
        dict(model__backbone__rope=dict(type="RoPE2D")),
        dict(model__backbone__window=dict(size=4, global_blocks=[3, 7])),
        dict(model__backbone__out_norm="last", model__head__topk=1),
        dict(data_preprocessor__mean=[0.0] * 3),
    ],
)
def test_a_start_adapts_to_what_fine_tuning_changes(options: dict) -> None:
    assert found(PLAIN, differences_at_start, **options) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(model__backbone__arch=dict(embed_dims=96, num_layers=8, num_heads=6)), "arch.num_heads: 3"),
        (dict(model__backbone__rope=dict(type="AS2DRoPE", base=100)), "rope.base: 10000.0 in the checkpoint"),
        (
            dict(model__backbone__rope=None),
            "rope: {'type': 'AS2DRoPE'} in the checkpoint, None in the config",
        ),
        (dict(model__backbone__rope__type="RoPE1D"), "rope.type: 'AS2DRoPE' in the checkpoint, 'RoPE1D'"),
    ],
)
def test_a_start_does_not_adapt_to_other_heads_or_frequencies(options: dict, told: str) -> None:
    (difference,) = found(PLAIN, differences_at_start, **options)
    assert told in difference


def test_a_start_with_other_windows_in_the_place_of_windows_is_a_difference() -> None:
    (difference,) = found(PYRAMID, differences_at_start, model__backbone__window__size=8)
    assert "window.size: 4 in the checkpoint, 8 in the config" in difference


@pytest.mark.parametrize("target", [PLAIN, SEGMENTOR, DETECTOR])
def test_a_masked_encoder_becomes_the_backbone_of_every_task(target: str) -> None:
    kept = saved(with_options(MASKED, model__backbone__rope=dict(type="AS2DRoPE", base=100)))
    found = differences_at_start(kept, "x.pth", load(target))
    assert [x.path for x in found] == ["model.backbone.rope.base"]


@pytest.mark.parametrize("prefix", ["backbone.", "backbone", "module.backbone."])
def test_a_pretrained_backbone_is_compared_with_that_of_the_checkpoint(prefix: str) -> None:
    cfg = with_options(SEGMENTOR, model__backbone__rope=dict(type="AS2DRoPE", base=100))
    (difference,) = differences_of_part(saved(load(PLAIN)), "x.pth", cfg, "backbone", prefix)
    assert difference.path == "model.backbone.rope.base"


def test_a_checkpoint_that_keeps_no_config_has_no_difference() -> None:
    for compare in (differences, differences_at_start):
        assert compare({"meta": {}}, "x.pth", load(PLAIN)) == []
    assert differences_of_part({}, "x.pth", load(PLAIN), "backbone", "backbone.") == []


def test_a_model_that_nothing_here_provides_is_compared_by_what_both_write() -> None:
    kept = saved(load(PLAIN))
    kept["meta"]["model"]["backbone"] |= dict(
        type="elsewhere.VisionLLaMA", rope=dict(type="elsewhere.RoPE1D")
    )
    found = differences(kept, "x.pth", load(PLAIN))
    assert [str(x) for x in found] == [
        "model.backbone.rope.type: 'RoPE1D' in the checkpoint, 'AS2DRoPE' in the config"
    ]
