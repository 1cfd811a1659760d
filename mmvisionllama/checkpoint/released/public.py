"""Public weights of other rotary vision transformers: name, family, licence and address."""

from dataclasses import dataclass

_HUB = "https://huggingface.co"
_APACHE, _MIT, _DINOV3 = "apache-2.0", "mit", "dinov3-license"


@dataclass(frozen=True)
class Public:
    """Weights that the converter reads; nothing here downloads them, and none was measured here.

    Attributes:
        family: See ``FAMILIES``.
        licence: As their publisher names it.
        address: Of the page with the file.
        published: What the authors report, "" if that was not looked up.
    """

    family: str
    licence: str
    address: str
    published: str = ""


def _of_timm(family: str, licence: str, *names: str) -> dict[str, Public]:
    return {name: Public(family, licence, f"{_HUB}/timm/{name}") for name in names}


def _rope_vit(family: str, kind: str) -> dict[str, Public]:
    names = (f"vit_{size}_patch16_rope{kind}_224.naver_in1k" for size in ("small", "base", "large"))
    return _of_timm(family, _APACHE, *names)


def _vit5(size: str, top1: str) -> dict[str, Public]:
    told = f"ImageNet-1K top-1 {top1} (arXiv 2602.08071)"
    return {f"vit5_{size}": Public("vit5", _APACHE, f"{_HUB}/FengWang3211/ViT-5", told)}


PUBLIC = {
    **_vit5("small", "82.2"),
    **_vit5("base", "84.2"),
    **_vit5("large", "84.9"),
    **_rope_vit("rope_vit", ""),
    **_rope_vit("rope_vit_ape", "_ape"),
    **_rope_vit("rope_vit_mixed", "_mixed"),
    **_rope_vit("rope_vit_mixed", "_mixed_ape"),
    **_of_timm(
        "rope_gap",
        _MIT,
        "vit_medium_patch16_rope_reg1_gap_256.sbb_in1k",
        "vit_mediumd_patch16_rope_reg1_gap_256.sbb_in1k",
        "vit_betwixt_patch16_rope_reg4_gap_256.sbb_in1k",
        "vit_base_patch16_rope_reg1_gap_256.sbb_in1k",
    ),
    **_of_timm(
        "dinov3",
        _DINOV3,
        *(
            f"vit_{size}_patch16_dinov3.lvd1689m"
            for size in ("small", "small_plus", "base", "large", "huge_plus", "7b")
        ),
        "vit_large_patch16_dinov3.sat493m",
        "vit_7b_patch16_dinov3.sat493m",
    ),
    **_of_timm(
        "eva02",
        _MIT,
        *(f"eva02_{size}_patch14_224.mim_in22k" for size in ("tiny", "small", "base", "large")),
        "eva02_tiny_patch14_336.mim_in22k_ft_in1k",
        "eva02_small_patch14_336.mim_in22k_ft_in1k",
        "eva02_base_patch14_448.mim_in22k_ft_in22k_in1k",
        "eva02_large_patch14_448.mim_m38m_ft_in22k_in1k",
    ),
    **_of_timm(
        "eva02_clip",
        _MIT,
        "eva02_base_patch16_clip_224.merged2b",
        "eva02_large_patch14_clip_224.merged2b",
        "eva02_large_patch14_clip_336.merged2b",
    ),
    **_of_timm(
        "pe_core",
        _APACHE,
        "vit_pe_core_tiny_patch16_384.fb",
        "vit_pe_core_small_patch16_384.fb",
        "vit_pe_core_base_patch16_224.fb",
        "vit_pe_core_large_patch14_336.fb",
        "vit_pe_core_gigantic_patch14_448.fb",
    ),
    **_of_timm(
        "pe_spatial",
        _APACHE,
        "vit_pe_spatial_tiny_patch16_512.fb",
        "vit_pe_spatial_small_patch16_512.fb",
        "vit_pe_spatial_base_patch16_512.fb",
        "vit_pe_spatial_large_patch14_448.fb",
        "vit_pe_spatial_gigantic_patch14_448.fb",
        "vit_pe_lang_large_patch14_448.fb",
        "vit_pe_lang_gigantic_patch14_448.fb",
    ),
}
