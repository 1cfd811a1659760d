"""The table of config sections: what the Runner and the builders read, beside constructors' arguments."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from mmengine.dist import init_dist
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings
from mmengine.utils.dl_utils import set_multi_processing
from torch.utils.data import DataLoader

from mmvisionllama.arguments import Count, Length, NotNegative, Positive
from mmvisionllama.config.component_types import ConfigPath
from mmvisionllama.config.value_types import type_of
from mmvisionllama.signatures import accepted_arguments

# What stands in the tables: a section, a function that chooses one by the value, or a type.
Entry = Any
FREE = object()  # the entry of what is not looked into


@dataclass(frozen=True)
class Section:
    """What the dictionary at one place of a config may hold.

    Attributes:
        registry: The root registry of its ``type``, whose arguments are keys then; None: it has no type.
        default: The type where the config gives none.
        prefix: Stands before a type that is a name, where these are no registered names.
        keys: What the reader of the place takes itself, and the entry of each value.
        arguments: Types of constructor arguments that the hosts annotate wrongly or not at all.
        values: Entry of other values, where keys are the user's own unless they resemble one of these.
        known: Set where a host's code alone knows the keys, or those of one without a type: a key that only
            resembles one of these is a mistake, any other is allowed.
        lists: Whether a list of such dictionaries may (None) or must (True) stand there.
        plain: Type of what may stand there instead.
    """

    registry: str | None = None
    default: str | Callable | None = None
    prefix: str = ""
    keys: Mapping[str, Entry] = field(default_factory=dict)
    arguments: Mapping[str, Entry] = field(default_factory=dict)
    values: Entry = None
    known: Collection[str] | None = None
    lists: bool | None = False
    plain: Any = None


@dataclass(frozen=True)
class Registered:
    """The name of something that a registry holds."""

    registry: str


def accepted(function: Callable, *given: str) -> dict[str, Any]:
    """Return the arguments of ``function`` with their types, without those that its caller gives."""
    found = accepted_arguments(function).by_name
    return {name: type_of(x) for name, x in found.items() if name not in ("self", *given)}


def component(registry: str, default: str | None = None, lists: bool | None = None, **keys: Entry) -> Section:
    """Return the section of a place for components, whose builder takes ``keys`` itself."""
    return Section(registry, default, keys=keys, lists=lists)


def _resembling(known: str) -> Section:
    return Section(known=[*known.split(), "type"])


def _train_loop(value: Mapping[str, Any], at: ConfigPath) -> Section:
    default = None
    if "by_epoch" in value:
        default = "EpochBasedTrainLoop" if value["by_epoch"] else "IterBasedTrainLoop"
    lengths = {"max_iters": Length, "max_epochs": Length, "val_interval": Length, "val_begin": Count}
    return Section("loop", default, keys={"by_epoch": bool}, arguments=lengths)


def _evaluator(value: Mapping[str, Any], at: ConfigPath) -> Section:
    return component("evaluator", "Evaluator") if "metrics" in value else component("metric")


_RATES = {"lr": NotNegative, "weight_decay": NotNegative | None}
_OPTIMIZER = Section("optimizer", arguments=_RATES)
# A group takes the two factors, any option of its optimizer, and what the hosts' optimizers look for.
_GROUP_KEYS = {
    "lr_mult": NotNegative,
    "decay_mult": NotNegative,
    "fix_lr": bool,
    "lars_exclude": bool,
} | _RATES
_GROUP = Section(keys=_GROUP_KEYS, known=accepted(torch.optim.AdamW) | accepted(torch.optim.SGD))
_FACTORS = ("bias_decay_mult", "norm_decay_mult", "flat_decay_mult")
LAYER_DECAY = Section(
    keys={
        "layer_decay_rate": NotNegative,
        "custom_keys": Section(values=Section(keys={"lr_mult": NotNegative, "decay_mult": NotNegative})),
        **dict.fromkeys(_FACTORS, NotNegative),
    }
)
_DEFAULT_PARAMWISE = {
    **dict.fromkeys((*_FACTORS, "dwconv_decay_mult", "bias_lr_mult", "dcn_offset_lr_mult"), NotNegative),
    "bypass_duplicate": bool,
    "custom_keys": Section(values=_GROUP),
}
_LAYER_WISE = {
    "layer_decay_rate": NotNegative,
    "decay_rate": NotNegative,
    "decay_type": str,
    "num_layers": Positive,
}
_PARAMWISE = {
    None: Section(keys=_DEFAULT_PARAMWISE),
    "DefaultOptimWrapperConstructor": Section(keys=_DEFAULT_PARAMWISE),
    "GroupingOptimWrapperConstructor": Section(keys=_DEFAULT_PARAMWISE),
    "LearningRateDecayOptimWrapperConstructor": Section(keys=_DEFAULT_PARAMWISE | _LAYER_WISE),
    "LayerDecayOptimWrapperConstructor": LAYER_DECAY,
}
_OTHER_PARAMWISE = Section(keys=_DEFAULT_PARAMWISE | _LAYER_WISE, known=())


_WRAPPER = {"optimizer": _OPTIMIZER, "accumulative_counts": Positive, "loss_scale": Any}


def _optim_wrapper(value: Mapping[str, Any], at: ConfigPath) -> Section:
    constructor = value.get("constructor")
    if constructor and "optimizer" not in value:  # one wrapper per network, under free names
        return Section(keys={"constructor": Any}, values=_optim_wrapper)
    name = getattr(constructor, "__name__", constructor)
    paramwise = _PARAMWISE.get(name and name.rpartition(".")[2], _OTHER_PARAMWISE)
    keys = {"constructor": Registered("optimizer wrapper constructor"), "paramwise_cfg": paramwise}
    return Section(
        "optim_wrapper",
        "OptimWrapper",
        keys=keys,
        arguments=_WRAPPER,
    )


def _param_scheduler(value: Mapping[str, Any], at: ConfigPath) -> Section:
    one = component("parameter scheduler", convert_to_iter_based=bool, epoch_length=Positive | None)
    return (
        one if "type" in value or not value else Section(values=one)
    )  # of every optimizer, under free names


_HOOK = component("hook", None, False, priority=Any)
_DEFAULT_HOOKS = {
    "timer": "IterTimerHook",
    "logger": "LoggerHook",
    "param_scheduler": "ParamSchedulerHook",
    "checkpoint": "CheckpointHook",
    "sampler_seed": "DistSamplerSeedHook",
    "runtime_info": "RuntimeInfoHook",
    "visualization": None,
}
_DATALOADER = Section(
    keys=accepted(DataLoader)
    | {
        "batch_size": Positive | None,
        "num_workers": Count,
        "prefetch_factor": Positive | None,
        "num_batch_per_epoch": Positive | None,
        "disable_subprocess_warning": bool,
        "dataset": component("dataset", lists=False),
        "sampler": component("data sampler", lists=False),
        "batch_sampler": component("data sampler", lists=False),
        "collate_fn": component("function", lists=False),
        "worker_init_fn": component("function", lists=False),
    }
)


def _data_preprocessor(value: Mapping[str, Any], at: ConfigPath) -> Section:
    """Only mmpretrain's models say which one is meant where the config does not."""
    return component("model", "ClsDataPreprocessor" if "mmpretrain" in at.scopes else None, lists=False)


