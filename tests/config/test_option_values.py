from typing import Any

import pytest

from mmvisionllama.config.option_values import parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("5e-4", 5e-4),
        ("-2", -2),
        ("true", True),
        ("None", None),
        ("none", "none"),  # the value `launcher` has for no launcher, and mmengine keeps it a text
        ("six", "six"),
        ("'six'", "six"),
        ("1,5e-4", [1, 5e-4]),
        ("(1,2)", (1, 2)),
        ("[(1,2),[3]]", [(1, 2), [3]]),
        ("[param_scheduler]", ["param_scheduler"]),
        ("['a.b',c.d]", ["a.b", "c.d"]),
        ("{'type':'SGD','lr':0.1}", {"type": "SGD", "lr": 0.1}),
        ("dict(type='Pretrained', checkpoint='x.pth')", {"type": "Pretrained", "checkpoint": "x.pth"}),
        ("[dict(type=StepLR,step_size=3)]", [{"type": "StepLR", "step_size": 3}]),
        ("mmvisionllama.EMA", "mmvisionllama.EMA"),
        ("data/ade", "data/ade"),
        ("/data/my images", "/data/my images"),
        ("[/data/a,/data/b]", ["/data/a", "/data/b"]),
        ("epoch_{}.pth", "epoch_{}.pth"),
        ("f(x)", "f(x)"),
        ("", ""),
    ],
)
def test_option_says_what_it_would_say_in_a_config_where_words_need_no_quotes(text: str, value: Any) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)
