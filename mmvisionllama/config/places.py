"""What is allowed where no constructor tells: the places that the Runner or a builder reads."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import torch
from mmengine.dist import init_dist
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings
from mmengine.utils.dl_utils import set_multi_processing
from torch.utils.data import DataLoader

from mmvisionllama.names import nearest
from mmvisionllama.signatures import accepted_arguments

from .errors import Problem
from .resolving import UnknownType, resolve
from .sources import keys_read, package_keys_read, packages_of
from .walking import Checker, Rule, Spot


def typed(kind: str, default: str | Callable | None = None, also: Collection[str] = ()) -> Rule:
    """Return the rule of a place that holds a component from the root registry ``kind``."""

    def rule(checker: Checker, value: dict, spot: Spot) -> None:
        checker.component(value, replace(spot, kind=kind), default, also)

    return rule


def keys(allowed: Collection[str], **rules: Rule) -> Rule:
    """Return the rule of a dictionary with a fixed set of names."""

    def rule(checker: Checker, value: dict, spot: Spot) -> None:
        checker.keys(value, spot, {*allowed, *rules}, rules)

    return rule


def kind_for_components(kind: str, also: Collection[str] = ()) -> Rule:
    """Return the rule that only says where the types below a place are looked up."""

    def rule(checker: Checker, value: dict, spot: Spot) -> None:
        spot = replace(spot, kind=kind)
        checker.component(value, spot, also=also) if "type" in value else checker.mentioned(value, spot)

    return rule


def _arguments(function: Callable, *given: str) -> frozenset[str]:
    """Return the arguments of ``function`` that a config may set; the caller passes those ``given``."""
    return accepted_arguments(function).names - {"self", *given}


def _train_loop(checker: Checker, value: dict, spot: Spot) -> None:
    default = None
    if "by_epoch" in value:
        default = "EpochBasedTrainLoop" if value["by_epoch"] else "IterBasedTrainLoop"
    checker.component(value, replace(spot, kind="loop"), default, {"by_epoch"})


def _evaluator(checker: Checker, value: dict, spot: Spot) -> None:
    kind, default = ("evaluator", "Evaluator") if "metrics" in value else ("metric", None)
    checker.component(value, replace(spot, kind=kind), default)


def _optim_wrapper(checker: Checker, value: dict, spot: Spot) -> None:
    if "constructor" in value and "optimizer" not in value:  # one wrapper per network, under free names
        for key, item in value.items():
            checker.value(item, spot.below(key), _optim_wrapper)
        return
    wrapper = {key: item for key, item in value.items() if key != "paramwise_cfg"}
    spot = replace(spot, kind="optim_wrapper")
    checker.component(wrapper, spot, "OptimWrapper", {"constructor", "paramwise_cfg"})
    name = value.get("constructor", "DefaultOptimWrapperConstructor")
    try:
        constructor = resolve(name, "optimizer wrapper constructor", spot.scopes)
    except UnknownType as error:
        path = spot.below("constructor").path
        checker.problems.append(Problem(path, str(error), error.nearest))
        return
    rule = keys(keys_read(constructor, "paramwise_cfg"), custom_keys=_custom_keys(value, spot))
    checker.value(value.get("paramwise_cfg"), spot.below("paramwise_cfg"), rule)


def _custom_keys(wrapper: dict, spot: Spot) -> Rule:
    """A group takes the two factors, any option of the optimiser, and what is read from such groups."""
    options = {"lr_mult", "decay_mult"}
    for scope in spot.scopes:
        options |= package_keys_read(scope, r"\w*group")
    try:
        optimizer = resolve((wrapper.get("optimizer") or {}).get("type"), "optimizer", spot.scopes)
        options |= _arguments(optimizer, "params")
    except UnknownType:
        pass  # already reported for optim_wrapper.optimizer

    def rule(checker: Checker, value: dict, spot: Spot) -> None:
        for name, group in value.items():  # the names are parts of parameter names
            checker.value(group, spot.below(name), keys(options))

    return rule


_HOOKS = {
    "timer": "IterTimerHook",
    "logger": "LoggerHook",
    "param_scheduler": "ParamSchedulerHook",
    "checkpoint": "CheckpointHook",
    "sampler_seed": "DistSamplerSeedHook",
    "runtime_info": "RuntimeInfoHook",
    "visualization": None,
}
_HOOK = typed("hook", also=("priority",))


def _default_hooks(checker: Checker, value: dict, spot: Spot) -> None:
    """Names are free, except one that looks like a known one or repeats the hook of a known one."""
    for name, hook in value.items():
        if name not in _HOOKS:
            type_ = hook.get("type") if isinstance(hook, dict) else None
            meant = next((known for known, default in _HOOKS.items() if default and default == type_), None)
            meant = meant or nearest(name, _HOOKS, cutoff=0.75)
            if meant or type_ is None:
                problem = Problem(spot.below(name).path, "no default hook of this name", meant, tuple(_HOOKS))
                checker.problems.append(problem)
                continue
        checker.value(hook, spot.below(name), typed("hook", _HOOKS.get(name), ("priority",)))


def _data_prefix(checker: Checker, value: dict, spot: Spot) -> None:
    if spot.owner:
        checker.keys(value, spot, _declared(spot.owner, "data_prefix") | keys_read(spot.owner, "data_prefix"))


def _declared(owner: Callable, argument: str) -> frozenset[str]:
    """Return the keys of the dictionary that an argument of ``owner`` or its parents has as default."""
    declared: set[str] = set()
    for cls in inspect.getmro(owner) if inspect.isclass(owner) else (owner,):
        parameter = inspect.signature(cls).parameters.get(argument)
        if parameter is not None and isinstance(parameter.default, dict):
            declared |= parameter.default.keys()
    return frozenset(declared)


def _operator(*taken: str) -> Rule:
    """Return the rule of a layer or function of mmcv.ops; ``taken`` are keys that its callers keep."""

    def rule(checker: Checker, value: dict, spot: Spot) -> None:
        type_ = value.get("type")
        type_ = f"mmcv.ops.{type_}" if isinstance(type_, str) else type_
        checker.component({**value, "type": type_}, spot, also=taken)

    return rule


def _model_cfg(checker: Checker, value: dict, spot: Spot) -> None:
    """Training and test options of a model: a name must be read from such a dictionary in its package.

    They are handed down to heads, so the model's own source does not tell.
    """
    if spot.owner is None:
        return
    packages = packages_of(spot.owner) & {"mmseg", "mmdet"}
    if not packages:
        checker.mentioned(value, spot)
        return
    known = frozenset().union(*(package_keys_read(x, spot.key) for x in packages))
    passed_on = frozenset().union(*(package_keys_read(x, r"\w*(?:cfg|config)") for x in packages))
    unknown = [key for key in value if key not in known | passed_on]
    checker.unknown(unknown, spot, spot.path, known or passed_on)
    for key, item in value.items():
        if key not in unknown:
            plain = isinstance(item, dict) and "type" not in item and key not in BY_NAME
            checker.value(item, spot.below(key), _model_cfg if plain else None)


def _override(checker: Checker, value: dict, spot: Spot) -> None:
    """An override without a type repeats that of the initialiser around it."""
    checker.component(value, spot, spot.owner, {"name"})


def _data_preprocessor(checker: Checker, value: dict, spot: Spot) -> None:
    """Only mmpretrain's models say which one is meant where the config does not."""
    default = "ClsDataPreprocessor" if "mmpretrain" in spot.scopes else None
    checker.component(value, replace(spot, kind="model"), default)


