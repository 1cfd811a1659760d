"""A config file is a program: what Python and mmengine allow in one is not refused."""

from pathlib import Path
from typing import Any

import pytest

from mmvisionllama.config import load_config

BASE = """\
steps = 3
unchecked = ["randomness.first"]
randomness = dict(seed=steps, first=1)
model = dict(type="mmseg.EncoderDecoder", backbone=dict(type="mmvisionllama.VisionLLaMA"))
"""


def load(folder: Path, text: str, options: dict[str, Any] | None = None) -> Any:
    (folder / "base.py").write_text(BASE)
    (folder / "c.py").write_text(text)
    return load_config(folder / "c.py", options)


@pytest.mark.parametrize(
    "text",
    {
        "imported class": "from pathlib import Path\nwork_dir = str(Path('a') / 'b')\n",
        "imported class beside a base": "_base_ = 'base.py'\nfrom math import inf\nwork_dir = 'a'\n",
        "path object": "from pathlib import Path\nwork_dir = Path('a') / 'b'\n",
        "imported module": "import math, os.path as p\nrandomness = dict(seed=math.floor(2.5))\n",
        "unused import": "from functools import partial, reduce\nimport re\n",
        "imported constant": "from math import pi\nrandomness = dict(seed=1)\n",
        "function": "def half(x):\n    y = x // 2\n    return y\nrandomness = dict(seed=half(4))\n",
        "lambda": "half = lambda x: x // 2\nrandomness = dict(seed=half(4))\n",
        "class for itself": "class Sizes:\n    large = 4\nrandomness = dict(seed=Sizes.large)\n",
        "loop": "seeds = []\nfor i in range(3):\n    seeds.append(2)\nrandomness = dict(seed=seeds[0])\n",
        "loop over pairs": "t = 0\nfor a, b in [(1, 2)]:\n    t += a\nrandomness = dict(seed=t)\n",
        "comprehension": "ends = [x for x in range(3)]\nrandomness = dict(seed=ends[1])\n",
        "del": "a = 3\nrandomness = dict(seed=a)\ndel a\n",
        "condition": "import os\nif os.name == 'posix':\n    number = 3\nrandomness = dict(seed=number)\n",
        "try": "try:\n    number = 1 / 0\nexcept:\n    number = 2\nrandomness = dict(seed=number)\n",
        "f-string": "name = 'a'\nwork_dir = f'runs/{name}'\n",
        "format": "name = 'a'\nwork_dir = 'runs/{}'.format(name)\n",
        "annotated": "number: int = 3\nrandomness: dict = dict(seed=number)\n",
        "unpacked": "a, (b, *c) = 1, (2, 3)\nrandomness = dict(seed=a + b + c[0])\n",
        "changed": "randomness = dict()\nrandomness['seed'] = 3\nrandomness.update(deterministic=True)\n",
        "private": "_unused = 1\n__all__ = []\n",
        "starred": "_hooks = [dict(type='EMAHook')]\ncustom_hooks = [*_hooks]\n",
        "class": "from torch.optim import SGD\noptim_wrapper = dict(optimizer=dict(type=SGD, lr=1))\n",
        "base of another package": "_base_ = 'mmpretrain::_base_/default_runtime.py'\n",
        "variable of a base": "_base_ = 'base.py'\nrandomness = dict(seed={{_base_.steps}})\n",
        "deleted": "_base_ = 'base.py'\nrandomness = dict(_delete_=True, seed=2)\n",
    }.items(),
    ids=lambda x: x[0],
)
def test_what_python_allows_in_a_config_is_not_refused(tmp_path: Path, text: tuple[str, str]) -> None:
    cfg = load(tmp_path, text[1])
    cfg.dump(tmp_path / "dumped.py")
    assert load_config(tmp_path / "dumped.py", {"work_dir": "x"}).to_dict() == {
        **cfg.to_dict(),
        "work_dir": "x",
    }


