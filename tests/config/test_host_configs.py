"""The configs that the hosts ship are the widest sample of what a correct or a wrong config looks like."""

import importlib.util
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvisionllama.config import check_config


def wrong_keys(host: str, name: str) -> list[str]:
    folder = Path(importlib.util.find_spec(host).origin).parent / ".mim" / "configs"
    return [problem.path for problem in check_config(Config.fromfile(folder / name))]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("mmseg", "vit/vit_vit-b16-ln_mln_upernet_8xb2-160k_ade20k-512x512.py"),
        ("mmseg", "swin/swin-base-patch4-window12-in22k-384x384-pre_upernet_8xb2-160k_ade20k-512x512.py"),
        ("mmseg", "twins/twins_svt-b_uperhead_8xb2-160k_ade20k-512x512.py"),
        ("mmseg", "beit/beit-base_upernet_8xb2-160k_ade20k-640x640.py"),
        ("mmseg", "point_rend/pointrend_r50_4xb4-160k_ade20k-512x512.py"),
        ("mmpretrain", "mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"),
        ("mmpretrain", "mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py"),
        ("mmpretrain", "mae/benchmarks/vit-base-p16_8xb2048-linear-coslr-90e_in1k.py"),
        ("mmpretrain", "deit3/deit3-base-p16_64xb64_in1k.py"),
        ("mmpretrain", "swin_transformer/swin-small_16xb64_in1k.py"),
        ("mmpretrain", "resnet/resnet50_8xb32-mixup_in1k.py"),
        ("mmpretrain", "simsiam/simsiam_resnet50_8xb32-coslr-100e_in1k.py"),
    ],
)
def test_correct_host_config_has_no_problem(host: str, name: str) -> None:
    assert wrong_keys(host, name) == []


@pytest.mark.parametrize(
    ("host", "name", "keys"),
    [
        (  # mmengine's mark is "_delete_"
            "mmpretrain",
            "twins/twins-svt-base_8xb128_in1k.py",
            ["optim_wrapper.paramwise_cfg._delete"],
        ),
        (  # a key of the first generation of these libraries; precision is the wrapper's now
            "mmseg",
            "mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512-ms.py",
            ["fp16"],
        ),
        (  # the whole model of this file is dropped, since it is called "models"
            "mmseg",
            "bisenetv2/bisenetv2_fcn_4xb4-ohem-160k_cityscapes-1024x1024.py",
            ["models"],
        ),
        (  # called decay_mult, so weight decay stays on
            "mmseg",
            "dnlnet/dnl_r50-d8_4xb2-80k_cityscapes-769x769.py",
            [f"optim_wrapper.paramwise_cfg.custom_keys.{x}.wd_mult" for x in ("theta", "phi")],
        ),
        (
            "mmpretrain",
            "resnet/resnet50_8xb32-cutmix_in1k.py",
            ["model.train_cfg.augments.type"],
        ),
    ],
)
def test_dead_key_that_a_host_ships_is_found(host: str, name: str, keys: list[str]) -> None:
    assert wrong_keys(host, name) == keys


def test_option_that_only_a_detector_reads_is_no_mistake() -> None:
    assert wrong_keys("mmdet", "swin/mask-rcnn_swin-t-p4-w7_fpn_ms-crop-3x_coco.py") == []


def test_the_index_of_a_hosts_models_is_read_once_for_a_base(monkeypatch: pytest.MonkeyPatch) -> None:
    base = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"
    path, scope = Config._get_cfg_path(base, "one.py")
    assert (Path(path).is_file(), scope) == (True, "mmdet")
    monkeypatch.setattr("mmengine.config.utils.load", None)
    assert Config._get_cfg_path(base, "folder/other.py") == (path, scope)
