from pathlib import Path

import numpy as np
import pytest
import torch

from mmvisionllama.errors import InputError
from mmvisionllama.inference.attention_rollout import attention_rollout, mean_attention
from mmvisionllama.inference.trained_model import TrainedModel
from mmvisionllama.models.attention import RotaryAttention, WindowAttention
from mmvisionllama.models.grids import grid_positions
from mmvisionllama.models.rope import AS2DRoPE


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_mean_attention_is_what_the_forward_weighs_values_by(kv_heads: int) -> None:
    torch.manual_seed(0)
    attn = RotaryAttention(32, 4, num_kv_heads=kv_heads)
    x, hw = torch.rand(2, 12, 32), (3, 4)
    tables = attn.tables(AS2DRoPE(head_dims=8, num_heads=4), grid_positions(hw, x.device), hw, 1.0)
    with torch.no_grad():
        found = mean_attention(attn, x, hw, tables)
        # Values that are the identity, and so show the weights of every head.
        q, k, _ = attn.project(x, tables)
        k = k.repeat_interleave(4 // kv_heads, dim=2)
        values = torch.eye(12).expand(2, 4, 12, 12)
        weights = torch.nn.functional.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), values
        )
    torch.testing.assert_close(found, weights.mean(dim=1))


def test_mean_attention_in_windows_is_what_the_forward_weighs_values_by() -> None:
    torch.manual_seed(0)
    attn, hw = WindowAttention(16, 1, window_size=3), (5, 4)
    x = torch.rand(2, 20, 16)
    tables = attn.tables(AS2DRoPE(head_dims=16, num_heads=1), grid_positions(hw, x.device), hw, 1.0)
    with torch.no_grad():
        share_BNN = mean_attention(attn, x, hw, tables)
        _, _, v_BN1K = attn.project(x, None)
        torch.testing.assert_close(attn.proj(share_BNN @ v_BN1K.squeeze(2)), attn(x, hw, tables))
    assert (share_BNN[:, 0, 3] == 0).all()  # of another window


@pytest.mark.parametrize("task", ["classification", "segmentation", "reconstruction"])
def test_a_rollout_shares_one_among_the_patches_and_leaves_the_model_as_it_is(
    task: str, models: dict[str, TrainedModel], photo: Path
) -> None:
    model = models[task]
    before = model.features(photo)
    rollout = attention_rollout(model, photo)
    rows, columns = rollout.shares.shape
    assert (rows * rollout.patch[0], columns * rollout.patch[1]) == rollout.image.shape[:2]
    assert rollout.shares.min() >= 0
    assert rollout.shares.sum() == pytest.approx(1, abs=1e-5)
    assert rollout.shares.std() > 0
    for one, other in zip(before, model.features(photo), strict=True):
        assert torch.equal(one, other)
    np.testing.assert_allclose(rollout.image, model.predict(photo).pixels, atol=1)
    assert not any(module._forward_pre_hooks for module in model.module.backbone.modules())


@pytest.mark.parametrize(("task", "why"), [("detection", "PyramidVisionLLaMA"), ("generation", "generates")])
def test_a_model_without_a_rollout_says_why(
    task: str, why: str, models: dict[str, TrainedModel], photo: Path
) -> None:
    with pytest.raises(InputError, match=f"has no attention rollout: .*{why}"):
        attention_rollout(models[task], photo)
