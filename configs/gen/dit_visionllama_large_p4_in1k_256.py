"""DiT-LLaMA-L/4 generates ImageNet-1K, 256 px.

tools/train.sh configs/gen/dit_visionllama_large_p4_in1k_256.py --amp

8 GPUs x 32 images. FID-50K 40.32 without guidance, 18.64 at scale 1.5 of the first three
of four channels, as in the release: 250 steps of DDPM (paper, Tab. 1).
"""

_base_ = "./dit_visionllama_base_p4_in1k_256.py"
model = dict(network=dict(arch="large"))
