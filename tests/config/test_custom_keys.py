import pytest

from mmvisionllama.config.custom_keys import matching_keys, unmatched_keys

NAMES = ["backbone.cls_token", "backbone.layers.0.attn.qkv.weight", "backbone.layers.0.norm1.weight", "scale"]


def test_a_key_is_found_anywhere_in_a_name_and_a_dot_before_the_first_module_too() -> None:
    assert matching_keys("layers.0.norm1.weight", ["norm", "layers.0", "qkv"]) == ["norm", "layers.0"]
    assert matching_keys("scale", [".scale", "scale"]) == [".scale", "scale"]


def test_keys_that_are_part_of_a_name_are_no_problem() -> None:
    assert unmatched_keys("here", ["cls_token", "norm", "layers.0.attn", ".scale"], NAMES) == []


@pytest.mark.parametrize(
    ("key", "meant"), [("cls_tokn", "cls_token"), ("attn.qvk", "attn.qkv"), ("position_table", None)]
)
def test_another_key_is_reported_with_the_part_of_a_name_that_it_resembles(
    key: str, meant: str | None
) -> None:
    (problem,) = unmatched_keys("here", ["norm", key], NAMES)
    assert problem.message == f"no parameter's name holds {key!r}"
    assert (problem.path, problem.nearest) == ("here", meant)