_MODEL = component("model", lists=False)

ROOT: Mapping[str, Entry] = {
    **accepted(Runner, "cfg"),
    "model": _MODEL,
    "train_dataloader": _DATALOADER,
    "val_dataloader": _DATALOADER,
    "test_dataloader": _DATALOADER,
    "train_cfg": _train_loop,
    "val_cfg": component("loop", "ValLoop", False),
    "test_cfg": component("loop", "TestLoop", False),
    "val_evaluator": _evaluator,
    "test_evaluator": _evaluator,
    "optim_wrapper": _optim_wrapper,
    "param_scheduler": _param_scheduler,
    "auto_scale_lr": Section(keys={"enable": bool, "base_batch_size": Positive | None}),
    "default_hooks": Section(
        keys={name: replace(_HOOK, default=type_) for name, type_ in _DEFAULT_HOOKS.items()}, values=_HOOK
    ),
    "custom_hooks": replace(_HOOK, lists=True),
    "data_preprocessor": _data_preprocessor,
    "visualizer": component("visualizer", "Visualizer", False),
    "track": Section("vis_backend", lists=None, plain=Literal["tensorboard", "wandb", "mlflow"]),
    "log_processor": component("log_processor", "LogProcessor", False),
    "randomness": Section(keys=accepted(Runner.set_randomness) | {"seed": Count | None}),
    "env_cfg": Section(
        keys={
            "cudnn_benchmark": bool,
            "resource_limit": Positive,
            "mp_cfg": Section(keys=accepted(set_multi_processing, "distributed")),
            "dist_cfg": Section(
                keys=accepted(torch.distributed.init_process_group) | accepted(init_dist, "launcher")
            ),
        }
    ),
    # read from the config by the Runner or by the tools, though no argument of the Runner
    **dict.fromkeys(("runner_type", "activation_checkpointing", "efficient_conv_bn_eval"), Any),
    "custom_imports": Section(keys=accepted(import_modules_from_strings)),
    "model_wrapper_cfg": component("model_wrapper", None, False),
    "find_unused_parameters": bool,
    "sync_bn": str | None,
    "compile": Section(keys=accepted(torch.compile, "model"), plain=bool),
    "strategy": component("strategy", None, False),
    "tta_model": _MODEL,
    "tta_pipeline": component("transform", None, True),
    "test_pipeline": component("transform", None, True),  # mmseg's inference_model reads it
    "unchecked": list[str],
    "accepted_differences": list[str],
}

