"""What trainings leave, without the training: checkpoints of generators, and autoencoders."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from mmvisionllama.checks.run import build_model
from mmvisionllama.config import load_config
from mmvisionllama.generation import ClassConditionalGenerator
from tests.generation.networks import randomised


def save_generator(
    config: str, path: Path, *, average: bool = True, **cfg_options: Any
) -> ClassConditionalGenerator:
    """Save random weights of a config's model, and of their moving average, as a training does.

    Returns: The model with the averaged weights, those that evaluations use.
    """
    cfg = load_config(config, cfg_options)
    raw, averaged = (randomised(build_model(cfg), seed).eval() for seed in (0, 1))
    content: dict[str, Any] = dict(meta=dict(cfg=cfg.pretty_text, iter=7), state_dict=raw.state_dict())
    if average:
        content["state_dict"] = averaged.state_dict()
        content["ema_state_dict"] = {
            "steps": torch.tensor(7),
            **{f"module.{name}": x for name, x in raw.state_dict().items()},
        }
    torch.save(content, path)
    return averaged if average else raw


def save_autoencoder(folder: Path, seed: int = 0) -> Path:
    """Save a random autoencoder from grey images of 8 px to latents (2, 4, 4)."""
    torch.manual_seed(seed)
    AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 4),
        norm_num_groups=2,
        latent_channels=2,
        scaling_factor=0.5,
    ).save_pretrained(folder)
    return folder
