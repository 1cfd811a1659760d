"""Convergence on MNIST: five backbones of 0.9 M parameters, one schedule.

.venv/bin/python tools/study.py configs/study/convergence_mnist.py --jobs 2

Three seeds, means of top-1: pyramid VisionLLaMA 94.7, Twins-SVT 93.2, Swin 93.0, VisionLLaMA 73.4, ViT 30.1
(docs/convergence.md).
"""

metric = "accuracy/top1"
seeds = [0, 1, 2]
reach = 0.9
runs = dict(
    visionllama=dict(label="VisionLLaMA", config="configs/toy/visionllama_tiny_mnist.py"),
    pyramid_visionllama=dict(
        label="Pyramid VisionLLaMA", config="configs/toy/pyramid_visionllama_tiny_mnist_narrow.py"
    ),
    vit=dict(label="ViT", config="configs/toy/vit_tiny_mnist.py"),
    swin=dict(label="Swin", config="configs/toy/swin_tiny_mnist.py"),
    twins_svt=dict(label="Twins-SVT", config="configs/toy/twins_svt_tiny_mnist.py"),
)
