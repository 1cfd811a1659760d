"""Masked pre-training: what mmpretrain's has not."""

from mmvisionllama.pretrain.mae import MAE
from mmvisionllama.pretrain.pictures import MAEPicturesHook
from mmvisionllama.pretrain.reconstruction import ReconstructionLoss

__all__ = ["MAE", "MAEPicturesHook", "ReconstructionLoss"]
