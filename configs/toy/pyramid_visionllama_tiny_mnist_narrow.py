"""A narrow pyramid VisionLLaMA-tiny classifies MNIST, from scratch.

tools/train.sh configs/toy/pyramid_visionllama_tiny_mnist_narrow.py

One process on two CPU cores, 32 images. Top-1 94.4 to 95.2 (three seeds).
"""

_base_ = [
    "../_base_/models/tiny_pyramid_visionllama_narrow.py",
    "../_base_/datasets/mnist_cls.py",
    "../_base_/schedules/cls_tiny_short.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls_iters.py",
]
