"""SiT-XL/2 with components of ViT-5 generates ImageNet-1K, 256 px.

tools/train.sh configs/gen/sit_vit5_xlarge_p2_in1k_256.py --amp

8 GPUs x 32 images. FID not measured here. ViT-5's paper has 1.84 in SiT-XL, against 2.06 (arXiv 2602.08071),
of another network; its recipe is not known here, so this one is SiT's, of 400,000 iterations.
From ViT-5 are rotary and learned positions, registers, the norm of queries and keys, queries, keys and values
without biases, and GELU. SiT's network keeps its own norms and adaptive scales (adaLN-Zero) where ViT-5 has
RMSNorm and LayerScale.
"""

_base_ = ["./sit_visionllama_base_p2_in1k_256.py", "../_base_/models/vit5.py"]
_block = dict(
    rope=dict(type="AS2DRoPE", scale_side="each"),
    pos_embed=_base_._vit5.pos_embed,
    attn=_base_._vit5.attn,
    ffn=_base_._vit5.ffn,
)
model = dict(network=dict(arch="xlarge", block=_block, registers=_base_._vit5.registers))
