"""Backbones to compare with: they load the weights that they are compared by."""

import torch
from mmpretrain.models import MAEViT

from mmvisionllama.hosts.vitdet import ViTDet

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)


def test_vitdet_takes_the_positions_of_mae_without_the_class_token_and_resized() -> None:
    torch.manual_seed(0)
    mae = MAEViT(arch=ARCH, img_size=32, patch_size=8)
    same = ViTDet(arch=ARCH | dict(global_attn_indexes=[2]), img_size=32, patch_size=8, window_size=2)
    larger = ViTDet(arch=ARCH | dict(global_attn_indexes=[2]), img_size=64, patch_size=8, window_size=2)
    torch.nn.init.normal_(mae.pos_embed)
    for model in (same, larger):
        loaded = model.load_state_dict(mae.state_dict(), strict=False)
        assert {key.rpartition(".")[2] for key in loaded.missing_keys} == {"rel_pos_h", "rel_pos_w"}
        assert set(loaded.unexpected_keys) == {"cls_token", "ln1.weight", "ln1.bias"}
        assert torch.equal(model.layers[1].attn.qkv.weight, mae.layers[1].attn.qkv.weight)
    assert torch.equal(same.pos_embed.flatten(1, 2), mae.pos_embed[:, 1:])
    assert larger.pos_embed.shape == (1, 8, 8, 32)
    assert torch.allclose(larger.pos_embed.mean((1, 2)), same.pos_embed.mean((1, 2)), atol=0.1)


def test_vitdet_gives_one_map_of_its_own_width_at_any_size() -> None:
    model = ViTDet(arch=ARCH | dict(global_attn_indexes=[2]), img_size=32, patch_size=8, window_size=2)
    (out,) = model(torch.randn(1, 3, 40, 24))
    assert out.shape == (1, 32, 5, 3)


def test_vitdet_has_the_same_weights_and_gradients_when_it_recomputes_activations() -> None:
    arch, img = ARCH | dict(global_attn_indexes=[2]), torch.randn(1, 3, 32, 32)
    models = [
        ViTDet(arch=arch, img_size=32, patch_size=8, window_size=2, with_cp=with_cp)
        for with_cp in (False, True)
    ]
    models[1].load_state_dict(models[0].state_dict(), strict=True)
    for model in models:
        model(img)[0].square().sum().backward()
    for (name, ours), (other, theirs) in zip(*(x.named_parameters() for x in models), strict=True):
        assert (name, ours.grad is None) == (other, theirs.grad is None)
        assert ours.grad is None or torch.equal(ours.grad, theirs.grad), name
