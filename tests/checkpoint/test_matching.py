import pytest

from mmvisionllama.checkpoint.matching import blocks_of, compare, describe_blocks, hidden_prefix

MODEL = {"backbone.a": (2, 3), "backbone.b": (3,), "head.w": (5, 3)}


def test_equal_maps_match_exactly() -> None:
    assert compare(MODEL, dict(reversed(MODEL.items()))).exact


@pytest.mark.parametrize(
    ("checkpoint", "kind", "expected"),
    [
        ({"backbone.a": (2, 3), "backbone.b": (3,)}, "missing", ("head.w",)),
        ({**MODEL, "neck.w": (1,)}, "unexpected", ("neck.w",)),
        ({**MODEL, "head.w": (7, 3)}, "differing", (("head.w", (5, 3), (7, 3)),)),
    ],
)
def test_each_kind_of_difference_is_named_and_ends_the_match(
    checkpoint: dict, kind: str, expected: tuple
) -> None:
    match = compare(MODEL, checkpoint)
    assert getattr(match, kind) == expected
    assert not match.exact


def test_description_lists_both_sides_and_both_shapes() -> None:
    text = compare(MODEL, {"backbone.a": (2, 4), "other.w": (1,)}).describe()
    assert "2 only in the model: backbone.b, head.w" in text
    assert "1 only in the checkpoint: other.w" in text
    assert "backbone.a (2, 3) here, (2, 4) there" in text


def test_description_counts_what_it_does_not_list() -> None:
    match = compare({f"w{i}": (1,) for i in range(9)}, {})
    assert "9 only in the model: w0, w1, ... (7 more)" in match.describe(limit=2)


def test_a_counter_that_old_checkpoints_lack_is_not_missing() -> None:
    assert compare({"bn.weight": (3,), "bn.num_batches_tracked": ()}, {"bn.weight": (3,)}).exact


def test_weights_below_a_prefix_are_found() -> None:
    assert hidden_prefix(["a.w", "b.w"], ["model.backbone.a.w", "model.backbone.b.w", "head.w"]) == (
        "model.backbone."
    )


def test_no_prefix_is_suggested_for_another_architecture() -> None:
    assert hidden_prefix(["a.w", "b.w"], ["x.a.v", "x.c.w"]) is None


def test_blocks_are_the_numbered_parts_of_a_model() -> None:
    names = [
        *("layers.0.ln1.weight", "layers.0.ffn.layers.0.0.weight"),
        *("stages.1.blocks.2.attn.qkv.weight", "stages.1.patch_embed.norm.weight", "stages.1.3.attn.q.bias"),
        *("layer1.0.conv1.weight", "patch_embed.projection.weight", "norm1.weight"),
    ]
    blocks = blocks_of(compare(dict.fromkeys(names, (1,)), {}))
    assert [x.name for x in blocks] == [
        *("layers.0", "stages.1.blocks.2", "stages.1", "stages.1.3", "layer1.0")
    ]


def test_blocks_that_lack_the_same_weights_share_a_line() -> None:
    model = {f"blocks.{i}.{name}": (1,) for i in range(4) for name in ("a", "b", "c")}
    given = {name: shape for name, shape in model.items() if not name.endswith("c") and "3" not in name}
    assert describe_blocks(blocks_of(compare(model, given))) == [
        "blocks.0-2: 2 of 3 weights each, without c",
        "blocks.3: 0 of 3 weights",
    ]
