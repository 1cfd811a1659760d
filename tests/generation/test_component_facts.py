"""Components told apart by their configs."""

import pytest

from mmvisionllama.generation.component_facts import differences, short_description, with_defaults


def test_a_default_that_is_written_out_makes_no_difference() -> None:
    short = dict(type="mmvisionllama.Interpolant")
    long = dict(
        type="Interpolant", path=dict(type="mmvisionllama.LinearPath"), prediction="velocity", eps=None
    )
    assert differences(with_defaults(short), with_defaults(long), ("a", "b")) == []


def test_what_json_gives_back_is_the_same() -> None:
    assert differences({"size": (8, 8)}, {"size": [8, 8]}, ("a", "b")) == []


def test_differences_name_both_sides() -> None:
    assert differences({"a": 1, "b": 2}, {"a": 1, "c": "x"}, ("there", "now")) == [
        "b: 2 there, None now",
        "c: None there, 'x' now",
    ]


def test_of_different_types_only_the_types_are_compared() -> None:
    one, other = dict(type="DDPMSampler", clip=True), dict(type="ODESampler", rtol=1)
    assert differences(one, other, ("there", "now")) == ["type: 'DDPMSampler' there, 'ODESampler' now"]


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        (dict(type="mmvisionllama.DDPMSampler", steps=250), "DDPMSampler"),
        (dict(type="DDIMSampler", eta=0.5, steps=3), "DDIMSampler, eta 0.5"),
        (dict(type="ODESampler", method="heun2", rtol=1e-3), "ODESampler, method heun2"),
    ],
)
def test_only_options_that_are_not_the_default_are_put_into_words(cfg: dict, words: str) -> None:
    assert short_description(cfg, leave_out=("steps",)) == words
