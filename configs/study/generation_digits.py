"""LLaMA's block beside DiT's and SiT's own on scikit-learn's digits: 1.06 M parameters, one schedule.

tools/train.sh configs/toy/visionllama_tiny_digits.py
.venv/bin/python tools/study.py configs/study/generation_digits.py --jobs 2

The classifier of the first command judges what every validation draws. Class accuracy, means of three seeds:
DiT-LLaMA 93.2, DiT 93.9, SiT-LLaMA 96.5, SiT 96.3 (docs/generation.md).
"""

metric = ["generation/class_accuracy", "generation/fid"]
seeds = [0, 1, 2]
runs = dict(
    dit_visionllama=dict(label="DiT-LLaMA", config="configs/toy/dit_visionllama_tiny_digits_scored.py"),
    dit=dict(label="DiT", config="configs/toy/dit_tiny_digits_scored.py"),
    sit_visionllama=dict(label="SiT-LLaMA", config="configs/toy/sit_visionllama_tiny_digits_scored.py"),
    sit=dict(label="SiT", config="configs/toy/sit_tiny_digits_scored.py"),
)
