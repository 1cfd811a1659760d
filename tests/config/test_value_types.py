"""Values have types: what is wrong is said with the key, what it got and what it takes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

import pytest
from torch import Tensor

from mmvisionllama.arguments import Positive
from mmvisionllama.config import load_config
from mmvisionllama.config.value_types import type_of, wrong_type
from mmvisionllama.errors import ConfigError
from mmvisionllama.signatures import Argument

DEMO = "configs/toy/visionllama_tiny_upernet_digitscenes.py"
WRONG = [
    ("optim_wrapper.optimizer.lr", [1, 5e-4], "a number of at least 0"),  # 1,5e-4 on a command line
    ("optim_wrapper.optimizer.lr", -1.0, "a number of at least 0"),
    ("optim_wrapper.optimizer.weight_decay", "small", "a number of at least 0 or None"),
    ("optim_wrapper.optimizer", "AdamW", "a dict or None"),
    ("optim_wrapper", [1], "a dict or None"),
    ("optim_wrapper.clip_grad.max_norm", "one", "a number of at least 0"),
    ("train_cfg.max_iters", "six", "a whole number of at least 1"),
    ("train_cfg.max_iters", -5, "a whole number of at least 1"),
    ("train_cfg.val_interval", [1], "a whole number of at least 1"),
    ("train_cfg.val_interval", -1, "a whole number of at least 1"),
    ("train_cfg", "long", "a dict or None"),
    ("train_dataloader.batch_size", 2.5, "a whole number of at least 1 or None"),
    ("train_dataloader.num_workers", -1, "a whole number of at least 0"),
    ("train_dataloader.sampler.shuffle", "yes", "True or False"),
    ("train_dataloader.dataset.data_prefix", "img", "a dict"),
    ("train_dataloader.dataset.pipeline.1", 3, "a dict or a list or a text or None"),
    ("model", "UPerNet", "a dict or None"),
    ("model.decode_head", 3, "a dict"),
    ("model.decode_head.num_classes", "three", "a whole number of at least 1 or None"),
    ("model.backbone.drop_path_rate", "low", "a number in [0, 1)"),
    ("param_scheduler.0.end", "late", "a whole number"),
    ("custom_hooks", {"type": "EMAHook"}, "a list with a dict as each item or None"),
    ("default_hooks.checkpoint.interval", "often", "a whole number"),
    ("randomness.seed", "a", "a whole number of at least 0 or None"),
    ("auto_scale_lr.base_batch_size", 0, "a whole number of at least 1 or None"),
    ("resume", "maybe", "True or False"),
    ("compile", "yes", "a dict or True or False or None"),
    ("work_dir", 3, "a text"),
    ("unchecked", 3, "a list with a text as each item"),
]


@pytest.mark.parametrize(("path", "value", "takes"), WRONG)
def test_wrong_value_is_an_error_with_what_it_got_and_what_is_taken(
    path: str, value: Any, takes: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(DEMO, {path: value})
    (problem,) = caught.value.problems
    got = [value] if path == "unchecked" else value
    assert str(problem) == f"{path}: takes {takes}, got {got!r}"


def test_type_that_is_no_name_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"model\.backbone\.type: a type is a name or a class, got 3"):
        load_config(DEMO, {"model.backbone.type": 3})


def test_wrong_value_in_a_file_is_an_error_too(tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text("train_cfg = dict(by_epoch=False, max_iters='six')\n")
    with pytest.raises(ConfigError, match=r"train_cfg\.max_iters: takes a whole number"):
        load_config(tmp_path / "c.py")


def test_length_may_be_written_with_an_exponent() -> None:
    assert load_config(DEMO, {"train_cfg.max_iters": 1e4}).train_cfg.max_iters == 10000


@pytest.mark.parametrize(
    ("annotation", "right", "wrong"),
    [
        (float, [1, 0.5], ["1", [1.0], {}, None, True]),
        (bool, [True, False, 0, 1], ["true", 2, []]),
        (str, ["a"], [1, ["a"]]),
        (Path, ["a", Path("a")], [1]),
        (dict, [{}, [{}], None], ["a", 1, [1]]),
        (tuple[int, int], [(1, 2), [1, 2]], [1, ("a", 2), "ab"]),
        (Sequence[str], [["a"], []], ["a", [1], {}]),
        (Optional[int], [None, 3], ["3", []]),  # noqa: UP045
        (Union[float, Tensor], [0.5], [[0.5], "a"]),  # noqa: UP007
        (int | Sequence[int], [1, (1, 2)], ["1", {}]),
        (Literal["whole", "slide"], ["whole"], ["slid", 1]),
        (Positive, [1], [0, 1.5, "1", True]),
        (Tensor, [1, "a", [1]], []),  # nothing is known about what builds it
        (Any, [1, "a", {}], []),
    ],
)
def test_plain_annotations_decide(annotation: Any, right: list[Any], wrong: list[Any]) -> None:
    assert [x for x in right if wrong_type(x, annotation)] == []
    assert [x for x in wrong if not wrong_type(x, annotation)] == []


@pytest.mark.parametrize(
    ("argument", "right", "wrong"),
    [
        (Argument(int, None), [1, None], ["a"]),
        (Argument(int, "auto"), [1, "auto", []], []),  # the default shows that the annotation is wrong
        (Argument(default=0.1), [1, [0.1]], ["a", {}]),
        (Argument(default={"type": "BN"}), [{}, None], ["BN"]),
        (Argument(), [1, "a", {}], []),
    ],
)
def test_defaults_complete_annotations(argument: Argument, right: list[Any], wrong: list[Any]) -> None:
    assert [x for x in right if wrong_type(x, type_of(argument))] == []
    assert [x for x in wrong if not wrong_type(x, type_of(argument))] == []
