"""ViT-tiny with a small UperNet on DigitScenes: the baseline of visionllama_tiny_upernet_digitscenes.py.

tools/train.sh configs/seg/vit_tiny_upernet_digitscenes.py

One process on two CPU cores, 32 images. Learned positions and GELU, at the same number of parameters.
"""

_base_ = "./visionllama_tiny_upernet_digitscenes.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmpretrain.VisionTransformer",
        arch=dict(embed_dims=128, num_layers=6, num_heads=4, feedforward_channels=768),
        img_size=64,
        patch_size=8,
        out_type="featmap",
        out_indices=(1, 2, 3, 5),
        final_norm=False,
    ),
)
