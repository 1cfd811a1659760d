"""DiT-LLaMA-B/4 generates ImageNet-1K, 256 px.

tools/train.sh configs/gen/dit_visionllama_base_p4_in1k_256.py --amp

8 GPUs x 32 images. FID-50K 63.17 without guidance, 39.51 at scale 1.5 of the first three
of four channels, as in the release: 250 steps of DDPM (paper, Tab. 1).
"""

_base_ = [
    "../_base_/models/dit.py",
    "../_base_/datasets/imagenet_gen_256.py",
    "../_base_/schedules/gen_400k.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/gen.py",
]
model = dict(
    network=dict(arch="base", patch_size=4),
    guidance=dict(channels="first_three"),  # where --cfg-scale asks for it
)
