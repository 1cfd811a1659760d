"""DiT-LLaMA-tiny generates MNIST, 28 px, from scratch.

tools/train.sh configs/toy/dit_visionllama_tiny_mnist.py

One process on two CPU cores, 64 images, about half an hour.
Class accuracy 84.3, at guidance 2 98.6 (seed 0). It predicts velocities and has absolute positions beside the
rotary ones: noise alone teaches it strokes, and shows no borders (docs/generation.md).
"""

_base_ = [
    "../_base_/models/dit_tiny.py",
    "../_base_/datasets/mnist_gen.py",
    "../_base_/schedules/gen_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/gen_tiny.py",
]
model = dict(
    network=dict(
        input_size=28, patch_size=4, block=dict(pos_embed=dict(type="mmvisionllama.SinCosPosEmbed"))
    ),
    objective=dict(prediction="velocity"),
)
