"""Features of our classifiers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope, init_default_scope
from PIL import Image
from torch import Tensor

from mmvisionllama.config import load_config
from mmvisionllama.errors import CheckpointError, ConfigError, EvaluationError
from mmvisionllama.evaluation.classifier import ClassifierFeatures
from tests.evaluation.classifiers import DIGITSCENES, MNIST, save_classifier


def noise(count: int, channels: int, side: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, side, side), generator=generator, dtype=torch.uint8)


def test_colour_images_are_seen_as_the_validation_sees_their_files(tmp_path: Path) -> None:
    model = save_classifier(DIGITSCENES, tmp_path / "c.pth")
    img_BCHW = noise(2, 3, 64)
    items = []
    init_default_scope("mmpretrain")
    pipeline = Compose(load_config(DIGITSCENES).val_dataloader.dataset.pipeline)
    for index, img in enumerate(img_BCHW):
        path = tmp_path / f"{index}.png"
        Image.fromarray(img.permute(1, 2, 0).numpy()).save(path)
        items.append(pipeline(dict(img_path=str(path), gt_label=0)))
    expected = [x.pred_score for x in model.val_step(pseudo_collate(items))]
    found = ClassifierFeatures(DIGITSCENES, tmp_path / "c.pth")(img_BCHW)
    torch.testing.assert_close(found.logit_NK.softmax(dim=1), torch.stack(expected))
    assert found.pooled_ND.shape == (2, 96)
    torch.testing.assert_close(model.head.fc(found.pooled_ND), found.logit_NK)


def test_images_of_another_size_go_through_the_pipeline_of_the_classifier(tmp_path: Path) -> None:
    model = save_classifier(MNIST, tmp_path / "c.pth")
    img_BCHW = noise(2, 1, 28)
    init_default_scope("mmpretrain")
    pipeline = Compose(load_config(MNIST).val_dataloader.dataset.pipeline)
    items = [pipeline(dict(img=img[0].numpy(), gt_label=np.array(0))) for img in img_BCHW]
    expected = torch.stack([x.pred_score for x in model.val_step(pseudo_collate(items))])
    look = ClassifierFeatures(MNIST, tmp_path / "c.pth")
    for given in (img_BCHW, img_BCHW.expand(-1, 3, -1, -1)):
        torch.testing.assert_close(look(given).logit_NK.softmax(dim=1), expected)


def test_features_do_not_depend_on_the_batch_or_on_a_training_around(tmp_path: Path) -> None:
    save_classifier(MNIST, tmp_path / "c.pth")
    look, img_BCHW = ClassifierFeatures(MNIST, tmp_path / "c.pth").train(), noise(3, 1, 28)
    assert not look.network.training
    whole = look(img_BCHW)
    parts = [look(x[None]).pooled_ND for x in img_BCHW]
    torch.testing.assert_close(whole.pooled_ND, torch.cat(parts))
    assert not any(x.requires_grad for x in look.parameters())


def test_the_default_scope_of_the_training_around_stays(tmp_path: Path) -> None:
    save_classifier(MNIST, tmp_path / "c.pth")
    with DefaultScope.overwrite_default_scope("mmengine"):
        ClassifierFeatures(MNIST, tmp_path / "c.pth")(noise(1, 1, 28))
        assert DefaultScope.get_current_instance().scope_name == "mmengine"


def test_a_classifier_of_grey_images_refuses_coloured_ones(tmp_path: Path) -> None:
    config = tmp_path / "grey.py"
    base = load_config(MNIST).filename
    config.write_text(
        f"_base_ = {base!r}\n"
        "data_preprocessor = dict(mean=[33.3], std=[78.6])\n"
        "model = dict(backbone=dict(in_channels=1))\n"
    )
    save_classifier(str(config), tmp_path / "c.pth")
    look = ClassifierFeatures(str(config), tmp_path / "c.pth")
    grey = noise(1, 1, 28)
    torch.testing.assert_close(look(grey).logit_NK, look(grey.expand(-1, 3, -1, -1)).logit_NK)
    with pytest.raises(EvaluationError, match="takes grey images"):
        look(noise(1, 3, 28))


def test_a_missing_checkpoint_comes_with_the_command_that_trains_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"c\.pth does not exist.*tools/train\.sh {MNIST}"):
        ClassifierFeatures(MNIST, str(tmp_path / "c.pth"))


def test_a_checkpoint_of_another_model_and_a_config_of_none_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"backbone.x": torch.zeros(1)}}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="another model"):
        ClassifierFeatures(MNIST, str(tmp_path / "c.pth"))
    with pytest.raises(ConfigError, match="features are those of an ImageClassifier"):
        ClassifierFeatures("configs/toy/visionllama_tiny_mae_digitscenes.py", str(tmp_path / "c.pth"))