def _free(checker: Checker, value: dict, spot: Spot) -> None:
    """A dictionary whose keys are the user's own."""


_MODEL = typed("model")
_DATALOADER = keys(
    _arguments(DataLoader) | {"num_batch_per_epoch", "disable_subprocess_warning"},
    dataset=typed("dataset"),
    sampler=typed("data sampler"),
    batch_sampler=typed("data sampler"),
    collate_fn=typed("function"),
    worker_init_fn=typed("function"),
)

ROOT: Mapping[str, Rule | None] = {
    **dict.fromkeys(_arguments(Runner, "cfg")),
    "model": _MODEL,
    "train_dataloader": _DATALOADER,
    "val_dataloader": _DATALOADER,
    "test_dataloader": _DATALOADER,
    "train_cfg": _train_loop,
    "val_cfg": typed("loop", "ValLoop"),
    "test_cfg": typed("loop", "TestLoop"),
    "val_evaluator": _evaluator,
    "test_evaluator": _evaluator,
    "optim_wrapper": _optim_wrapper,
    "param_scheduler": typed("parameter scheduler", also=("convert_to_iter_based", "epoch_length")),
    "auto_scale_lr": keys(("enable", "base_batch_size")),
    "default_hooks": _default_hooks,
    "custom_hooks": _HOOK,
    "visualizer": typed("visualizer", "Visualizer"),
    "log_processor": typed("log_processor", "LogProcessor"),
    "randomness": keys(_arguments(Runner.set_randomness)),
    "env_cfg": keys(
        ("cudnn_benchmark", "resource_limit"),
        mp_cfg=keys(_arguments(set_multi_processing, "distributed")),
        dist_cfg=keys(_arguments(init_dist, "launcher") | _arguments(torch.distributed.init_process_group)),
    ),
    # read from the config by the Runner or by the tools, though no argument of the Runner
    "runner_type": None,
    "custom_imports": keys(_arguments(import_modules_from_strings)),
    "model_wrapper_cfg": typed("model_wrapper"),
    "find_unused_parameters": None,
    "sync_bn": None,
    "compile": keys(_arguments(torch.compile, "model")),
    "activation_checkpointing": None,
    "efficient_conv_bn_eval": None,
    "strategy": typed("strategy"),
    "tta_model": _MODEL,
    "tta_pipeline": typed("transform"),
    "unchecked": None,
}