# What the hosts' own detectors and segmentors read from the dicts that they hand down to their parts.
_MODEL_OPTIONS = _resembling(
    """
    mode crop_size stride size_divisor subdivision_steps subdivision_num_points scale_factor sampler
    num_points oversample_ratio importance_sample_ratio assigner augments probs rpn rpn_proposal rcnn
    allowed_border pos_weight debug nms_pre nms_post max_per_img max_per_image nms min_bbox_size
    mask_size score_thr mask_thr mask_thr_binary iou_thr conf_thr filter_thr topk top_k neg_pos_ratio
    smoothl1_beta dynamic_rcnn iou_topk beta_topk update_iter_interval initial_iou initial_beta
    initial_epoch initial_assigner alpha beta reg_assigner ga_assigner ga_sampler center_ratio
    ignore_ratio init refine panoptic panoptic_on semantic_on instance_on object_mask_thr
    filter_low_score mask_overlap stuff_area_limit score_voting corner_topk local_maximum_kernel
    distance_threshold chunked_size kernel sigma isr carl k bias pos_radius max_num_grid
    """
)
_NMS = Section("model", prefix="mmcv.ops.", keys=dict(class_agnostic=bool, split_thr=Positive, max_num=int))


def _override(value: Mapping[str, Any], at: ConfigPath) -> Section:
    """An override without a type repeats that of the initialiser around it."""
    return Section("weight initializer", at.owner, keys={"name": str})


# Dictionaries that many components take as an argument of this name.
BY_NAME: Mapping[str, Entry] = {
    "pipeline": component("transform"),
    "switch_pipeline": component("transform"),
    "dataset": component("dataset"),
    "datasets": component("dataset"),
    "metrics": component("metric"),
    "optimizer": _OPTIMIZER,
    "vis_backends": component("vis_backend"),
    # Some backbones read their checkpoint from one without a type.
    "init_cfg": Section("weight initializer", keys={"override": _override}, known=("type", "checkpoint")),
    "override": _override,
    "norm_cfg": component("model", requires_grad=bool),
    "augments": component("batch augment"),
    "policies": component("transform", magnitude_key=str, magnitude_range=Any),
    "data_preprocessor": _data_preprocessor,
    "train_cfg": _MODEL_OPTIONS,
    "test_cfg": _MODEL_OPTIONS,
    "nms": _NMS,
    "roi_layer": Section("model", prefix="mmcv.ops.", arguments={"output_size": Any}),
    "dcn": component("model", fallback_on_stride=bool),
    "loss_cls": component("model", bg_cls_weight=float),
    "upsample_cfg": Section("model", keys={"scale_factor": Any}, known=("mode", "align_corners")),
    "clip_grad": Section(
        keys=accepted(torch.nn.utils.clip_grad_norm_, "parameters")
        | accepted(torch.nn.utils.clip_grad_value_, "parameters")
        | {"type": Literal["norm", "value"], "max_norm": NotNegative, "clip_value": NotNegative}
    ),
    "data_prefix": _resembling("img img_path img_path2 seg seg_map_path depth_map_path"),
    "filter_cfg": _resembling("filter_empty_gt min_size bbox_min_size"),
    "hparams": _resembling("pad_val interpolation"),
    "block": _resembling("pos_embed rope ffn attn norm_cfg mlp_ratio"),
    "arch": _resembling(
        """
        embed_dims depths num_layers num_heads feedforward_channels patch_sizes strides mlp_ratios sr_ratios
        window_sizes
        """
    ),
    "window": _resembling("size global_blocks mask_padding"),
    "num_classes": Positive | None,
    # Arguments that some hosts annotate too narrowly.
    **dict.fromkeys(("out_indices", "input_size", "in_channels"), int | list[int] | dict | None),
    "pad_val": Any,
    # The reader is another library, or the names are the user's own.
    "Albu.transforms": FREE,
    "metainfo": _resembling("classes palette base_classes novel_classes"),
    "GenerationMetric.features": component("model"),
}
# Of constructors that hand ``**kwargs`` on to another class: what it takes.
HANDED_ON: Mapping[str, Collection[str]] = {
    **dict.fromkeys(
        ("RandomResize", "RandomChoiceResize"),
        ("keep_ratio", "clip_object_border", "backend", "interpolation"),
    ),
    "EMAHook": ("momentum", "interval", "update_buffers", "gamma"),
}
