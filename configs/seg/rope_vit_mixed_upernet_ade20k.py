"""RoPE-ViT-B with learned frequencies ("mixed") and UperNet on ADE20K, from the public classifier.

tools/train.sh configs/seg/rope_vit_mixed_upernet_ade20k.py --amp \
    --cfg-options load_from=rope_vit_mixed_base.safetensors

8 GPUs x 2 images, the recipe of visionllama_upernet_ade20k.py. mIoU not measured here.
The weights come from model.safetensors of huggingface.co/timm/vit_base_patch16_rope_mixed_224.naver_in1k, by
.venv/bin/python tools/convert_checkpoint.py model.safetensors rope_vit_mixed_base.safetensors
Positions are not scaled: beyond 14 x 14 tokens frequencies see angles that were not trained.
"""

_base_ = "./visionllama_upernet_ade20k.py"
model = dict(
    backbone=dict(
        rope=dict(type="MixedRoPE2D", base=10.0, cls_position=None),
        ffn=dict(type="GELUFFN"),
        layer_scale=1e-5,
        with_cls_token=True,
    )
)
_spared = dict(cls_token=dict(decay_mult=0.0), frequencies=dict(decay_mult=0.0))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_spared))
