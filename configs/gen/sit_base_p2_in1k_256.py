"""SiT-B/2 generates ImageNet-1K, 256 px.

tools/train.sh configs/gen/sit_base_p2_in1k_256.py --amp

8 GPUs x 32 images. FID-50K without guidance 35.54 (SDE, 250 Euler steps) and 36.90
(ODE, dopri5): paper, Tab. 8 and 9.
"""

_base_ = "./sit_visionllama_base_p2_in1k_256.py"
model = dict(network=dict(block="vit"))
