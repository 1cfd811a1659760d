_base_ = "../tools/toy_config.py"
custom_imports = dict(imports=["tests.tools.toy", "tests.slurm.events"], allow_failed_imports=False)
val_dataloader = dict(batch_size=1)
train_cfg = dict(max_iters=8, val_interval=4)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=2))
custom_hooks = [dict(type="mmvisionllama.RunSummaryHook"), dict(type="mmengine.Events")]
