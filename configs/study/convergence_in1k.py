"""Convergence on ImageNet-1K, size L at 160 px: VisionLLaMA beside DeiT III (the paper's figure).

.venv/bin/python tools/study.py configs/study/convergence_in1k.py

Not run here; the paper shows the training loss, docs/reproduce.md says how to read it.
"""

metric = "accuracy/top1"
seeds = [0, 1, 2]
reach = 0.9
runs = dict(
    visionllama=dict(label="VisionLLaMA-L", config="configs/cls/visionllama_large_in1k_pre160.py"),
    deit3=dict(label="DeiT3-L", config="configs/cls/deit3_large_in1k_pre160.py"),
)
