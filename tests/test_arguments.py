"""Arguments of every public constructor: what is wrong is one error with name, value and what is taken."""

import importlib
import inspect
import math
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import DefaultScope
from torch import nn

from mmvisionllama import registry
from mmvisionllama.arguments import AtLeast, Positive, Sides, Within, checked, takes
from mmvisionllama.errors import ArgumentError, UserError
from mmvisionllama.models.attention import RotaryAttention
from mmvisionllama.signatures import accepted_arguments
from tests.datasets.test_shard_sampler import Places
from tests.generation.networks import ARCH, DIFFUSION, SMALL
from tests.house import MODULES
from tests.models.test_backbones import PLAIN_ARCH, PYRAMID_ARCH, SMALL_FFN

REGISTRIES = [x for x in vars(registry).values() if isinstance(x, registry.LazyRegistry)]
# What a constructor needs beside the argument in question, small where it builds something.
NEEDED: dict[str, dict[str, Any]] = {
    "AdaLNBlock": dict(embed_dims=8, num_heads=2, ffn=SMALL_FFN),
    "AdaLNHead": dict(embed_dims=8, out_dims=4),
    "AS2DRoPE": dict(head_dims=8, num_heads=2),
    "AttentionPool": dict(embed_dims=8),
    "CachedLatents": dict(data_root="nowhere", lazy_init=True),
    "CenterCropADM": dict(crop_size=4),
    "ClassConditionalGenerator": dict(network=dict(type="DiT", **SMALL), **DIFFUSION),
    "ClassifierFeatures": dict(config="gone.py", checkpoint="gone.pth"),
    "ClsPredictionWriter": dict(folder="nowhere"),
    "DetPredictionWriter": dict(folder="nowhere", ann_file="gone.json"),
    "DigitScenesSegDataset": dict(lazy_init=True),
    "DiT": SMALL,
    "GELUFFN": dict(embed_dims=8),
    "GenerationMetric": dict(features=dict(type="InceptionFeatures", weights="gone.pth")),
    "KLAutoencoder": dict(path="./nowhere"),
    "LearnedPosEmbed": dict(embed_dims=8, train_hw=(2, 2)),
    "MAE": dict(
        backbone=dict(type="mmvisionllama.MAEVisionLLaMA", arch=PLAIN_ARCH, img_size=32, patch_size=8),
        neck=dict(
            type="MAEPretrainDecoder",
            num_patches=16,
            patch_size=8,
            embed_dim=32,
            decoder_embed_dim=8,
            decoder_depth=1,
            decoder_num_heads=1,
        ),
        head=dict(
            type="MAEPretrainHead", patch_size=8, loss=dict(type="PixelReconstructionLoss", criterion="L2")
        ),
    ),
    "LoadRandomResizedCrop": dict(scale=8),
    "MAEVisionLLaMA": dict(arch=PLAIN_ARCH, img_size=32, patch_size=8, ffn=SMALL_FFN),
    "MLflowTracker": dict(save_dir="nowhere"),
    "MixedRoPE2D": dict(head_dims=8, num_heads=2, depth=1),
    "Modulation": dict(embed_dims=8, count=2),
    "MuonWithAdamW": dict(params=[torch.zeros(2, 2)]),
    "NormalisedRoPE2D": dict(head_dims=8, num_heads=2),
    "NTKRoPE2D": dict(head_dims=8, num_heads=2),
    "PEG": dict(embed_dims=8, train_hw=(2, 2)),
    "PyramidVisionLLaMA": dict(arch=PYRAMID_ARCH, img_size=32, ffn=SMALL_FFN),
    "RoPE1D": dict(head_dims=8, num_heads=2),
    "RoPE2D": dict(head_dims=8, num_heads=2),
    "ReconstructionWriter": dict(folder="nowhere"),
    "RotaryAttention": dict(embed_dims=8, num_heads=2),
    "SampleNoise": dict(seed=0, indices=[0], shape=(1, 2, 2)),
    "SegPredictionWriter": dict(folder="nowhere"),
    "SameSizeBatchSampler": dict(sampler=DefaultSampler([0], shuffle=False), batch_size=1),
    "ShardSampler": dict(dataset=Places(4, 2), seed=0),
    "ShardedImages": dict(data_root="nowhere", lazy_init=True),
    "ShardedDataParallel": dict(module=nn.Linear(1, 1), units=["Linear"]),
    "SimpleFPN": dict(in_channels=8),
    "SinCosPosEmbed": dict(embed_dims=8, train_hw=(2, 2)),
    "SklearnDigits": dict(lazy_init=True),
    "SubsampledAttention": dict(embed_dims=8, num_heads=2, ratio=2),
    "SwiGLU": dict(embed_dims=8, multiple_of=8),
    "TimeEmbed": dict(embed_dims=8),
    "VisionLLaMA": dict(arch=PLAIN_ARCH, img_size=32, patch_size=8, ffn=SMALL_FFN),
    "VisionLLaMABlock": dict(
        embed_dims=8,
        attn=RotaryAttention(8, 2),
        ffn=SMALL_FFN,
        norm_cfg=dict(type="LN"),
        layer_scale=None,
        drop_path=0.0,
        drop_path_branches=("attn",),
    ),
    "WandbTracker": dict(save_dir="nowhere"),
    "WindowAttention": dict(embed_dims=8, num_heads=2, window_size=2),
}
# Made by our own code from what it has checked or built; no user gives their arguments.
INTERNAL = {"Conditioned", "KeylessBiasLinear", "NoiseSchedule", "Registers", "Stage"}
IN_PROCESS_GROUPS = {"ShardedDataParallel"}
VALUES = ((), [], {}, "x", None, True, 0, -1, -0.5, 2.5, math.nan, math.inf, (1, 2, 3), [{}], object())


