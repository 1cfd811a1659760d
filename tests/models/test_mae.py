"""The masked encoder, inside the host's MAE and alone."""

import pytest
import torch
from torch import Tensor

from mmvisionllama.models import MAEVisionLLaMA, VisionLLaMA
from mmvisionllama.models.mae import count_kept
from tests.models.released import load_case
from tests.models.test_backbones import PLAIN_ARCH, SMALL_FFN, images


def encoder(**options: object) -> MAEVisionLLaMA:
    torch.manual_seed(0)
    return MAEVisionLLaMA(**dict(arch=PLAIN_ARCH, img_size=32, patch_size=8, ffn=SMALL_FFN) | options)


@pytest.mark.parametrize("name", ["mae", "mae_rawpix"])
def test_pretraining_equals_the_original(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = load_case(name)
    spec = case.spec["constructor"]
    model = case.model(
        mask_ratio=spec["backbone"]["mask_ratio"],
        neck=dict(decoder_num_heads=spec["neck"]["decoder_num_heads"]),
        head=dict(norm_pix=spec["head"]["norm_pix"]),
    )
    img = case.inputs["x"]
    monkeypatch.setattr(torch, "rand", lambda *_, **__: case.inputs["noise"])
    latent, mask, ids_restore = model.backbone(img)
    case.check("latent", latent)
    case.check("mask", mask)
    case.check("ids_restore", ids_restore)
    case.check("pred", model.neck(latent, ids_restore))
    case.check("target", model.head.construct_target(img))
    loss = model.loss(img, data_samples=None)["loss"]
    case.check("loss", loss.reshape(1))


def test_blocks_see_the_kept_patches_at_their_own_places() -> None:
    torch.manual_seed(0)
    model = encoder(mask_ratio=0.5).eval()
    img = images(2, 3, 32, 32)
    tokens, hidden, restore = model(img)
    kept = (restore < model.num_kept).nonzero()[:, 1].unflatten(0, (2, -1))
    assert torch.equal(hidden, (restore >= model.num_kept).float())
    assert tokens.shape == (2, 1 + 8, 32)

    # The same, with every hidden patch masked out of the attention of a full backbone's blocks.
    x, hw = model._embed(img)
    tables = model._tables(hw, None)
    for block in model.blocks:
        attended = attend_to(block, x, tables, hidden == 0)
        x = attended
    for i in range(2):
        order = restore[i].argsort()[: model.num_kept]
        torch.testing.assert_close(tokens[i, 1:], model.norm(x[i, order]), atol=1e-5, rtol=1e-4)
        assert sorted(order.tolist()) == kept[i].tolist()


def attend_to(block: torch.nn.Module, x: Tensor, tables: dict, visible: Tensor) -> Tensor:
    mask = visible[:, None, None, :]
    attn = block.attn
    x = x + attn._merge(attn._attend(block.norm1(x), tables[type(attn)], mask), block.gamma1)
    return x + block.ffn(block.norm2(x), gamma=block.gamma2)


def test_without_a_mask_the_encoder_is_the_plain_backbone() -> None:
    model, img = encoder().eval(), images(1, 3, 48, 32)
    plain = VisionLLaMA(
        PLAIN_ARCH,
        img_size=32,
        patch_size=8,
        ffn=SMALL_FFN,
        layer_scale=None,
        out_type="raw",
        out_norm="none",
    ).eval()
    match = plain.load_state_dict(model.state_dict(), strict=False)
    assert not match.missing_keys
    assert {key.partition(".")[0] for key in match.unexpected_keys} == {"cls_token", "norm"}
    torch.testing.assert_close(model(img, mask=None), plain(img), atol=0, rtol=0)


def test_masks_follow_the_seed_and_differ_between_images_and_calls() -> None:
    model, img = encoder(mask_ratio=0.5).eval(), images(1, 3, 32, 32).repeat(4, 1, 1, 1)
    torch.manual_seed(3)
    first, second = model(img)[1], model(img)[1]
    torch.manual_seed(3)
    assert torch.equal(model(img)[1], first)
    assert not torch.equal(first, second)
    assert len(first.unique(dim=0)) > 1
    assert (first.sum(dim=1) == 8).all()


@pytest.mark.parametrize("mask_ratio", [0.0, 1.0, 0.97, 0.03, -0.5, float("nan")])
def test_a_mask_ratio_that_hides_or_keeps_nothing_is_an_error(mask_ratio: float) -> None:
    with pytest.raises(ValueError, match=f"mask_ratio .*in .0, 1..*{mask_ratio}"):
        encoder(mask_ratio=mask_ratio)


@pytest.mark.parametrize("patches", [10, 49, 64, 100, 196, 1024])
@pytest.mark.parametrize("percent", [10, 25, 30, 50, 60, 75, 90])
def test_a_mask_keeps_the_nearest_whole_number_of_patches(patches: int, percent: int) -> None:
    kept = count_kept(patches, percent / 100)
    assert abs(100 * kept - patches * (100 - percent)) <= 50


def test_ratios_without_an_exact_float_keep_what_they_say() -> None:
    assert [count_kept(n, 0.9) for n in (10, 100, 1000)] == [1, 10, 100]


@pytest.mark.parametrize("options", [dict(window=dict(size=2)), dict(pos_embed=dict(type="PEG"))])
def test_parts_that_need_the_whole_map_are_an_error(options: dict) -> None:
    with pytest.raises(ValueError, match="windows and PEG need every patch"):
        encoder(**options)


def test_images_of_another_size_are_an_error_that_names_both_grids() -> None:
    with pytest.raises(ValueError, match=r"built for \(4, 4\) patches.*got \(6, 4\)"):
        encoder()(images(1, 3, 48, 32))


def test_pretraining_compiles_as_one_graph_and_trains_under_autocast() -> None:
    torch._dynamo.reset()
    model = encoder(with_cp=True).train()
    with torch.autocast("cpu", torch.bfloat16):
        torch.compile(model, fullgraph=True, backend="aot_eager")(images(2, 3, 32, 32))[0].sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
