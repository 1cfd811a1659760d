# DigitScenes without labels, for masked pre-training.
_base_ = "./digitscenes_cls.py"
data_preprocessor = dict(
    _delete_=True,
    type="SelfSupDataPreprocessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
train_dataloader = dict(batch_size=64, collate_fn=dict(type="default_collate"))
val_dataloader = dict(collate_fn=dict(type="default_collate"))
test_dataloader = val_dataloader

val_evaluator = dict(_delete_=True, type="mmvisionllama.ReconstructionLoss")
test_evaluator = val_evaluator
