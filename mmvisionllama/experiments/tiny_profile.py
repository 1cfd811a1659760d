"""The tiny profile of a reproduction: options that shrink any recipe to seconds on a CPU."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from mmengine.config import Config

from mmvisionllama.config import load_config
from mmvisionllama.experiments.paper import Evaluation
from mmvisionllama.experiments.reproduction import Profile
from mmvisionllama.experiments.tiny_data import SYNSETS

SIDE = 64  # px, of images that a recipe sees at 224
_EPOCHS, _ITERATIONS = 2, 4
_PAPER_ITERATIONS = 400_000
_SPLITS = ("train", "val", "test")
_BLOCKS = 4  # of a plain backbone or a generator
_PLAIN = f"dict(embed_dims=64,num_layers={_BLOCKS},num_heads=2)"
_VIT = f"embed_dims=64,num_layers={_BLOCKS},num_heads=2,feedforward_channels=128"
_PYRAMID = "dict(embed_dims=[16,32,64,128],depths=[1,1,2,1],num_heads=[1,2,4,8])"
_SWIN = "dict(embed_dims=24,depths=[1,1,2,1],num_heads=[1,2,4,8])"
_SVT = (
    "dict(embed_dims=[16,32,64,128],depths=[1,1,2,1],num_heads=[1,2,4,8],mlp_ratios=[2,2,2,2],"
    "patch_sizes=[4,2,2,2],strides=[4,2,2,2],sr_ratios=[8,4,2,1],window_sizes=[7,7,7,7])"
)
# By backbone: its architecture, and the widths of its four outputs.
_BACKBONES: dict[str, tuple[str, list[int]]] = {
    "VisionLLaMA": (_PLAIN, [64] * 4),
    "MAEVisionLLaMA": (_PLAIN, [64] * 4),
    "PyramidVisionLLaMA": (_PYRAMID, [16, 32, 64, 128]),
    "VisionTransformer": (f"dict({_VIT})", [64] * 4),
    "MAEViT": (f"dict({_VIT})", [64] * 4),
    "ViTDet": (f"dict({_VIT},global_attn_indexes=[1,3])", [64] * 4),
    "SwinTransformer": (_SWIN, [24, 48, 96, 192]),
    "SVT": (_SVT, [16, 32, 64, 128]),
}


class TinyProfile(Profile):
    """A few steps of tiny models on made-up images show that every link works, and nothing about results."""

    name = "tiny"
    amp = False
    samples = 4  # precision looks at the third neighbour

    def options(self, config: str) -> list[str]:
        return list(_options(config))

    def sampling(self, evaluation: Evaluation) -> list[str]:
        steps = [] if evaluation.steps is None else ["--steps", "2"]
        return ["--sampler", *evaluation.sampler, *steps]

    def iteration(self, at: int) -> int:
        return at * _ITERATIONS // _PAPER_ITERATIONS

    def size(self, side: str) -> str:
        return str(round(int(side) * SIDE / 224 / 16) * 16)


@cache  # every link of every seed asks for those of its config
def _options(config: str) -> tuple[str, ...]:
    cfg = load_config(config)
    task = {
        "ImageClassifier": _classifier,
        "MAE": _mae,
        "EncoderDecoder": _segmenter,
        "MaskRCNN": _detector,
        "ClassConditionalGenerator": _generator,
    }[_bare(cfg.model.type)]
    found = dict(x.split("=", 1) for x in (*_length(cfg), *_loading(cfg), *task(cfg)))
    return tuple(f"{key}={value}" for key, value in found.items())


def _bare(type_name: str) -> str:
    return type_name.rpartition(".")[2]


def _length(cfg: Config) -> Iterator[str]:
    by_epoch = bool(cfg.train_cfg.get("by_epoch"))
    length = _EPOCHS if by_epoch else _ITERATIONS
    yield f"train_cfg.{'max_epochs' if by_epoch else 'max_iters'}={length}"
    yield f"train_cfg.val_interval={length}"
    *warm_up, main = cfg.param_scheduler
    if warm_up:
        yield "param_scheduler.0.end=1"
    if main.get("begin"):
        yield f"param_scheduler.{len(warm_up)}.begin=1"
    if "milestones" in main:
        yield f"param_scheduler.{len(warm_up)}.milestones=[{length - 1}]"
    yield f"param_scheduler.{len(warm_up)}.end={length}"
    yield f"default_hooks.checkpoint.interval={length}"
    yield "default_hooks.logger.interval=1"


def _loading(cfg: Config) -> Iterator[str]:
    batch = 2
    yield f"train_dataloader.batch_size={batch}"
    if "auto_scale_lr" in cfg:
        yield f"auto_scale_lr.base_batch_size={batch}"
    if "accumulative_counts" in cfg.optim_wrapper:
        yield "optim_wrapper.accumulative_counts=1"
    for split in _SPLITS:
        yield f"{split}_dataloader.num_workers=0"
        yield f"{split}_dataloader.persistent_workers=False"
        if cfg[f"{split}_dataloader"].dataset.type == "ImageNet":
            yield f"{split}_dataloader.dataset.metainfo.classes=[{','.join(SYNSETS)}]"


def _backbone(backbone: dict[str, Any], side: int) -> Iterator[str]:
    yield f"model.backbone.arch={_BACKBONES[_bare(backbone['type'])][0]}"
    if "SwinTransformer" in backbone["type"]:
        yield "model.backbone.pad_small_map=True"
    if "img_size" in backbone:
        yield f"model.backbone.img_size={side}"
    if "frozen_stages" in backbone:
        yield f"model.backbone.frozen_stages={_BLOCKS}"
    if len(backbone.get("out_indices", [])) == 4:
        yield "model.backbone.out_indices=(0,1,2,3)"
    if "global_blocks" in backbone.get("window", {}):
        yield "model.backbone.window.size=3"
        yield "model.backbone.window.global_blocks=(1,3)"


def _widths(cfg: Config) -> list[int]:
    return _BACKBONES[_bare(cfg.model.backbone.type)][1]


def _imagenet(cfg: Config) -> Iterator[str]:
    yield f"train_dataloader.dataset.pipeline.0.scale={SIDE}"
    for split in _SPLITS[1:]:
        yield f"{split}_dataloader.dataset.pipeline.1.scale={SIDE}"
        yield f"{split}_dataloader.dataset.pipeline.2.crop_size={SIDE}"
    yield from _backbone(cfg.model.backbone, SIDE)


def _classifier(cfg: Config) -> Iterator[str]:
    yield from _imagenet(cfg)
    yield f"model.head.num_classes={len(SYNSETS)}"
    yield f"data_preprocessor.num_classes={len(SYNSETS)}"
    yield f"model.head.in_channels={_widths(cfg)[-1]}"
    if "neck" in cfg.model and "input_features" in cfg.model.neck:
        yield f"model.neck.input_features={_widths(cfg)[-1]}"


def _mae(cfg: Config) -> Iterator[str]:
    yield from _imagenet(cfg)
    yield f"model.neck.num_patches={(SIDE // 16) ** 2}"
    yield f"model.neck.embed_dim={_widths(cfg)[-1]}"
    yield "model.neck.decoder_embed_dim=32"
    yield "model.neck.decoder_depth=1"
    yield "model.neck.decoder_num_heads=2"


def _segmenter(cfg: Config) -> Iterator[str]:
    crop, widths = f"({SIDE},{SIDE})", _widths(cfg)
    yield from _backbone(cfg.model.backbone, SIDE)
    yield f"model.data_preprocessor.size={crop}"
    if "embed_dim" in cfg.model.get("neck", {}):
        yield f"model.neck.embed_dim={widths[-1]}"
    yield f"model.decode_head.in_channels=[{','.join(map(str, widths))}]"
    yield f"model.auxiliary_head.in_channels={widths[2]}"
    yield "model.decode_head.channels=32"
    yield "model.auxiliary_head.channels=32"
    if cfg.model.test_cfg.mode == "slide":
        yield f"model.test_cfg.crop_size={crop}"
        yield f"model.test_cfg.stride=({SIDE * 2 // 3},{SIDE * 2 // 3})"
    yield f"train_dataloader.dataset.pipeline.2.scale=({SIDE * 4},{SIDE})"
    yield f"train_dataloader.dataset.pipeline.3.crop_size={crop}"
    for split in _SPLITS[1:]:
        yield f"{split}_dataloader.dataset.pipeline.1.scale=({SIDE * 4},{SIDE})"


def _detector(cfg: Config) -> Iterator[str]:
    widths, train = _widths(cfg), "train_dataloader.dataset.pipeline"
    yield "model.train_cfg.rcnn.sampler.num=8"
    yield "model.train_cfg.rpn_proposal.max_per_img=20"
    yield "model.test_cfg.rpn.max_per_img=20"
    yield "model.test_cfg.rcnn.max_per_img=5"
    yield "model.neck.out_channels=32"
    for head in ("rpn_head", "roi_head.bbox_head", "roi_head.mask_head"):
        yield f"model.{head}.in_channels=32"
    for extractor in ("bbox_roi_extractor", "mask_roi_extractor"):
        yield f"model.roi_head.{extractor}.out_channels=32"
    yield "model.rpn_head.feat_channels=32"
    yield "model.roi_head.bbox_head.fc_out_channels=64"
    yield "model.roi_head.mask_head.num_convs=1"
    yield "model.roi_head.mask_head.conv_out_channels=32"
    yield "model.test_cfg.rcnn.score_thr=0.0"  # so that a detector of a few steps finds something
    if cfg.model.neck.type == "FPN":
        yield from _backbone(cfg.model.backbone, SIDE)
        yield f"model.neck.in_channels=[{','.join(map(str, widths))}]"
        yield f"{train}.4.transforms.0.0.scales=[(96,128)]"
        yield f"{train}.4.transforms.1.0.scales=[(96,128)]"
        yield f"{train}.4.transforms.1.1.crop_size=(64,96)"
        yield f"{train}.4.transforms.1.2.scales=[(96,128)]"
    else:
        # ViT's table is of the images that it detects in, VisionLLaMA's anchor is that of pre-training.
        yield from _backbone(cfg.model.backbone, 128 if "ViTDet" in cfg.model.backbone.type else SIDE)
        yield f"model.neck.in_channels={widths[-1]}"
        yield "model.data_preprocessor.pad_size_divisor=128"
        yield f"{train}.4.scale=(128,128)"
        yield f"{train}.5.crop_size=(128,128)"
    for split in _SPLITS[1:]:
        yield f"{split}_dataloader.dataset.pipeline.1.scale=(128,128)"


def _generator(cfg: Config) -> Iterator[str]:
    yield "default_hooks.checkpoint.interval=1"  # Table 10 evaluates them all
    yield "default_hooks.checkpoint.max_keep_ckpts=-1"
    yield f"model.network.arch={_PLAIN}"
    yield f"model.network.num_classes={len(SYNSETS)}"
    if "data_preprocessor" in cfg:
        yield f"data_preprocessor.num_classes={len(SYNSETS)}"
    yield "model.sampler.steps=2"
    for split in _SPLITS[1:]:
        yield f"{split}_dataloader.dataset.indices=[0,9]"
