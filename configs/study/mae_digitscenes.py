"""MAE on DigitScenes: fine-tuning with few labels, and linear probes.

.venv/bin/python tools/study.py configs/study/mae_digitscenes.py --jobs 2

Three seeds, means of top-1: 93.2 with 300 labels after MAE, 77.3 without; a linear probe reaches 55.3 on the
features of MAE, 12.7 on random ones (docs/recipes.md).
"""

metric = "accuracy/top1"
seeds = [0, 1, 2]
preparations = dict(pretrain=dict(config="configs/toy/visionllama_tiny_mae_digitscenes.py"))
_few = "configs/toy/visionllama_tiny_digitscenes_300labels.py"
_probe = "configs/toy/visionllama_tiny_mae_linear_digitscenes.py"
runs = dict(
    scratch=dict(label="300 labels, random start", config=_few),
    finetuned=dict(label="300 labels, after MAE", config=_few, load_from="pretrain"),
    probe_random=dict(label="linear probe of random features", config=_probe),
    probe=dict(label="linear probe of MAE features", config=_probe, load_from="pretrain"),
)
