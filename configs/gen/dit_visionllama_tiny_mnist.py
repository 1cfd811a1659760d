"""DiT-LLaMA-tiny generates MNIST, 28 px, from random values.

tools/train.sh configs/gen/dit_visionllama_tiny_mnist.py

One process on two CPU cores, 64 images, about half an hour.
Three epochs are too few for it: class accuracy 29.0 at guidance 2 (docs/generation.md).
"""

_base_ = [
    "../_base_/models/dit_tiny.py",
    "../_base_/datasets/mnist_gen.py",
    "../_base_/evaluation/denoising_loss.py",
    "../_base_/schedules/gen_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/gen_tiny.py",
]
model = dict(network=dict(input_size=28, patch_size=4))
