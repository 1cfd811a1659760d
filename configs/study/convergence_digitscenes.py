"""Convergence on DigitScenes: five backbones of 0.9 M parameters, one schedule.

.venv/bin/python tools/study.py configs/study/convergence_digitscenes.py --jobs 2

Three seeds, means of top-1: VisionLLaMA 95.9, Twins-SVT 94.5, pyramid VisionLLaMA 93.8, Swin 92.7, ViT 69.9
(docs/convergence.md).
"""

metric = "accuracy/top1"
seeds = [0, 1, 2]
reach = 0.9
runs = dict(
    visionllama=dict(label="VisionLLaMA", config="configs/toy/visionllama_tiny_digitscenes.py"),
    pyramid_visionllama=dict(
        label="Pyramid VisionLLaMA", config="configs/toy/pyramid_visionllama_tiny_digitscenes_narrow.py"
    ),
    vit=dict(label="ViT", config="configs/toy/vit_tiny_digitscenes.py"),
    swin=dict(label="Swin", config="configs/toy/swin_tiny_digitscenes.py"),
    twins_svt=dict(label="Twins-SVT", config="configs/toy/twins_svt_tiny_digitscenes.py"),
)
