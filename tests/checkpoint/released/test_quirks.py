"""The document says all that converted models do otherwise than the paper, and nothing else."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from mmvisionllama.checkpoint.released import FAMILIES, QUIRKS
from tests.checkpoint.released.test_convert import EVERY, converted
from tests.configs.shipped import ROOT
from tests.models.released import load_case

DOCUMENT = (ROOT / "docs/released_weights.md").read_text()
# What a converted config says besides: sizes, what the checkpoint is for, parts around the backbone.
PLAIN_FACTS = {
    "type",
    "arch",
    "attn",
    "block",
    "ffn",
    "img_size",
    "in_channels",
    "input_size",
    "label_dropout",
    "layer_scale",
    "learn_sigma",
    "num_classes",
    "out_indices",
    "out_type",
    "patch_size",
    "rope",
    "window",
    "with_cls_token",
    "window.size",
    "window.global_blocks",
    "ffn.type",
    "ffn.bias",
    "ffn.hidden_dims",
    "ffn.approximate",
    "rope.type",
    "guidance",
    "guidance.scale",
}


def options(value: Any, path: str = "") -> Iterator[str]:
    """Give the paths of all options of a config, e.g. ``rope.key_positions``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"{path}{key}"
            yield from options(inner, f"{path}{key}.")


def test_the_table_has_every_quirk_and_no_other() -> None:
    section = DOCUMENT.partition("## Quirks of the release")[2]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{written(x.option)}` | {', '.join(x.families)} | {x.line} |" for x in QUIRKS]


def written(option: Mapping[str, Any]) -> str:
    """Write an option as the document does: ``rope=dict(type="RoPE2D")``."""
    values = {key: f"dict({written(x)})" if isinstance(x, Mapping) else None for key, x in option.items()}
    return ", ".join(f"{key}={text or constant(option[key])}" for key, text in values.items())


def constant(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value).replace("'", '"')


def test_every_option_that_conversion_sets_is_a_fact_of_the_checkpoint_or_a_quirk_of_the_table() -> None:
    quirks = {path for quirk in QUIRKS for path in options(quirk.option)}
    for name, family in EVERY:
        result = converted(name, family)
        around = [result.model.get("backbone"), result.model.get("network")]
        model = next((part for part in around if part), result.model)
        given = set(options({key: x for key, x in model.items() if key not in ("attn", "block", "arch")}))
        assert given - PLAIN_FACTS <= quirks, name


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.line[:40])
def test_every_quirk_is_switched_on_for_weights_of_its_families(quirk: Any) -> None:
    models = [
        result.model.get("backbone") or result.model
        for result in (converted(*entry) for entry in EVERY)
        if result.family in quirk.families
    ]
    models += [
        load_case(name).converted(**known).model
        for name, family, known in (
            ("mmp_avg_norm", "mae_classifier", {}),
            ("mmp_featmap_norm", "mae_dense", {}),
            ("plain_cls_autoscale", "plain", dict(rope=dict(type="AS2DRoPE"), head=None)),
            ("dense_plain", "plain_dense", dict(rope=dict(type="AS2DRoPE"))),
        )
        if family in quirk.families
    ]
    models += [x["network"] for x in models if "network" in x]
    assert any(contains(model, quirk.option) for model in models)


def contains(model: Any, option: Any) -> bool:
    if isinstance(option, Mapping):
        return isinstance(model, Mapping) and all(
            key in model and contains(model[key], x) for key, x in option.items()
        )
    return model == option


def test_what_is_left_out_is_documented_with_its_reason() -> None:
    text = " ".join(DOCUMENT.split())
    for name, family in FAMILIES.items():
        assert f"| `{name}` | {family.about} |" in DOCUMENT
        for unused, reason in family.unused.items():
            assert f"`{unused}`: {reason}" in text
