# Runtime of every task: environment, seed, log level, start.
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=0)

log_level = "INFO"
load_from = None
resume = False
