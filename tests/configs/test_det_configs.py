"""Detection configs: heads that fit the data, sizes, and the published recipes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmcv.transforms import Compose
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from torch import nn

from tests.configs.shipped import NAMES, load

DET_NAMES = [x for x in NAMES if "_maskrcnn_" in x or "_vitdet_" in x]
every_det_model = pytest.mark.parametrize("built", DET_NAMES, indirect=True)

# lr, weight decay, layer-wise decay, drop-path, epochs, images a step (paper, Tab. 5 and 6; released code)
RECIPES = {
    "pyramid_visionllama_small_maskrcnn_coco_1x": (1e-4, 0.05, None, 0.2, 12, 16),
    "pyramid_visionllama_small_maskrcnn_coco_3x": (1e-4, 0.05, None, 0.2, 36, 16),
    "pyramid_visionllama_maskrcnn_coco_1x": (1e-4, 0.05, None, 0.2, 12, 16),
    "pyramid_visionllama_maskrcnn_coco_3x": (1e-4, 0.05, None, 0.2, 36, 16),
    "pyramid_visionllama_maskrcnn_coco_3x_released": (1e-4, 0.05, None, 0.2, 36, 16),
    "pyramid_visionllama_large_maskrcnn_coco_1x": (1e-4, 0.05, None, 0.3, 12, 16),
    "pyramid_visionllama_large_maskrcnn_coco_3x": (1e-4, 0.05, None, 0.3, 36, 16),
    "swin_small_maskrcnn_coco_3x": (1e-4, 0.05, None, 0.2, 36, 16),
    "twins_svt_maskrcnn_coco_3x": (1e-4, 0.05, None, 0.2, 36, 16),
    "resnet50_maskrcnn_coco_3x": (1e-4, 0.05, None, None, 36, 16),
    "visionllama_vitdet_coco": (1e-4, 0.1, 0.7, 0.1, 36, 64),
    "visionllama_maskrcnn_coco": (1e-4, 0.1, 0.7, 0.1, 36, 64),
    "visionllama_vitdet_coco_100e": (1e-4, 0.1, 0.7, 0.1, 100, 64),
    "visionllama_vitdet_coco_released": (1e-4, 0.1, 0.7, 0.1, 37, 64),
    "dinov3_vitdet_coco": (1e-4, 0.1, 0.7, 0.1, 36, 64),
    "vit_vitdet_coco_100e": (1e-4, 0.1, 0.7, 0.1, 100, 64),
}


def test_every_coco_config_has_a_recipe_to_be_held_against() -> None:
    assert set(RECIPES) == {Path(name).stem for name in DET_NAMES if "_coco" in name}


@pytest.mark.parametrize(("name", "recipe"), RECIPES.items())
def test_coco_recipe_is_the_published_one(name: str, recipe: tuple) -> None:
    cfg = load(f"configs/det/{name}.py")
    optimizer, paramwise = cfg.optim_wrapper.optimizer, cfg.optim_wrapper.paramwise_cfg
    step = cfg.auto_scale_lr.base_batch_size
    assert recipe == (
        *(optimizer.lr, optimizer.weight_decay, paramwise.get("layer_decay_rate")),
        *(cfg.model.backbone.get("drop_path_rate"), cfg.train_cfg.max_epochs, step),
    )


@every_det_model
def test_detection_heads_have_one_output_per_class_of_the_data(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    classes = cfg.train_dataloader.dataset.get("metainfo", CocoDataset.METAINFO)["classes"]
    assert model.roi_head.bbox_head.num_classes == len(classes)
    assert model.roi_head.mask_head.num_classes == len(classes)


@pytest.mark.parametrize("name", DET_NAMES)
def test_detection_trains_and_evaluates_on_the_same_classes(name: str) -> None:
    cfg = load(name)
    train, val = (cfg[f"{split}_dataloader"].dataset for split in ("train", "val"))
    assert train.get("metainfo") == val.get("metainfo")
    assert cfg.val_evaluator.ann_file.endswith(val.ann_file)


@every_det_model
def test_anchors_and_regions_have_the_strides_of_the_maps(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    strides = [stride for stride, _ in model.rpn_head.prior_generator.strides]
    patch = cfg.model.backbone.get("patch_size", 16)
    first = patch // 4 if cfg.model.neck.type.endswith("SimpleFPN") else 4
    assert strides == [first * 2**i for i in range(len(strides))]
    assert model.roi_head.bbox_roi_extractor.featmap_strides == strides[:4]
    assert model.roi_head.mask_roi_extractor.featmap_strides == strides[:4]


# Millions: Swin-S and R-50 as in mmdet; ViT-B is detectron2's 111 with a table of positions for 1024 px.
SIZES = {
    "swin_small_maskrcnn_coco_3x": 69.1,
    "resnet50_maskrcnn_coco_3x": 44.4,
    "pyramid_visionllama_maskrcnn_coco_3x": 75.5,
    "visionllama_vitdet_coco": 110.6,
    "dinov3_vitdet_coco": 110.6,
    "vit_vitdet_coco_100e": 113.9,
}


@pytest.mark.parametrize("built", [f"configs/det/{name}.py" for name in SIZES], indirect=True)
def test_detectors_have_the_expected_number_of_parameters(built: tuple[Config, nn.Module]) -> None:
    cfg, model = built
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(SIZES[Path(cfg.filename).stem], abs=0.5)


@pytest.mark.parametrize("built", ["configs/det/vit_vitdet_coco_100e.py"], indirect=True)
def test_relative_positions_of_vitdet_decay_and_absolute_ones_do_not(
    built: tuple[Config, nn.Module], param_groups: list[dict[str, Any]]
) -> None:
    decay = {id(x): group["weight_decay"] for group in param_groups for x in group["params"]}
    kinds = {
        kind: {decay[id(x)] for name, x in built[1].backbone.named_parameters() if kind in name}
        for kind in ("rel_pos", "pos_embed")
    }
    assert kinds == {"rel_pos": {0.1}, "pos_embed": {0.0}}


@pytest.mark.parametrize(("name", "padded"), [("", 0.0), ("_released", 114.0)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_vitdet_pads_normalised_images_and_the_release_grey_ones(
    name: str, padded: float, split: str, tmp_path: Path
) -> None:
    cfg = load(f"configs/det/visionllama_vitdet_coco{name}.py")
    init_default_scope("mmdet")
    Image.new("RGB", (512, 256), (255, 0, 0)).save(tmp_path / "red.png")
    box = dict(bbox=[8, 8, 400, 200], bbox_label=0, ignore_flag=0, mask=[[8, 8, 400, 8, 400, 200]])
    data = dict(img_path=str(tmp_path / "red.png"), img_id=0, height=256, width=512, instances=[box])
    steps = [dict(step) for step in cfg[f"{split}_dataloader"].dataset.pipeline]
    for step in steps:
        if step["type"] == "RandomResize":
            step["ratio_range"] = (1.0, 1.0)  # so that the last rows are padded
    sample = Compose(steps)(data)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    batch = preprocessor(dict(inputs=[sample["inputs"]], data_samples=[sample["data_samples"]]))
    pixel = batch["inputs"][0, :, -1, 0]
    assert batch["inputs"].shape == (1, 3, 1024, 1024)
    wanted = (padded - preprocessor.mean) / preprocessor.std if padded else preprocessor.mean * 0
    torch.testing.assert_close(pixel, wanted.flatten())
