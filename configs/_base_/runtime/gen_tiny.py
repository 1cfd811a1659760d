# As gen.py, for short trainings: checkpoints and the moving average are as short.
_base_ = "./gen.py"
default_hooks = dict(checkpoint=dict(interval=500))
custom_hooks = [
    dict(type="mmengine.EMAHook", ema_type="ExponentialMovingAverage", momentum=5e-3),
    dict(type="mmvisionllama.RunSummaryHook"),
    dict(type="mmvisionllama.CurvesHook"),
    dict(type="mmvisionllama.SamplePicturesHook"),
]
