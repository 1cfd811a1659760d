"""Two processes draw different times, noise, masks, drop-path and Mixup, and begin with the same weights."""

import random
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import mmengine.runner.runner
import numpy as np
import pytest
import torch
from mmcv.cnn.bricks import DropPath
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.utils.data import Dataset

import mmvisionllama.training.loops
from mmvisionllama.errors import Stopped
from mmvisionllama.fault_tolerance.random_state import (
    capture_random_state,
    randomness_by,
    restore_random_state,
    split_streams,
)
from mmvisionllama.runner_parts import unwrapped
from mmvisionllama.training.runner import ResumableRunner
from tests.configs.shipped import load
from tests.fault_tolerance.resume_cases import differences, left_by, training
from tests.processes import in_processes

SIDE = 32  # of an image; a generator's has 8
ARCH = dict(_delete_=True, embed_dims=24, num_layers=2, num_heads=3)
PLAIN = dict(arch=ARCH, img_size=SIDE, drop_path_rate=0.5)
PYRAMID = dict(
    arch=dict(_delete_=True, embed_dims=(8, 16, 24, 32), depths=(2, 2, 2, 2), num_heads=(1, 2, 3, 4)),
    img_size=SIDE,
    drop_path_rate=0.5,
)
MIXUP = dict(augments=dict(type="mmpretrain.Mixup", alpha=0.8))
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "classifier": (
        "configs/toy/visionllama_tiny_digitscenes.py",
        dict(backbone=PLAIN, head=dict(in_channels=24), train_cfg=MIXUP),
    ),
    "segmentor": (
        "configs/toy/pyramid_visionllama_tiny_upernet_digitscenes.py",
        dict(
            backbone=PYRAMID,
            decode_head=dict(in_channels=[8, 16, 24, 32]),
            auxiliary_head=dict(in_channels=24),
        ),
    ),
    "detector": (
        "configs/toy/pyramid_visionllama_tiny_maskrcnn_digitscenes.py",
        dict(backbone=PYRAMID, neck=dict(in_channels=[8, 16, 24, 32])),
    ),
    "mae": (
        "configs/toy/visionllama_tiny_mae_digitscenes.py",
        dict(backbone=dict(arch=ARCH, img_size=SIDE), neck=dict(num_patches=16, embed_dim=24)),
    ),
    "dit": ("configs/toy/dit_tiny_digits.py", dict(network=dict(arch=ARCH, label_dropout=0.5))),
    "sit": ("configs/toy/sit_visionllama_tiny_digits.py", dict(network=dict(arch=ARCH, label_dropout=0.5))),
}
DRAWN = {
    "classifier": {"drop-path", "inputs"},  # inputs, since Mixup changes them
    "segmentor": {"drop-path"},
    "detector": {"drop-path"},
    "mae": {"mask"},
    "dit": {"labels", "times", "noise"},
    "sit": {"labels", "times", "noise"},
}


@DATASETS.register_module()
class SameImages(Dataset):
    """Both processes get the same images in the same order, so that only what a model draws can differ."""

    def __init__(self, task: str) -> None:
        self.task, self.metainfo = task, {}

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        place = index // 2
        channels, side = (1, 8) if self.task in ("dit", "sit") else (3, SIDE)
        generator = torch.Generator().manual_seed(place)
        img = torch.randint(256, (channels, side, side), generator=generator, dtype=torch.uint8)
        return {"inputs": img, "data_samples": self._labels(place)}

    def _labels(self, place: int) -> Any:
        if self.task == "segmentor":
            return SegDataSample(gt_sem_seg=PixelData(data=torch.full((1, SIDE, SIDE), place)))
        if self.task != "detector":
            return DataSample(metainfo=dict(num_classes=10)).set_gt_label(place)
        found = InstanceData(
            bboxes=torch.tensor([[4.0, 4.0, 24.0, 24.0]]),
            labels=torch.tensor([place]),
            masks=BitmapMasks(np.ones((1, SIDE, SIDE), dtype=np.uint8), SIDE, SIDE),
        )
        sides = dict(img_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE), scale_factor=(1.0, 1.0))
        return DetDataSample(gt_instances=found, metainfo=sides)


@HOOKS.register_module()
class NoteDraws(Hook):
    """Note the weights at the beginning and at the end, and what the model draws for the first step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []
        self.drawn: dict[str, list[Tensor]] = {}

    def before_train(self, runner: ResumableRunner) -> None:
        model = unwrapped(runner)
        self._note_weights(model)
        for module in model.modules():
            if isinstance(module, DropPath) and module.drop_prob:
                # Which samples skip the branch.
                self._note(module, "drop-path", lambda out: (out == 0).flatten(1).all(1))
        self._note(model.data_preprocessor, "inputs", lambda out: torch.stack(tuple(out["inputs"])))
        if hasattr(model, "objective"):
            self._note_noise(model.objective)
        elif hasattr(model.backbone, "mask_ratio"):
            self._note(model.backbone, "mask", lambda out: out[1])

    def after_train(self, runner: ResumableRunner) -> None:
        self._note_weights(unwrapped(runner))

    def _note(self, module: nn.Module, name: str, what: Callable[[Any], Tensor]) -> None:
        def note(module: nn.Module, args: Any, out: Any) -> None:
            self.drawn.setdefault(name, []).append(what(out).detach().clone())

        module.register_forward_hook(note)

    def _note_noise(self, objective: Any) -> None:
        loss = objective.loss

        def noted(network: nn.Module, x: Tensor, labels: Tensor, times: Tensor, noise: Tensor) -> Any:
            self.drawn.update(labels=[labels], times=[times], noise=[noise])
            return loss(network, x, labels, times, noise)

        objective.loss = noted

    def _note_weights(self, model: nn.Module) -> None:
        self.weights.append({name: x.detach().clone() for name, x in model.named_parameters()})


def first_steps(rank: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Train each model for a step in this process, which nobody tells the weights that the first has made."""
    mmengine.runner.runner.broadcast = lambda x: None
    found = {task: first_step(folder, task, 0) for task in TASKS}
    return {**found, "without a seed": first_step(folder, "mae", None)}


