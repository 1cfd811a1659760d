# The baseline of tiny_visionllama.py: learned positions and GELU, 0.92 M parameters.
_base_ = "./tiny_visionllama.py"
model = dict(backbone=dict(rope=None, pos_embed=dict(type="LearnedPosEmbed"), ffn=dict(type="GELUFFN")))
