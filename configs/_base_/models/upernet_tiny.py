# A small UperNet for DigitScenes: ten digits, and the background that fills most pixels.
# Leaves add the backbone and its widths. GroupNorm gives the same model in one process and in several, on CPU
# and on GPU.
_base_ = "./upernet.py"
_head = dict(
    channels=32,
    dropout_ratio=0.0,
    num_classes=11,
    norm_cfg=dict(type="GN", num_groups=8),
    loss_decode=dict(class_weight=[0.3] + [1.0] * 10),
)
model = dict(data_preprocessor=dict(size=(64, 64)), decode_head=_head, auxiliary_head=_head)
