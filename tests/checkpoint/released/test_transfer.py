"""From converted weights into every task: the shipped configs, shrunk by options alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn
from torch.nn import functional as F

from mmvisionllama.checkpoint import convert_file, make_mmengine_read_safely, read_checkpoint
from mmvisionllama.checks.checkpoint import check_exact, check_pretrained, check_start
from mmvisionllama.checks.run import build_model
from mmvisionllama.config import load_config
from tests.models.released import Case, load_case
from tests.tools.commands import REPOSITORY, logged_losses, run

PLAIN, PYRAMID, MASKED, DENSE = map(load_case, ("plain_cls", "pyramid_cls", "mae", "dense_plain"))
MAE_PARTS = dict(neck=dict(decoder_num_heads=2))


@pytest.fixture(autouse=True)
def safe_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheckpointLoader, "_schemes", dict(CheckpointLoader._schemes))
    make_mmengine_read_safely()


def convert(case: Case, folder: Path, **known: Any) -> str:
    torch.save({"model": case.weights}, folder / "released.pth")
    target = folder / "ours.safetensors"
    convert_file(folder / "released.pth", target, known=dict(num_heads=case.num_heads) | known)
    return str(target)


def arch_of(case: Case) -> dict[str, Any]:
    """Give options that put the case's sizes into a config."""
    spec = case.spec["constructor"]
    spec = spec.get("backbone", spec)
    if "depths" in spec:
        sizes = {key: spec[key] for key in ("embed_dims", "depths", "num_heads")}
        return {"model.backbone.arch": dict(_delete_=True, **sizes)}
    sizes = spec.get("arch") or dict(
        embed_dims=spec["embed_dim"], num_layers=spec["depth"], num_heads=spec["num_heads"]
    )
    arch = {key: sizes[key] for key in ("embed_dims", "num_layers", "num_heads")}
    return {
        "model.backbone.arch": dict(_delete_=True, **arch),
        "model.backbone.patch_size": spec["patch_size"],
    }


def cfg_of(config: str, case: Case, **options: Any) -> Config:
    options = {key.replace("__", "."): value for key, value in options.items()}
    return load_config(REPOSITORY / "configs" / config, {**arch_of(case), **options})


def started_from(cfg: Config, path: str) -> tuple[nn.Module, list[str]]:
    """Load as ``load_from`` does, after the checks of a run."""
    model = build_model(cfg)
    notes = check_start(model, path, cfg)
    load_checkpoint(model, path, strict=False, logger="silent")
    return model.eval(), notes


def loaded_names(model: nn.Module, path: str) -> set[str]:
    """Give the names of the weights that the model now has from the file."""
    given = read_checkpoint(path)["state_dict"]
    ours = model.state_dict()
    return {key for key, x in given.items() if key in ours and torch.equal(ours[key], x)}


def initialised_layers(model: nn.Module, path: str) -> set[str]:
    return {key.rpartition(".")[0] for key in set(model.state_dict()) - loaded_names(model, path)}


PLAIN_CLASSIFIER = dict(
    model__head__in_channels=32, model__head__num_classes=10, data_preprocessor__num_classes=10
)


@pytest.mark.parametrize("img_size", [224, 40])
def test_a_classifier_starts_as_the_same_classifier_at_any_image_size(tmp_path: Path, img_size: int) -> None:
    path = convert(PLAIN, tmp_path)
    cfg = cfg_of(
        "cls/visionllama_small_in1k_released.py",
        PLAIN,
        **PLAIN_CLASSIFIER,
        val_evaluator__topk=[1],
        model__backbone__img_size=img_size,
    )
    model, notes = started_from(cfg, path)
    assert notes == []
    check_exact(model, path, cfg)  # so tools/test.py takes it, too
    PLAIN.check("logits", model(PLAIN.inputs["x"]))
    assert model(torch.zeros(1, 3, 72, 48)).isfinite().all()


def test_a_pyramid_classifier_starts_as_the_same_classifier(tmp_path: Path) -> None:
    path = convert(PYRAMID, tmp_path)
    options = PLAIN_CLASSIFIER | dict(val_evaluator__topk=[1])
    model, notes = started_from(cfg_of("cls/pyramid_visionllama_in1k_released.py", PYRAMID, **options), path)
    assert notes == []
    PYRAMID.check("logits", model(PYRAMID.inputs["x"]))


def pretrained(path: str, **options: str) -> dict[str, Any]:
    return {"model.backbone.init_cfg": dict(type="Pretrained", checkpoint=path, **options)}


def test_a_classifier_with_another_head_takes_the_backbone(tmp_path: Path) -> None:
    path = convert(PLAIN, tmp_path)
    other = PLAIN_CLASSIFIER | dict(model__head__num_classes=3, data_preprocessor__num_classes=3)
    cfg = cfg_of(
        "cls/visionllama_small_in1k_released.py",
        PLAIN,
        **other,
        val_evaluator__topk=[1],
        **pretrained(path, prefix="backbone."),
    )
    model = build_model(cfg)
    assert check_pretrained(model, cfg) == []
    model.init_weights()
    assert initialised_layers(model, path) == {"head.fc"}


@pytest.mark.parametrize("road", ["load_from", "init_cfg"])
def test_a_pyramid_classifier_becomes_a_segmentor_with_new_norms(tmp_path: Path, road: str) -> None:
    path = convert(PYRAMID, tmp_path)
    heads = dict(model__decode_head__in_channels=[8, 16, 24, 32], model__auxiliary_head__in_channels=24)
    options = heads | (pretrained(path, prefix="backbone.") if road == "init_cfg" else {})
    cfg = cfg_of("seg/pyramid_visionllama_upernet_ade20k_released.py", PYRAMID, **options)
    if road == "load_from":
        model, (note,) = started_from(cfg, path)
    else:
        model = build_model(cfg)
        (note,) = check_pretrained(model, cfg)
        model.init_weights()
    norms = {f"backbone.norms.{stage}" for stage in range(4)}
    assert {name for name in initialised_layers(model, path) if name.startswith("backbone.")} == norms
    assert "norms.0.weight" in note


