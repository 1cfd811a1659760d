"""Adapters of the hosts' models: mmpretrain's MAE, ViTDet's backbone, float32 detection."""
