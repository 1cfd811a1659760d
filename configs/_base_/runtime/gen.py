# Runtime of generation: scope, loops and hooks.
default_scope = "mmpretrain"
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=100, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=False,
        interval=10_000,
        max_keep_ckpts=2,
        save_best="denoising/loss",
        rule="less",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="mmengine.EMAHook", ema_type="ExponentialMovingAverage", momentum=1e-4),
    dict(type="mmvisionllama.RunSummaryHook"),
    dict(type="mmvisionllama.CurvesHook"),
    dict(type="mmvisionllama.SamplePicturesHook"),
]
log_processor = dict(by_epoch=False)