def test_config_that_imports_its_base_is_read(tmp_path: Path) -> None:
    text = (
        "from mmengine.config import read_base\nfrom torch.optim import AdamW\n"
        "with read_base():\n    from .base import *\n"
        "optim_wrapper = dict(optimizer=dict(type=AdamW, lr=1.0))\nrandomness.update(seed=steps)\n"
    )
    cfg = load(tmp_path, text)
    assert cfg.randomness.seed == 3
    assert cfg.optim_wrapper.optimizer.type == "torch.optim.adamw.AdamW"
    assert set(cfg) == {"unchecked", "randomness", "model", "optim_wrapper", "work_dir"}


def test_class_as_type_is_checked_like_its_name(tmp_path: Path) -> None:
    text = "from torch.optim import AdamW\noptim_wrapper = dict(optimizer=dict(type=AdamW, lrr=1.0))\n"
    with pytest.raises(ValueError, match="AdamW knows no 'lrr'; did you mean 'lr'"):
        load(tmp_path, text)


def test_unchecked_of_a_child_adds_to_that_of_its_base(tmp_path: Path) -> None:
    text = "_base_ = 'base.py'\nunchecked = ['randomness.second']\nrandomness = dict(second=2)\n"
    assert load(tmp_path, text).unchecked == ["randomness.second", "randomness.first"]


@pytest.mark.parametrize("given", ["randomness.second", ["randomness.second"]])
def test_unchecked_as_an_option_adds_to_that_of_the_files(tmp_path: Path, given: Any) -> None:
    options = {"unchecked": given, "randomness.second": 2}
    cfg = load(tmp_path, "_base_ = 'base.py'\n", options)
    assert cfg.unchecked == ["randomness.first", "randomness.second"]


def test_accepted_differences_as_an_option_add_to_those_of_the_files(tmp_path: Path) -> None:
    text = "accepted_differences = ['model.first']\n"
    cfg = load(tmp_path, text, {"accepted_differences": ["model.second"]})
    assert cfg.accepted_differences == ["model.first", "model.second"]


def test_unchecked_of_a_base_may_name_what_a_child_removes(tmp_path: Path) -> None:
    text = "_base_ = 'base.py'\nrandomness = dict(_delete_=True, seed=2)\n"
    assert load(tmp_path, text).randomness == dict(seed=2)


@pytest.mark.parametrize("last", [True, False])
def test_delete_mark_among_options_acts_first(tmp_path: Path, last: bool) -> None:
    mark, seed = {"randomness._delete_": True}, {"randomness.seed": 5}
    cfg = load(tmp_path, "_base_ = 'base.py'\n", {**seed, **mark} if last else {**mark, **seed})
    assert cfg.randomness == dict(seed=5)


def test_option_may_put_a_dict_where_nothing_or_a_list_was(tmp_path: Path) -> None:
    initial = {"type": "Pretrained", "checkpoint": "x.pth"}
    text = "_base_ = 'base.py'\nmodel = dict(init_cfg=[dict(type='TruncNormal', layer='Linear')])\n"
    cfg = load(tmp_path, text, {"model.init_cfg": initial, "model.backbone.init_cfg": initial})
    assert cfg.model.init_cfg == cfg.model.backbone.init_cfg == initial


def test_option_reaches_a_key_with_dots_inside(tmp_path: Path) -> None:
    text = (
        "optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1.0),\n"
        "    paramwise_cfg=dict(custom_keys={'layers.0': dict(lr_mult=2.0)}))\n"
    )
    path = "optim_wrapper.paramwise_cfg.custom_keys.layers.0.lr_mult"
    keys = load(tmp_path, text, {path: 3.0}).optim_wrapper.paramwise_cfg.custom_keys
    assert keys == {"layers.0": dict(lr_mult=3.0)}


def test_option_for_one_of_two_equal_sections_leaves_the_other(tmp_path: Path) -> None:
    text = "val_dataloader = dict(batch_size=1, num_workers=0)\ntest_dataloader = val_dataloader\n"
    cfg = load(tmp_path, text, {"val_dataloader.batch_size": 2})
    assert (cfg.val_dataloader.batch_size, cfg.test_dataloader.batch_size) == (2, 1)
