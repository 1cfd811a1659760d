"""Convergence of MAE on ImageNet-1K, 800 epochs: VisionLLaMA-B beside ViT-B (the paper's figure).

.venv/bin/python tools/study.py configs/study/convergence_mae_in1k.py

Not run here; the paper shows the training loss, docs/reproduce.md says how to read it.
"""

metric = "reconstruction/loss"
seeds = [0, 1, 2]
runs = dict(
    visionllama=dict(label="VisionLLaMA-B", config="configs/pretrain/visionllama_mae_in1k_800e.py"),
    vit=dict(label="ViT-B", config="configs/pretrain/vit_mae_in1k_800e.py"),
)
