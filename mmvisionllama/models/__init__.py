"""The paper's networks. They import torch, einops, mmengine and mmcv alone, so any host can use them.

Letters in tensor names: B batch, C map channels, H W rows and columns of the token grid (never pixels: those
are ``img_h``, ``img_w``), N tokens, D width, A heads, G key-value heads, K head width, P = K/2 rotary pairs,
R rotated channels, F feed-forward width, S window side, M keys after sub-sampling. A plain residual stream is
``x``.
"""

from mmvisionllama.models import layers, losses, rope
from mmvisionllama.models.mae import MAEVisionLLaMA
from mmvisionllama.models.pyramid import PyramidVisionLLaMA
from mmvisionllama.models.simple_fpn import SimpleFPN
from mmvisionllama.models.visionllama import VisionLLaMA

__all__ = ["MAEVisionLLaMA", "PyramidVisionLLaMA", "SimpleFPN", "VisionLLaMA", "layers", "losses", "rope"]