@pytest.mark.parametrize(
    ("config", "options", "added"),
    [
        (
            "cls/visionllama_mae_finetune_in1k_released.py",
            PLAIN_CLASSIFIER | dict(model__head__in_channels=24, val_evaluator__topk=[1]),
            {"backbone.norms.all"},
        ),
        (
            "cls/visionllama_mae_linear_in1k_released.py",
            dict(
                model__head__in_channels=24, model__neck__input_features=24, model__backbone__frozen_stages=3
            ),
            {"backbone.norms.all"},
        ),
        (
            "seg/visionllama_upernet_ade20k_released.py",
            dict(
                model__backbone__out_indices=[0, 1, 2],
                model__neck__embed_dim=24,
                model__decode_head__in_channels=[24] * 4,
                model__auxiliary_head__in_channels=24,
            ),
            set(),
        ),
        (
            "det/visionllama_vitdet_coco_released.py",
            dict(model__backbone__window__global_blocks=[1], model__neck__in_channels=24),
            set(),
        ),
    ],
)
def test_a_masked_encoder_goes_on_in_every_task(
    tmp_path: Path, config: str, options: dict, added: set[str]
) -> None:
    path = convert(MASKED, tmp_path, **MAE_PARTS)
    # The published widths are wide; those of the case follow the paper's rule.
    cfg = cfg_of(config, MASKED, **options, model__backbone__ffn__expand=4)
    model, (note,) = started_from(cfg, path)
    assert {name for name in initialised_layers(model, path) if name.startswith("backbone.")} == added
    assert "loads in part" in note
    assert "backbone.cls_token" not in model.state_dict()


def test_masked_pretraining_goes_on(tmp_path: Path) -> None:
    path = convert(MASKED, tmp_path, **MAE_PARTS)
    decoder = MASKED.spec["constructor"]["neck"]
    cfg = cfg_of(
        "pretrain/visionllama_mae_in1k_800e_released.py",
        MASKED,
        model__backbone__img_size=48,
        model__backbone__ffn__expand=4,
        model__head__patch_size=8,
        **{f"model.neck.{key}": value for key, value in decoder.items() if key != "type"},
    )
    model, notes = started_from(cfg, path)
    assert notes == []
    assert initialised_layers(model, path) == set()


def test_a_dense_backbone_alone_becomes_that_of_a_segmentor(tmp_path: Path) -> None:
    path = convert(DENSE, tmp_path)
    cfg = cfg_of(
        "seg/visionllama_upernet_ade20k_released.py",
        DENSE,
        model__backbone__ffn=dict(type="SwiGLU", _delete_=True),
        model__backbone__layer_scale=1e-4,
        model__backbone__out_indices=[0, 1, 2, 3],
        model__neck__embed_dim=32,
        model__decode_head__in_channels=[32] * 4,
        model__auxiliary_head__in_channels=32,
        **pretrained(path),
    )
    model = build_model(cfg)
    assert check_pretrained(model, cfg) == []
    model.init_weights()
    ours, given = model.backbone.state_dict(), read_checkpoint(path)["state_dict"]
    assert set(ours) == set(given)
    assert all(torch.equal(ours[key], x) for key, x in given.items())


CONFIG = """
_base_ = "{base}"
custom_imports = dict(imports=["tests.checkpoint.released.images"], allow_failed_imports=False)
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=32, num_layers=3, num_heads=4), patch_size=8, drop_path_rate=0.0
    ),
    head=dict(in_channels=32, num_classes=10, loss=dict(_delete_=True, type="CrossEntropyLoss")),
    train_cfg=None,
)
data_preprocessor = dict(num_classes=10, mean=[0.0] * 3, std=[1.0] * 3, to_rgb=False)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_delete_=True, type="DefaultSampler", shuffle=False),
    dataset=dict(_delete_=True, type="ReleasedImages", labels={labels}),
)
val_dataloader = val_cfg = val_evaluator = None
train_cfg = dict(max_epochs=1)
auto_scale_lr = None
unchecked = ["param_scheduler"]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(save_best=None))
custom_hooks = []
"""


def test_converted_weights_cannot_be_resumed_as_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, config = convert(PLAIN, tmp_path), tmp_path / "train.py"
    config.write_text(
        CONFIG.format(base=REPOSITORY / "configs/cls/visionllama_small_in1k_released.py", labels=[3, 7])
    )
    assert run("train", config, "--work-dir", tmp_path / "run", "--resume", path) == 2
    assert "Start from it by load_from" in capsys.readouterr().err


def test_the_first_loss_of_training_on_is_that_of_the_original_model(tmp_path: Path) -> None:
    path, labels = convert(PLAIN, tmp_path), [3, 7]
    config = tmp_path / "train.py"
    base = REPOSITORY / "configs/cls/visionllama_small_in1k_released.py"
    config.write_text(CONFIG.format(base=base, labels=labels))
    assert run("train", config, "--work-dir", tmp_path / "run", load_from=path) == 0
    expected = F.cross_entropy(PLAIN.outputs["logits"], torch.tensor(labels)).item()
    assert logged_losses(tmp_path / "run")[1] == pytest.approx(expected, abs=1e-4)
