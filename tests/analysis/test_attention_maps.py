"""Maps of heads: sums, places, queries, and models that have none."""

from collections.abc import Callable

import numpy as np
import pytest

from mmvisionllama.analysis import attention_maps
from mmvisionllama.analysis.attention_maps import head_maps, plot, read_query, strongest
from mmvisionllama.errors import InputError
from mmvisionllama.inference.attention_rollout import attention_rollout
from mmvisionllama.inference.input_images import InputImage
from mmvisionllama.inference.trained_model import TrainedModel

Tiny = Callable[[str], TrainedModel]


@pytest.mark.parametrize("task", ["classification", "segmentation", "reconstruction"])
def test_each_head_of_a_plain_model_shares_one_among_all_tokens(
    task: str, tiny: Tiny, photo: InputImage
) -> None:
    found = head_maps(tiny(task), photo, block="blocks.2", query=(1, 6))
    assert found.maps.shape == (3, 8, 8)
    np.testing.assert_allclose(found.maps.sum((1, 2)), 1, atol=1e-5)
    assert found.image.shape == (64, 64, 3)
    rollout = attention_rollout(tiny(task), photo)
    assert len(plot(found, rollout).axes) == 1 + 1 + 3


def test_maps_of_a_wide_grey_image_have_its_grid_and_reach_beyond_it(
    tiny: Tiny, wide_grey: InputImage
) -> None:
    found = head_maps(tiny("classification"), wide_grey, block="blocks.0")
    assert found.maps.shape == (3, 5, 13)
    assert found.query == (2, 6)
    assert found.image.shape[:2] == (40, 100)
    np.testing.assert_allclose(found.maps.sum((1, 2)), 1, atol=1e-5)
    for head, weight, place in strongest(found):
        assert weight == found.maps[head].max() == found.maps[head][place]


def test_all_tokens_attend_in_the_mean_whatever_is_computed_at_once(
    tiny: Tiny, photo: InputImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task, block, hw in (
        ("classification", "blocks.1", (8, 8)),
        ("detection", "stages.2.blocks.0", (4, 4)),
    ):
        model = tiny(task)
        each = [
            head_maps(model, photo, block=block, query=(row, column)).maps
            for row in range(hw[0])
            for column in range(hw[1])
        ]
        monkeypatch.setattr(attention_maps, "_CHUNK", 7)
        found = head_maps(model, photo, block=block, query="mean")
        np.testing.assert_allclose(found.maps, np.mean(each, axis=0), atol=1e-6)


def test_a_window_of_the_pyramid_takes_nothing_of_others_and_summaries_are_larger_cells(
    tiny: Tiny, photo: InputImage
) -> None:
    model = tiny("detection")
    inside = head_maps(model, photo, block="stages.0.blocks.0", query=(5, 2))
    assert inside.maps.shape == (1, 16, 16)
    assert inside.maps[0, 4:8, 0:4].sum() == pytest.approx(1, abs=1e-5)
    assert "windows of 4 x 4" in inside.kind
    summary = head_maps(model, photo, block="stages.0.blocks.1", query=(5, 2))
    assert (summary.maps.shape, summary.cell, summary.token) == ((1, 2, 2), (32, 32), (4, 4))
    np.testing.assert_allclose(summary.maps.sum((1, 2)), 1, atol=1e-5)
    assert head_maps(model, photo).block == "stages.3.blocks.1"


@pytest.mark.parametrize(
    ("task", "given", "told"),
    [
        ("classification", dict(block="blocks.9"), "--block blocks.9: no such block. Did you mean 'blocks."),
        ("classification", dict(query="class"), "no class token"),
        ("classification", dict(query=(8, 0)), "--query 8,0 is outside of the block's 8 rows and 8 columns"),
        ("generation", {}, "generates images, and looks at none"),
    ],
)
def test_what_is_not_there_is_refused(
    task: str, given: dict, told: str, tiny: Tiny, photo: InputImage
) -> None:
    with pytest.raises(InputError, match=told):
        head_maps(tiny(task), photo, **given)


def test_a_query_is_read_from_text() -> None:
    assert [read_query(x) for x in (None, "class", "mean", "3,11")] == [None, "class", "mean", (3, 11)]
    for text in ("3", "a,b", "-1,2", "1,2,3", ""):
        with pytest.raises(InputError, match="ROW,COLUMN"):
            read_query(text)
