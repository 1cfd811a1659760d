"""Every shipped config starts from the checkpoint that its header names."""

import re
from pathlib import Path
from typing import Any

import pytest

from mmvisionllama.checks import checkpoint
from mmvisionllama.training.checkpoint_content import plain_config
from tests.configs.shipped import CONFIGS, NAMES, ROOT, build, header, load


def start_of(name: str) -> str | None:
    """Return the config that makes the checkpoint of a header's load_from, None if it names none."""
    found = re.search(r"load_from=(\S+)", header(name))
    if found is None:
        return None
    if "/" in found[1]:
        stem = Path(found[1]).parent.name
    else:
        released = "_released" if name.endswith("_released.py") else ""
        model = re.split("_upernet|_maskrcnn", Path(name).stem)[0]
        stem = f"{model}_mae_in1k_800e" if found[1] == "MAE.pth" else f"{model}_in1k"
        stem += released
    (path,) = CONFIGS.glob(f"*/{stem}.py")
    return str(path.relative_to(ROOT))


STARTS = {name: start for name in NAMES if (start := start_of(name))}


def test_most_configs_beyond_pretraining_start_from_another() -> None:
    assert len(STARTS) > 50


@pytest.mark.parametrize("name", STARTS)
def test_a_config_starts_from_what_its_header_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, cfg = load(STARTS[name]), load(name)
    meta = dict(model=plain_config(before.model), cfg=before.pretty_text)
    saved: dict[str, Any] = dict(meta=meta, state_dict=dict(build(before).state_dict()))
    monkeypatch.setattr(checkpoint, "read_checkpoint", lambda *_, **__: saved)
    for note in checkpoint.check_start(build(cfg), "before.pth", cfg):
        assert "loads in part" in note
