"""SiT-LLaMA-B/2 generates ImageNet-1K, 256 px.

tools/train.sh configs/gen/sit_visionllama_base_p2_in1k_256.py --amp

8 GPUs x 32 images. FID-50K without guidance 29.53 (SDE, 250 Euler steps) and 30.23
(ODE, dopri5): paper, Tab. 8 and 9.
"""

_base_ = [
    "../_base_/models/sit.py",
    "../_base_/datasets/imagenet_gen_256.py",
    "../_base_/schedules/gen_400k.py",
    "../_base_/runtime/default.py",
    "../_base_/runtime/gen.py",
]
model = dict(network=dict(arch="base", patch_size=2))
# Those at 100k, 200k, 300k and 400k stay: Tab. 10 evaluates them.
default_hooks = dict(checkpoint=dict(type="mmvisionllama.SafeCheckpointHook", keep_every=100_000))
