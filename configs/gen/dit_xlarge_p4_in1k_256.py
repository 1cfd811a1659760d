"""DiT-XL/4 generates ImageNet-1K, 256 px.

tools/train.sh configs/gen/dit_xlarge_p4_in1k_256.py --amp

8 GPUs x 32 images. FID-50K 43.01 without guidance: 250 steps of DDPM
(paper, Tab. 1, whose guided row repeats that of DiT-L/4).
"""

_base_ = "./dit_visionllama_base_p4_in1k_256.py"
model = dict(network=dict(arch="xlarge", block="vit"))