def first_step(folder: Path, task: str, seed: int | None) -> dict[str, Any]:
    name, changes = TASKS[task]
    cfg = load(name)
    model = Config(dict(model=cfg.model))
    model.merge_from_dict(dict(model=deepcopy(changes)))
    loader = dict(
        batch_size=4,
        num_workers=0,
        collate_fn=dict(type="default_collate" if task == "mae" else "pseudo_collate"),
        sampler=dict(type="InfiniteSampler", shuffle=False),
        dataset=dict(type="mmengine.SameImages", task=task),
    )
    wrapper = dict(device_ids=None, broadcast_buffers=False, find_unused_parameters=True)
    runner = ResumableRunner.from_cfg(
        Config(
            dict(
                default_scope=cfg.default_scope,
                model=model.model,
                data_preprocessor=cfg.get("data_preprocessor"),
                model_wrapper_cfg=dict(type="MMDistributedDataParallel", **wrapper),
                train_dataloader=loader,
                train_cfg=dict(by_epoch=False, max_iters=1),
                optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
                default_hooks=dict(checkpoint=None),
                custom_hooks=[dict(type="mmengine.NoteDraws")],
                randomness=dict(seed=seed),
                launcher="pytorch",
                env_cfg=dict(dist_cfg=dict(backend="gloo")),
                work_dir=str(folder),
                experiment_name=f"{task}_{seed}",
            )
        )
    )
    runner.train()
    noted = next(hook for hook in runner.hooks if isinstance(hook, NoteDraws))
    return dict(seed=runner.seed, drawn=noted.drawn, weights=noted.weights)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Any]]]:
    """What each of two processes noted of every task."""
    return in_processes(2, first_steps, tmp_path_factory.mktemp("both"))


@pytest.mark.parametrize("task", TASKS)
def test_two_processes_draw_differently_for_the_same_images(task: str, both: list[dict]) -> None:
    one, other = (x[task]["drawn"] for x in both)
    assert DRAWN[task] <= set(one)
    for name in DRAWN[task]:
        assert not all(torch.equal(x, y) for x, y in zip(one[name], other[name], strict=True)), name
    if "inputs" not in DRAWN[task]:
        assert torch.equal(one["inputs"][0], other["inputs"][0])


@pytest.mark.parametrize("task", TASKS)
def test_two_processes_make_the_same_weights_and_keep_them_the_same(task: str, both: list[dict]) -> None:
    for one, other in zip(*(x[task]["weights"] for x in both), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_without_a_seed_processes_agree_on_one_and_draw_differently(both: list[dict]) -> None:
    one, other = (x["without a seed"] for x in both)
    assert one["seed"] == other["seed"]
    torch.testing.assert_close(one["weights"][0], other["weights"][0], rtol=0, atol=0)
    assert not torch.equal(one["drawn"]["mask"][0], other["drawn"]["mask"][0])


def draws() -> list[float]:
    """Draw from each generator, and put its state back."""
    before = capture_random_state()
    drawn = [random.random(), np.random.rand(), torch.rand(1).item()]
    restore_random_state(before)
    return drawn


def test_the_first_process_keeps_its_stream_and_every_other_has_one_by_seed_and_rank() -> None:
    torch.manual_seed(3)
    common = draws()
    split_streams(3, 0)
    assert draws() == common
    found = []
    for seed, rank in ((3, 1), (3, 2), (4, 1), (3, 1)):
        split_streams(seed, rank)
        found.append(draws())
    assert found[0] == found[3]
    assert len({tuple(x) for x in [common, *found[:3]]}) == 4
    with randomness_by(3, 1, 0, 0):  # augments the first image in the second epoch
        assert not set(draws()) & set(found[0])


def resumed_of_before(rank: int, folder: Path) -> list[str]:
    """Stop a training whose processes share one stream, resume it, and hold it against an undisturbed one."""
    changes = dict(launcher="pytorch", batch_size=2)
    split = mmvisionllama.training.loops.split_streams
    mmvisionllama.training.loops.split_streams = lambda seed, rank: None
    whole = training(folder / "whole", **changes)
    whole.train()
    first = training(folder / "parts", ask=dict(train=3), **changes)
    with pytest.raises(Stopped):
        first.train()
    mmvisionllama.training.loops.split_streams = split
    second = training(folder / "parts", resume=True, **changes)
    second.train()
    return differences(left_by(whole), left_by(second))


def test_a_training_whose_processes_shared_one_stream_goes_on_exactly_and_says_so(tmp_path: Path) -> None:
    assert in_processes(2, resumed_of_before, tmp_path) == [[], []]
    (log,) = [x.read_text() for x in (tmp_path / "parts").glob("*/*.log") if "Resumed at" in x.read_text()]
    assert "stay the same in all of them" in log
