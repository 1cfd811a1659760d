"""VisionLLaMA-tiny classifies DigitScenes, from scratch, its matrices trained by Muon.

tools/train.sh configs/toy/visionllama_tiny_digitscenes_muon.py

One process on two CPU cores, 32 images, 1,500 steps. Top-1 92.6 to 94.8 (three seeds), in 586 to 707 s with
one thread beside another training; with AdamW 95.2 to 96.4 (visionllama_tiny_digitscenes.py). torch's Muon
multiplies in bfloat16: on a CPU without units for it, a step takes three to four times as long as with AdamW.
"""

_base_ = [
    "../_base_/models/tiny_visionllama.py",
    "../_base_/datasets/digitscenes_cls.py",
    "../_base_/schedules/cls_tiny_muon.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/cls_iters.py",
]
