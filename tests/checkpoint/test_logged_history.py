import copy

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mmvisionllama.checkpoint.logged_history import plain_values, with_buffers


def hub() -> MessageHub:
    made = MessageHub("history")
    for value in (0.1, 0.25, float("nan")):
        made.update_scalar("train/loss", value, count=2)
    made.update_info("best_score", np.float32(0.7))
    made.update_info("past", [{"mIoU": np.float64(1 / 3), "per_class": np.arange(3)}])
    return made


def test_a_history_is_the_same_after_it_was_plain() -> None:
    state = hub().state_dict()
    plain = plain_values(copy.deepcopy(state))
    assert type(plain["runtime_info"]["best_score"]) is float
    assert plain["runtime_info"]["best_score"] == state["runtime_info"]["best_score"]
    assert plain["runtime_info"]["past"] == [{"mIoU": 1 / 3, "per_class": [0, 1, 2]}]
    former, restored = (x["log_scalars"]["train/loss"] for x in (state, with_buffers(plain)))
    assert isinstance(restored, HistoryBuffer)
    assert restored.max_length == former.max_length
    for one, other in zip(restored.data, former.data, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_a_restored_history_goes_on_and_leaves_what_was_read_as_it_was() -> None:
    plain = plain_values(hub().state_dict())
    before = plain["log_scalars"]["train/loss"]["history"].clone()
    other = MessageHub("restored")
    other.load_state_dict(with_buffers(plain))
    other.update_scalar("train/loss", 3.0)
    assert len(other.get_scalar("train/loss").data[0]) == 4
    torch.testing.assert_close(
        plain["log_scalars"]["train/loss"]["history"], before, rtol=0, atol=0, equal_nan=True
    )


def test_a_history_of_a_checkpoint_from_before_is_taken_as_it_is() -> None:
    state = hub().state_dict()
    assert with_buffers(state)["log_scalars"]["train/loss"] is state["log_scalars"]["train/loss"]
