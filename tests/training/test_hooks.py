"""The list of hooks: its order is that in which a run of every task calls them."""

from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.runner import get_priority

from mmvisionllama.config import load_config
from mmvisionllama.registry import HOOKS as OUR_HOOKS
from mmvisionllama.training.hooks import HOOKS, hooks_by
from mmvisionllama.training.runner import ResumableRunner

EVERY_TRAINING = [
    "RuntimeInfoHook",
    "ScheduleCheckHook",
    "IterTimerHook",
    "DistSamplerSeedHook",
    "ResultsOrderHook",
    "LoggerHook",
    "NanGuardHook",
    "ParamSchedulerHook",
    "SafeCheckpointHook",
    "StartReportHook",
    "ProgressHook",
    "RunEndHook",
    "StopHook",
]
OF_A_TASK = {
    "toy/visionllama_tiny_upernet_digitscenes.py": ["RunSummaryHook", "CurvesHook", "SegPicturesHook"],
    "toy/visionllama_tiny_digits.py": ["RunSummaryHook", "CurvesHook", "ClsPicturesHook", "ConfusionHook"],
    "toy/visionllama_tiny_mae_digitscenes.py": ["RunSummaryHook", "CurvesHook", "MAEPicturesHook"],
    "toy/visionllama_tiny_vitdet_digitscenes.py": [
        "RunSummaryHook",
        "CurvesHook",
        "DetPicturesHook",
        "PrecisionRecallHook",
    ],
    "toy/dit_visionllama_tiny_digits.py": ["EMAHook", "RunSummaryHook", "CurvesHook", "SamplePicturesHook"],
}


def hooks_of(config: str, folder: Path, command: str = "training", **changes: object) -> list[Hook]:
    cfg = load_config(f"configs/{config}", {"work_dir": str(folder), **changes})
    runner = ResumableRunner.from_cfg(cfg)
    for hook in hooks_by(command, runner):
        runner.register_hook(hook)
    return runner.hooks


def names_of(hooks: list[Hook]) -> list[str]:
    return [type(hook).__name__ for hook in hooks]


@pytest.mark.parametrize("config", OF_A_TASK)
def test_a_training_of_every_task_calls_its_hooks_in_the_order_of_the_list(
    config: str, tmp_path: Path
) -> None:
    listed = [entry.name for entry in HOOKS]
    expected = sorted([*EVERY_TRAINING, *OF_A_TASK[config]], key=listed.index)
    assert names_of(hooks_of(config, tmp_path)) == expected


def test_a_test_gets_no_hook_of_a_training(tmp_path: Path) -> None:
    hooks = names_of(hooks_of("toy/visionllama_tiny_digits.py", tmp_path, "test"))
    assert {"StartReportHook", "ProgressHook", "RunEndHook"} <= {*hooks}
    assert "ScheduleCheckHook" not in hooks


def test_a_global_batch_of_several_batches_adds_the_hook_that_accumulates(tmp_path: Path) -> None:
    changes = {"auto_scale_lr": dict(base_batch_size=96), "train_dataloader.batch_size": 48}
    assert "AccumulationHook" in names_of(hooks_of("toy/visionllama_tiny_digits.py", tmp_path, **changes))


def test_a_guard_of_the_config_takes_the_place_of_the_runners(tmp_path: Path) -> None:
    guard = dict(type="mmvisionllama.NanGuardHook", budget=3)
    hooks = hooks_of("toy/visionllama_tiny_digits.py", tmp_path, custom_hooks=[guard])
    guards = [hook for hook in hooks if type(hook).__name__ == "NanGuardHook"]
    assert [hook.budget for hook in guards] == [3]
    assert guards[0].priority == "BELOW_NORMAL"


def test_a_priority_in_the_config_goes_before_that_of_the_list(tmp_path: Path) -> None:
    summary = dict(type="mmvisionllama.RunSummaryHook", priority="LOWEST")
    hooks = hooks_of("toy/visionllama_tiny_digits.py", tmp_path, custom_hooks=[summary])
    assert names_of(hooks).index("RunSummaryHook") > names_of(hooks).index("SafeCheckpointHook")


def test_the_list_is_in_the_order_of_priorities_and_agrees_with_mmengine() -> None:
    assert [get_priority(x.priority) for x in HOOKS] == sorted(get_priority(x.priority) for x in HOOKS)
    for entry in HOOKS:
        theirs = MMENGINE_HOOKS.module_dict.get(entry.name)
        if theirs is not None:
            assert theirs.priority == entry.priority, entry.name


def test_every_hook_that_this_package_registers_is_on_the_list() -> None:
    OUR_HOOKS.import_from_location()
    ours = {
        name for name, cls in OUR_HOOKS.module_dict.items() if cls.__module__.startswith("mmvisionllama.")
    }
    assert ours <= {entry.name for entry in HOOKS}