BY_NAME: Mapping[str, Rule] = {
    "pipeline": kind_for_components("transform"),
    "switch_pipeline": kind_for_components("transform"),
    "dataset": kind_for_components("dataset"),
    "datasets": kind_for_components("dataset"),
    "metrics": kind_for_components("metric"),
    "optimizer": kind_for_components("optimizer"),
    "vis_backends": kind_for_components("vis_backend"),
    "init_cfg": kind_for_components("weight initializer", also=("override",)),
    "norm_cfg": kind_for_components("model", also=("requires_grad",)),
    "augments": kind_for_components("batch augment"),
    "postprocess_tracklet_cfg": kind_for_components("task util"),
    "data_preprocessor": _data_preprocessor,
    "train_cfg": _model_cfg,
    "test_cfg": _model_cfg,
    "nms": _operator("class_agnostic", "split_thr", "max_num"),
    "dqs_cfg": _operator("class_agnostic", "split_thr", "max_num"),
    "roi_layer": _operator(),
    "policies": kind_for_components("transform", also=("magnitude_key", "magnitude_range")),
    "override": _override,
    "data_prefix": _data_prefix,
    "clip_grad": keys(
        {"type"}
        | _arguments(torch.nn.utils.clip_grad_norm_, "parameters")
        | _arguments(torch.nn.utils.clip_grad_value_, "parameters")
    ),
    # open ends: the reader is another library, or the names are the user's own
    "metainfo": _free,
    "Albu.transforms": _free,
    "Albu.bbox_params": _free,
    "Detectron2Wrapper.detector": _free,
    "DeepSpeedStrategy.fp16": _free,
    "DeepSpeedStrategy.zero_optimization": _free,
    "VPD.diffusion_cfg": _free,
    "GenerationMetric.features": kind_for_components("model"),
    "LoRAModel.targets": keys(("type", "alpha", "rank", "drop_rate")),
}
