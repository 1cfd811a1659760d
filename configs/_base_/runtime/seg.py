# Runtime of segmentation: scope, loops and hooks.
default_scope = "mmseg"
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2000, max_keep_ckpts=2, save_best="mIoU"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="mmvisionllama.RunSummaryHook"),
    dict(type="mmvisionllama.CurvesHook"),
    dict(type="mmvisionllama.SegPicturesHook"),
]
log_processor = dict(by_epoch=False)
# Of the host's inferencer, which draws nothing without one.
visualizer = dict(type="SegLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")])
