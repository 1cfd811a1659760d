"""DiT-LLaMA-XL/2 generates ImageNet-1K, 256 px.

tools/train.sh configs/gen/dit_visionllama_xlarge_p2_in1k_256.py --amp

8 GPUs x 32 images. FID-50K 9.84 without guidance, 2.42 at scale 1.5 of the first three
of four channels, as in the release: 250 steps of DDPM (paper, Tab. 1).
The release's README has another length: dit_visionllama_xlarge_p2_in1k_256_released.py.
"""

_base_ = "./dit_visionllama_base_p4_in1k_256.py"
model = dict(network=dict(arch="xlarge", patch_size=2))
param_scheduler = [dict(type="ConstantLR", factor=1.0, begin=0, end=2_352_000, by_epoch=False)]
train_cfg = dict(max_iters=2_352_000, val_interval=49_000)
