"""SiT-LLaMA-tiny generates scikit-learn's digits, and every validation scores 359 of them.

tools/train.sh configs/toy/visionllama_tiny_digits.py
tools/train.sh configs/toy/sit_visionllama_tiny_digits_scored.py

One process on two CPU cores, 64 images, 8 to 14 minutes. The classifier of the first command is the judge.
Class accuracy 96.4, 96.4, 96.7, FID 1.03, 1.13, 1.13 (seeds 0, 1, 2; docs/generation.md).
"""

_base_ = [
    "../_base_/models/sit_tiny.py",
    "../_base_/datasets/digits_gen_scored.py",
    "../_base_/schedules/gen_tiny.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/gen_tiny.py",
]
