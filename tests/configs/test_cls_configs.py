"""Classification configs: the published recipes and sizes, fine-tuning and linear probes."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from torch import nn

from mmvisionllama.config import load_config
from mmvisionllama.config.option_values import parse_value
from tests.configs.shipped import NAMES, build, header, load

# lr, weight decay, drop-path, its schedule, LayerScale, epochs, images a step, training and evaluation size,
# share of the edge that evaluation keeps, repeated augmentation (paper, Tab. 13; released code)
CLASSIFIERS = {
    "visionllama_small_in1k": (3e-3, 0.02, 0.05, "constant", 1e-4, 800, 2048, 224, 224, 1.0, True),
    "visionllama_small_in1k_released": (4e-3, 0.05, 0.05, "constant", 1e-4, 800, 2048, 224, 224, 0.875, True),
    "visionllama_in1k_pre192": (3e-3, 0.02, 0.2, "constant", 1e-4, 800, 2048, 192, 192, 1.0, True),
    "visionllama_in1k_pre192_released": (3e-3, 0.05, 0.2, "constant", 1e-4, 800, 2048, 192, 192, 0.875, True),
    "visionllama_in1k": (1e-5, 0.1, 0.2, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "visionllama_in1k_released": (1e-5, 0.1, 0.2, "constant", 1e-4, 20, 512, 224, 224, 0.875, False),
    "visionllama_large_in1k_pre160": (3e-3, 0.02, 0.45, "constant", 1e-4, 800, 2048, 160, 160, 1.0, True),
    "visionllama_large_in1k_pre128_released": (
        *(3e-3, 0.05, 0.45, "constant", 1e-4, 800, 2048, 128, 128, 0.875, True),
    ),
    "visionllama_large_in1k": (1e-5, 0.1, 0.45, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "visionllama_large_in1k_released": (1e-5, 0.1, 0.45, "constant", 1e-4, 20, 512, 224, 224, 0.875, False),
    "deit3_small_in1k": (4e-3, 0.05, 0.05, "constant", 1e-4, 800, 2048, 224, 224, 1.0, True),
    "deit3_in1k_pre192": (3e-3, 0.05, 0.2, "constant", 1e-4, 800, 2048, 192, 192, 1.0, True),
    "deit3_in1k": (1e-5, 0.1, 0.2, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "deit3_large_in1k_pre160": (3e-3, 0.02, 0.45, "constant", 1e-4, 800, 2048, 160, 160, 1.0, True),
    "deit3_large_in1k": (1e-5, 0.1, 0.45, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "vit5_small_in1k_pre224": (4e-3, 0.05, 0.05, "constant", 1e-4, 800, 2048, 224, 224, 1.0, True),
    "vit5_small_in1k": (1e-5, 0.1, 0.05, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "vit5_in1k_pre192": (3e-3, 0.05, 0.2, "constant", 1e-4, 800, 2048, 192, 192, 1.0, True),
    "vit5_in1k": (1e-5, 0.1, 0.25, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "vit5_large_in1k_pre192": (3e-3, 0.05, 0.35, "constant", 1e-4, 400, 2048, 192, 192, 1.0, True),
    "vit5_large_in1k": (1e-5, 0.1, 0.5, "constant", 1e-4, 20, 512, 224, 224, 1.0, False),
    "pyramid_visionllama_small_in1k": (1e-3, 0.05, 0.2, "linear", None, 300, 1024, 224, 224, 0.875, True),
    "pyramid_visionllama_in1k": (1e-3, 0.05, 0.3, "linear", None, 300, 1024, 224, 224, 0.875, True),
    "pyramid_visionllama_large_in1k": (1e-3, 0.05, 0.5, "linear", None, 300, 1024, 224, 224, 0.875, True),
    "pyramid_visionllama_small_in1k_released": (
        *(1e-3, 0.05, 0.2, "linear", 1e-4, 300, 1024, 224, 224, 0.875, False),
    ),
    "pyramid_visionllama_in1k_released": (
        *(1e-3, 0.05, 0.3, "linear", 1e-4, 300, 1024, 224, 224, 0.875, False),
    ),
    "pyramid_visionllama_large_in1k_released": (
        *(1e-3, 0.05, 0.5, "linear", 1e-4, 300, 1024, 224, 224, 0.875, False),
    ),
}


@pytest.mark.parametrize(("name", "recipe"), CLASSIFIERS.items())
def test_classification_recipe_is_the_published_one(name: str, recipe: tuple) -> None:
    cfg = load(f"configs/cls/{name}.py")
    defaults = {"drop_path_schedule": "constant", "layer_scale": 1e-4}
    if cfg.model.backbone.type.endswith("PyramidVisionLLaMA"):
        defaults["drop_path_schedule"] = "linear"
    schedule, layer_scale = (cfg.model.backbone.get(key, value) for key, value in defaults.items())
    optimizer = cfg.optim_wrapper.optimizer
    train, test = (cfg[f"{split}_dataloader"].dataset.pipeline for split in ("train", "test"))
    crop, edge = test[2].crop_size, test[1].scale
    assert cfg.val_dataloader == cfg.test_dataloader
    assert recipe == (
        *(optimizer.lr, optimizer.weight_decay, cfg.model.backbone.drop_path_rate, schedule, layer_scale),
        *(cfg.train_cfg.max_epochs, 8 * cfg.train_dataloader.batch_size, train[0].scale, crop),
        *(pytest.approx(crop / edge, abs=0.003), cfg.train_dataloader.sampler.type == "RepeatAugSampler"),
    )


# The last rate: 0 in VisionLLaMA's Tab. 13 of the pyramids, 1e-5 in every published command.
LAST_RATE_ZERO = {f"pyramid_visionllama_{size}in1k" for size in ("small_", "", "large_")}
SUPERVISED = [x for x in NAMES if x.startswith("configs/cls/") and not re.search("_mae_|_linear_", x)]


@pytest.mark.parametrize("name", SUPERVISED)
def test_supervised_schedules_begin_at_1e_6_and_end_at_the_published_rate(name: str) -> None:
    cfg = load(name)
    warm_up, cosine = cfg.param_scheduler
    assert cfg.optim_wrapper.optimizer.lr * warm_up.start_factor == pytest.approx(1e-6)
    assert cosine.eta_min == (0 if Path(name).stem in LAST_RATE_ZERO else 1e-5)


def test_deit_s_sees_every_image_three_times_in_a_step() -> None:
    assert load("configs/cls/vit_small_in1k.py").train_dataloader.sampler.type == "RepeatAugSampler"


@pytest.mark.parametrize("name", [name for name in NAMES if "/deit3_" in name])
def test_what_is_called_deit3_has_the_parts_of_deit_iii(name: str) -> None:
    backbone = load(name).model.backbone
    assert (backbone.rope, backbone.pos_embed.type, backbone.ffn.type) == (None, "LearnedPosEmbed", "GELUFFN")
    defaults = {"layer_scale": 1e-4, "drop_path_schedule": "constant"}
    assert {key: backbone.get(key, value) for key, value in defaults.items()} == defaults
    assert backbone.get("out_type", "cls_token") == ("avg_featmap" if "_gap" in name else "cls_token")


# Millions, with the head of 1,000 classes: DeiT III's own table; ViT-5's; mmpretrain's for Swin and Twins.
SIZES = {
    "deit3_small_in1k": 22.06,
    "deit3_in1k": 86.59,
    "deit3_large_in1k": 304.37,
    "swin_tiny_in1k": 28.29,
    "swin_small_in1k": 49.61,
    "swin_in1k": 87.77,
    "twins_svt_small_in1k": 24.06,
    "twins_svt_in1k": 56.07,
    "twins_svt_large_in1k": 99.27,
    "vit_small_in1k": 22.05,
    "visionllama_in1k": 86.39,
    "vit5_small_in1k": 22.04,
    "vit5_in1k": 86.54,
    "vit5_large_in1k": 304.26,
    "pyramid_visionllama_small_in1k": 25.89,
}


@pytest.mark.parametrize("built", [f"configs/cls/{name}.py" for name in SIZES], indirect=True)
def test_classifiers_have_the_published_number_of_parameters(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(SIZES[Path(cfg.filename).stem], abs=0.06)


# lr, layer-wise decay, drop-path, epochs, images a step (paper, Tab. 15; released code; mmpretrain)
FINETUNED = {
    "visionllama_mae_finetune_in1k": (4e-3, 0.45, 0.1, 100, 1024),
    "visionllama_large_mae_finetune_in1k": (4e-3, 0.45, 0.1, 50, 1024),
    "visionllama_mae_finetune_in1k_released": (2e-3, 0.45, 0.1, 100, 1024),
    "visionllama_large_mae_finetune_in1k_released": (4e-3, 0.45, 0.2, 50, 1024),
    "vit_mae_finetune_in1k": (2e-3, 0.65, 0.1, 100, 1024),
    "vit_large_mae_finetune_in1k": (4e-3, 0.75, 0.2, 50, 1024),
}


@pytest.mark.parametrize(("name", "recipe"), FINETUNED.items())
def test_fine_tuning_recipe_is_the_published_one(name: str, recipe: tuple) -> None:
    cfg = load(f"configs/cls/{name}.py")
    step = cfg.auto_scale_lr.base_batch_size
    rate, decay = cfg.optim_wrapper.optimizer.lr, cfg.optim_wrapper.paramwise_cfg.layer_decay_rate
    assert recipe == (rate, decay, cfg.model.backbone.drop_path_rate, cfg.train_cfg.max_epochs, step)


PROBES = [name for name in NAMES if "_linear_in1k" in name]


@pytest.mark.parametrize("built", PROBES, indirect=True)
def test_probes_train_the_last_layer_alone(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.partition(".")[0] for name in trained} == {"head"}
    assert 8 * cfg.train_dataloader.batch_size == 16384
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.1 * 16384 / 256)


# Random erasing is off in DeiT III and in the released command of B. That of VisionLLaMA-L leaves timm's
# default, 0.25, on. Twins, Swin and the fine-tuning of MAE have 0.25.
WITHOUT_ERASING = {
    *("visionllama_in1k", "visionllama_in1k_released", "visionllama_in1k_gap"),
    *("deit3_in1k", "deit3_large_in1k", "deit3_large_in1k_gap"),
    *("vit5_small_in1k", "vit5_in1k", "vit5_large_in1k"),
}
CLASSIFYING = [name for name in NAMES if name.startswith(("configs/cls/", "configs/ablation/"))]


@pytest.mark.parametrize("name", CLASSIFYING)
def test_random_erasing_is_on_where_the_published_command_has_it(name: str) -> None:
    steps = load(name).train_dataloader.dataset.pipeline
    chances = [step.erase_prob for step in steps if step.type == "mmvisionllama.RandomErasing"]
    randaugmented = any(step.type == "mmvisionllama.RandAugment" for step in steps)
    assert chances == ([0.25] if randaugmented and Path(name).stem not in WITHOUT_ERASING else [])
    assert steps[-1].type == "PackInputs"


@pytest.mark.parametrize("name", [x for x in NAMES if x.endswith(("_in1k.py", "_in1k_released.py"))])
def test_images_of_imagenet_are_resized_alike_in_training_and_evaluation(name: str) -> None:
    cfg = load(name)
    resizing = ("mmvisionllama.LoadRandomResizedCrop", "ResizeEdge")
    pipelines = [cfg[f"{split}_dataloader"].dataset.pipeline for split in ("train", "val", "test")]
    steps = [step for pipeline in pipelines for step in pipeline if step.type in resizing]
    assert len(steps) == len(pipelines)
    # The release probes with its host's default. A crop is resized as by Pillow; cv2 would not antialias.
    method = "bilinear" if "_linear_in1k_released" in name else "bicubic"
    assert {step.get("interpolation", "bicubic") for step in steps} == {method}
    assert [step.backend for step in steps[1:]] == ["pillow", "pillow"]


SECOND_STAGES = [name for name in CLASSIFYING if "_pre1" in header(name).partition("load_from=")[2]]


@pytest.mark.parametrize("built", SECOND_STAGES, indirect=True)
def test_second_stages_train_at_a_position_scale_of_one(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    side = cfg.train_dataloader.dataset.pipeline[0].scale // 16
    assert side == 14
    if model.backbone.rope is not None:
        assert model.backbone.rope.scale((side, side), model.backbone.train_hw) in (1, (1, 1))


@pytest.mark.parametrize(("size", "anchor"), [("", 12), ("large_", 10)])
def test_a_second_stage_keeps_the_scale_of_the_first_if_its_header_s_option_is_given(
    size: str, anchor: int
) -> None:
    name = f"configs/cls/visionllama_{size}in1k.py"
    option = re.search(r'model\.backbone\.rope="(.*)"', header(name))[1]
    backbone = build(load_config(name, {"model.backbone.rope": parse_value(option)})).backbone
    assert backbone.rope.scale((14, 14), backbone.train_hw) == anchor / 14