def registered() -> Iterator[type]:
    for one in REGISTRIES:
        for name in one.names():
            if inspect.isclass(found := one.find(name)) and found.__module__.startswith(registry.SCOPE):
                yield found


def defined(*rooms: str) -> Iterator[type]:
    """Yield the public classes of some rooms that have a constructor of their own."""
    for module in MODULES:
        if module.partition(".")[0] in rooms:
            full = f"{registry.SCOPE}.{module}".removesuffix(".__init__")
            for name, found in vars(importlib.import_module(full)).items():
                own = inspect.isclass(found) and found.__module__ == full and "__init__" in vars(found)
                if own and not name.startswith("_"):
                    yield found


def arguments_of(cls: type) -> dict[str, Any]:
    """Return the arguments that the constructors of this package in a class' line take themselves."""
    found: dict[str, Any] = {}
    for one in cls.__mro__:
        if not one.__module__.startswith(registry.SCOPE) or "__init__" not in vars(one):
            continue
        kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        for name, parameter in list(inspect.signature(one.__init__).parameters.items())[1:]:
            if parameter.kind not in kinds:
                found.setdefault(name, typing.get_type_hints(one.__init__, include_extras=True)[name])
        if not any(x.kind is kinds[0] for x in inspect.signature(one.__init__).parameters.values()):
            break
    return found


CLASSES = {x.__name__: x for x in [*registered(), *defined("models", "generation")]}
CASES = [
    (name, argument)
    for name, cls in sorted(CLASSES.items())
    if name not in INTERNAL
    for argument in arguments_of(cls)
    if argument in accepted_arguments(cls).names  # a child may have fixed it
]


@pytest.fixture(autouse=True)
def _cheap() -> Iterator[None]:
    # Nothing is computed; parts of mmpretrain's MAE are named without its scope.
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmpretrain"):
        yield


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_a_wrong_value_is_one_error_with_argument_value_and_what_is_taken(name: str, argument: str) -> None:
    cls, refused = CLASSES[name], 0
    annotation = arguments_of(cls)[argument]
    for value in VALUES:
        if name in IN_PROCESS_GROUPS and takes(annotation, value):
            continue
        try:
            cls(**{**NEEDED.get(name, {}), argument: value})
        except UserError as error:
            refused += 1
            if not takes(annotation, value):
                assert isinstance(error, ArgumentError), error
                assert re.search(rf"\b{argument} takes .*, got {re.escape(repr(value))}$", str(error)), error
        else:
            assert takes(annotation, value), f"{argument}={value!r} is accepted"
    assert refused


