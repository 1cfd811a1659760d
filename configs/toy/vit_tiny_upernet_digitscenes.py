"""ViT-tiny with a small UperNet on DigitScenes: the baseline of visionllama_tiny_upernet_digitscenes.py.

tools/train.sh configs/toy/vit_tiny_upernet_digitscenes.py

One process on two CPU cores, 16 images. Learned positions and GELU, at the same number of parameters.
"""

_base_ = "./visionllama_tiny_upernet_digitscenes.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmpretrain.VisionTransformer",
        arch=dict(embed_dims=96, num_layers=8, num_heads=3, feedforward_channels=384),
        img_size=64,
        patch_size=8,
        out_type="featmap",
        out_indices=(1, 3, 5, 7),
        final_norm=False,
    ),
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)))
)
