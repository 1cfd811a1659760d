# COCO 2017, instances, with large-scale jitter to 1024 px (ViTDet); evaluation at 1024 px.
# The model pads, so that no box can be found in what is padded.
_base_ = "./coco.py"
_jitter = dict(type="RandomResize", scale=(1024, 1024), ratio_range=(0.1, 2.0), keep_ratio=True)
_crop = dict(
    type="RandomCrop",
    crop_type="absolute_range",
    crop_size=(1024, 1024),
    recompute_bbox=True,
    allow_negative_crop=True,
)
_filter = dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2))
train_dataloader = dict(
    _delete_=True,  # batches are of any aspect ratio
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        **_base_._train,
        pipeline=[
            _base_._load_train,
            _base_._mark,
            _base_._annotate,
            _base_._flip,
            _jitter,
            _crop,
            _filter,
            dict(type="PackDetInputs"),
        ],
    ),
)
_resize = dict(type="Resize", scale=(1024, 1024), keep_ratio=True)
val_dataloader = dict(
    dataset=dict(pipeline=[_base_._load, _resize, _base_._mark, _base_._annotate, _base_._pack])
)
test_dataloader = val_dataloader
