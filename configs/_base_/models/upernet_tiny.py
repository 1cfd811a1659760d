# A small UperNet for DigitScenes: ten digits, and the background that fills most pixels. Leaves add the
# backbone and its widths. GroupNorm gives the same model in one process and in several, on CPU and on GPU.
_norm = dict(type="GN", num_groups=8)
_loss = dict(type="CrossEntropyLoss", class_weight=[0.3] + [1.0] * 10)
_head = dict(channels=32, dropout_ratio=0.0, num_classes=11, norm_cfg=_norm, align_corners=False)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(64, 64),
    ),
    decode_head=dict(
        type="UPerHead",
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        loss_decode=dict(**_loss, loss_weight=1.0),
        **_head,
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_index=2,
        num_convs=1,
        concat_input=False,
        loss_decode=dict(**_loss, loss_weight=0.4),
        **_head,
    ),
    test_cfg=dict(mode="whole"),
)
