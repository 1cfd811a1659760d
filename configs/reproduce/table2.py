"""Table 2: supervised classifiers on ImageNet-1K, top-1."""

source = "paper v2, Tab. 2"
columns = {"parameters, M": "parameters", "top-1": "accuracy/top1"}
evaluate = dict(kind="test")
rows = dict(
    deit_small=dict(label="DeiT-S", chain=["cls/vit_small_in1k"], published=[22, 79.9]),
    cpvt_small_gap=dict(label="CPVT-S-GAP", published=[23, 81.5]),
    deit3_small=dict(
        label="DeiT3-S", chain=["cls/deit3_small_in1k"], published=[22, 81.4], note="mmpretrain: 81.35"
    ),
    visionllama_small=dict(label="VisionLLaMA-S", chain=["cls/visionllama_small_in1k"], published=[22, 81.6]),
    swin_tiny=dict(
        label="Swin-T", chain=["cls/swin_tiny_in1k"], published=[29, 81.3], note="mmpretrain: 81.18"
    ),
    twins_svt_small=dict(
        label="Twins-SVT-S",
        chain=["cls/twins_svt_small_in1k"],
        published=[24, 81.7],
        note="mmpretrain: 81.77; Twins' log: 81.71",
    ),
    pyramid_visionllama_small=dict(
        label="Pyramid VisionLLaMA-S",
        chain=["cls/pyramid_visionllama_small_in1k"],
        published=[24, 81.6],
        note="the parameters are those of Twins-SVT; the model has 25.90 M",
    ),
    swin_small=dict(
        label="Swin-S",
        chain=["cls/swin_small_in1k"],
        published=[50, 83.0],
        note="mmpretrain: 83.02 or 83.21",
    ),
    twins_svt=dict(
        label="Twins-SVT-B",
        chain=["cls/twins_svt_in1k"],
        published=[56, 83.2],
        note="mmpretrain: 83.13",
    ),
    pyramid_visionllama=dict(
        label="Pyramid VisionLLaMA-B", chain=["cls/pyramid_visionllama_in1k"], published=[56, 83.2]
    ),
    deit3=dict(
        label="DeiT3-B",
        chain=["cls/deit3_in1k_pre192", "cls/deit3_in1k"],
        published=[86, 83.8],
        note="mmpretrain: 83.80",
    ),
    visionllama=dict(
        label="VisionLLaMA-B",
        chain=["cls/visionllama_in1k_pre192", "cls/visionllama_in1k"],
        published=[86, 83.6],
    ),
    swin=dict(label="Swin-B", chain=["cls/swin_in1k"], published=[88, 83.3], note="mmpretrain: 83.36"),
    twins_svt_large=dict(
        label="Twins-SVT-L",
        chain=["cls/twins_svt_large_in1k"],
        published=[99, 83.7],
        note="mmpretrain: 83.60; Twins' log: 83.65",
    ),
    pyramid_visionllama_large=dict(
        label="Pyramid VisionLLaMA-L",
        chain=["cls/pyramid_visionllama_large_in1k"],
        published=[99, 83.6],
        note="the parameters are those of Twins-SVT; the model has 104.72 M",
    ),
    deit3_large=dict(
        label="DeiT3-L, retrained",
        chain=["cls/deit3_large_in1k_pre160", "cls/deit3_large_in1k"],
        published=[310, 84.5],
        note="official weights: 84.87, 304.37 M (mmpretrain)",
    ),
    visionllama_large=dict(
        label="VisionLLaMA-L",
        chain=["cls/visionllama_large_in1k_pre160", "cls/visionllama_large_in1k"],
        published=[310, 84.6],
    ),
)
