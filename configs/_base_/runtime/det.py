# Runtime of detection: scope, loops and hooks.
default_scope = "mmdet"
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2, save_best="coco/bbox_mAP"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="mmvisionllama.RunSummaryHook"),
    dict(type="mmvisionllama.CurvesHook"),
    dict(type="mmvisionllama.DetPicturesHook"),
    dict(type="mmvisionllama.PrecisionRecallHook"),
]
# Of the host's inferencer, which draws nothing without one.
visualizer = dict(type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")])
