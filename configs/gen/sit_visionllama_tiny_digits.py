"""SiT-LLaMA-tiny generates scikit-learn's digits, 8 px, from random values.

tools/train.sh configs/gen/sit_visionllama_tiny_digits.py

One process on two CPU cores, 64 images.
"""

_base_ = [
    "../_base_/models/sit_tiny.py",
    "../_base_/datasets/digits_gen.py",
    "../_base_/evaluation/denoising_loss.py",
    "../_base_/schedules/gen_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/gen_tiny.py",
]
