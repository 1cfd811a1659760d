"""Classifiers of shipped configs with random values, as files."""

from pathlib import Path

import torch
from mmengine.registry import MODELS

from mmvisionllama.config import load_config

MNIST = "configs/toy/visionllama_tiny_mnist.py"
DIGITSCENES = "configs/toy/visionllama_tiny_digitscenes.py"


def save_classifier(config: str, path: Path, seed: int = 0) -> torch.nn.Module:
    """Build a classifier, save a checkpoint of it and return it."""
    cfg = load_config(config)
    torch.manual_seed(seed)
    parts = {**cfg.model, "data_preprocessor": cfg.data_preprocessor, "_scope_": cfg.default_scope}
    model = MODELS.build(parts).eval()
    torch.nn.init.normal_(model.head.fc.weight)
    torch.save({"state_dict": model.state_dict()}, path)
    return model
