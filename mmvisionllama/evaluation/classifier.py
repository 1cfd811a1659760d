"""Features and logits of a classifier of ours, which take the place of InceptionV3's."""

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from mmengine.dataset import Compose
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import TRANSFORMS
from torch import Tensor, nn

from mmvisionllama.arguments import checked
from mmvisionllama.checkpoint import read_checkpoint, weights_of
from mmvisionllama.checks.checkpoint import check_exact
from mmvisionllama.config import load_config
from mmvisionllama.errors import CheckpointError, ConfigError, EvaluationError
from mmvisionllama.evaluation.features import FeatureExtractor, Features
from mmvisionllama.registry import MODELS


@MODELS.register_module()
class ClassifierFeatures(FeatureExtractor):
    """What an mmpretrain ``ImageClassifier`` computes before its last layer, and its logits.

    Images go through the steps that follow the loading in the config's validation pipeline, so they may be of
    another size than the classifier's.

    Args:
        config: File of the config that the classifier was trained with.
        checkpoint: File of its weights.

    Raises:
        ConfigError: if the config is not that of such a classifier.
        CheckpointError: if the checkpoint does not exist or does not fit.
    """

    metrics = ("fid", "inception_score", "precision", "recall", "class_accuracy")

    @checked
    def __init__(self, config: str | Path, checkpoint: str | Path) -> None:
        super().__init__()
        cfg = load_config(config)
        if not str(cfg.model.type).endswith("ImageClassifier"):
            raise ConfigError(f"{config}: features are those of an ImageClassifier, this is {cfg.model.type}")
        if cfg.get("val_dataloader") is None:
            raise ConfigError(f"{config} has no val_dataloader, whose pipeline would prepare the images")
        # The classifier's own scope: a training around it may have another one.
        scope = dict(_scope_=cfg.get("default_scope", "mmengine"))
        parts = {**cfg.model, **scope}
        if cfg.get("data_preprocessor") is not None:
            parts.setdefault("data_preprocessor", cfg.data_preprocessor)
        self.network = ROOT_MODELS.build(parts)
        try:
            check_exact(self.network, checkpoint, cfg)
        except CheckpointError as error:
            raise CheckpointError(f"{error}. tools/train.sh {config} trains this classifier") from error
        self.network.load_state_dict(weights_of(read_checkpoint(checkpoint), checkpoint))
        self.network.requires_grad_(False).eval()
        steps = [x for x in _pipeline(cfg) if not str(x["type"]).endswith("LoadImageFromFile")]
        self._prepare = Compose([TRANSFORMS.build({**step, **scope}) for step in steps])
        self._channels = next(x for x in self.network.modules() if isinstance(x, nn.Conv2d)).in_channels
        self.num_classes = cfg.model.head.num_classes
        self.title = f"{Path(config).stem} ({checkpoint})"

    def train(self, mode: bool = True) -> "ClassifierFeatures":
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, img_BCHW: Tensor) -> Features:
        """See the parent; grey images are given as RGB to a classifier of RGB, and the reverse."""
        preprocessor = self.network.data_preprocessor
        img_BCHW = _with_channels(img_BCHW, self._channels)
        if preprocessor.to_rgb and self._channels == 3:
            img_BCHW = img_BCHW.flip(1)  # the preprocessor turns BGR, as OpenCV reads it, into RGB
        images = rearrange(img_BCHW, "B C H W -> B H W C").cpu().numpy()
        inputs = torch.stack([self._prepared(img) for img in images]).to(self.device)
        feats = self.network.extract_feat(preprocessor(dict(inputs=inputs))["inputs"])
        return Features(self.network.head.pre_logits(feats).float(), self.network.head(feats).float())

    def _prepared(self, img: np.ndarray) -> Tensor:
        return self._prepare(dict(img=img, img_shape=img.shape[:2], ori_shape=img.shape[:2]))["inputs"]


def _pipeline(cfg: dict) -> list[dict]:
    dataset = cfg["val_dataloader"]["dataset"]
    while "pipeline" not in dataset and "dataset" in dataset:
        dataset = dataset["dataset"]
    return dataset["pipeline"]


def _with_channels(img_BCHW: Tensor, channels: int) -> Tensor:
    given = img_BCHW.shape[1]
    if given == 1:
        return img_BCHW.expand(-1, channels, -1, -1)
    if channels == 1:
        if not torch.equal(img_BCHW, img_BCHW[:, :1].expand_as(img_BCHW)):
            raise EvaluationError("the classifier takes grey images, these are coloured")
        return img_BCHW[:, :1]
    return img_BCHW