def test_many_constructors_are_looked_at() -> None:
    assert len({name for name, _ in CASES}) > 50
    assert len(CASES) > 150


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("VisionLLaMA", dict(out_indices=[]), r"out_indices takes .* and at least one, got \[\]"),
        ("VisionLLaMA", dict(out_indices=[0, 0]), r"out_indices \[0, 0\]"),
        ("VisionLLaMA", dict(arch=PLAIN_ARCH | dict(num_heads=0)), "arch.num_heads takes .*, got 0"),
        ("VisionLLaMA", dict(arch=PLAIN_ARCH | dict(embed_dims="32")), "arch.embed_dims takes .*, got '32'"),
        ("VisionLLaMA", dict(attn=dict(num_kv_heads=0)), "num_kv_heads takes .*, got 0"),
        ("VisionLLaMA", dict(attn=dict(bias=True)), "attn does not take 'bias'"),
        ("VisionLLaMA", dict(norm_cfg=dict(type="LN", eps="small")), "LN: eps takes a number, got 'small'"),
        ("VisionLLaMA", dict(ffn=dict(type="SwiGLU", hidden_dims=0)), "hidden_dims takes .*, got 0"),
        (
            "VisionLLaMA",
            dict(rope=dict(type="RoPE2D", base=-1)),
            r"base takes a number in \(0, inf\), got -1",
        ),
        ("VisionLLaMA", dict(out_type="raw", window=dict(size=0)), "window.size takes .*, got 0"),
        ("VisionLLaMA", dict(out_type="raw", window=dict()), "window.size takes .*, got None"),
        (
            "VisionLLaMA",
            dict(out_type="raw", window=dict(size=2, mask_padding=1)),
            "window.mask_padding takes True or False, got 1",
        ),
        ("PyramidVisionLLaMA", dict(window=dict(size=(7, 7))), r"window.size takes .*, got \(7, 7\)"),
        (
            "PyramidVisionLLaMA",
            dict(arch=PYRAMID_ARCH | dict(depths=(2, 2, 2))),
            r"arch.depths takes a list of 4 items, .*, got \(2, 2, 2\)",
        ),
    ],
)
def test_values_inside_of_dicts_are_named_by_their_path(name: str, changes: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        CLASSES[name](**NEEDED[name] | changes)


@pytest.mark.parametrize("name", ["VisionLLaMA", "PyramidVisionLLaMA", "MAEVisionLLaMA"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 4, 32, 32), (32, 32), (1, 1, 3, 32, 32)])
def test_images_without_a_batch_or_of_other_channels_are_an_error(name: str, shape: tuple) -> None:
    model = CLASSES[name](**NEEDED[name])
    with pytest.raises(
        ArgumentError, match=rf"img takes images \(B, 3, height, width\), got {re.escape(str(shape))}"
    ):
        model(torch.zeros(shape))


def test_inputs_of_a_diffusion_transformer_that_do_not_go_together_are_an_error() -> None:
    network = CLASSES["DiT"](**SMALL)
    x, time_B, label_B = torch.zeros(2, 1, 8, 8), torch.zeros(2), torch.zeros(2, dtype=torch.long)
    for wrong in ((x[0], time_B, label_B), (x, time_B[:1], label_B), (x, time_B, label_B[:1])):
        with pytest.raises(
            ArgumentError, match=r"x takes \(B, 1, height, width\) with B times and B labels, got"
        ):
            network(*wrong)


@pytest.mark.parametrize(
    ("annotation", "right", "wrong"),
    [
        (Positive, [1, 7], [0, -1, 1.0, True, "1", None, (1,)]),
        (float, [1, 0.5, -2], [math.nan, math.inf, True, "1"]),
        (bool, [True, False], [0, 1, "yes", None]),
        (Annotated[float, Within("[0, 1)")], [0, 0.5], [1, -0.1, math.nan]),
        (Annotated[int, AtLeast(-1)], [-1, 3], [-2, 0.5]),
        (Sides, [3, (3, 4), [3, 4]], [0, (3,), (3, 4, 5), (3, 0), "34"]),
        (Literal["a", 1] | None, ["a", 1, None], ["b", True, 1.0]),
        (Sequence[str], [["a"], ("a", "b"), []], ["ab", [1], 3, {"a": 1}]),
        (dict[str, int], [{}, {"a": 1}], [[], {"a": "b"}, {1: 1}]),
        (type[int] | Callable, [int, len], [3, "int"]),
        (str | Path, ["a", Path("a")], [3, None]),
        (Any, [1, None, "a"], []),
    ],
)
def test_a_type_takes_values_to_the_letter(annotation: Any, right: list, wrong: list) -> None:
    assert [x for x in right if not takes(annotation, x)] == []
    assert [x for x in wrong if takes(annotation, x)] == []


def test_positional_arguments_are_checked_and_what_goes_on_is_left_to_others() -> None:
    class Both:
        @checked
        def __init__(self, first: Positive, *args: Any, key: bool = True, **kwargs: Any) -> None:
            self.given = (first, args, key, kwargs)

    assert Both(1, 2, 3, key=False, other=0).given == (1, (2, 3), False, {"other": 0})
    for wrong in (lambda: Both(0), lambda: Both(first=0)):
        with pytest.raises(ArgumentError, match=r"^Both: first takes a whole number of at least 1, got 0$"):
            wrong()


def test_a_generator_refuses_parts_that_are_no_components() -> None:
    with pytest.raises(ArgumentError, match=r"arch.embed_dims takes .*, got 0"):
        CLASSES["DiT"](**SMALL | dict(arch=ARCH | dict(embed_dims=0)))
