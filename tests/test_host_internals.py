"""What reaches into mmengine, torch and numpy still finds there what it was written for."""

import ast
import copy
import importlib
import inspect
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.dataset.base_dataset import force_full_init  # noqa: F401  (importable)
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mmvisionllama import host_internals as host

PACKAGE = Path(host.__file__).parent


def wrapper_of(model: nn.Module, **options: int) -> OptimWrapper:
    return OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), **options)


def test_the_versions_that_were_checked_are_the_installed_ones() -> None:
    found = {name: importlib.import_module(name).__version__.partition("+")[0] for name in host.CHECKED}
    assert found == host.CHECKED, "run this file, then state the new versions in host_internals.CHECKED"


def test_no_other_file_reaches_into_a_host() -> None:
    """Private names may be used of one's own objects, and in host_internals."""
    trees = {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
    own = {name for tree in trees.values() for name in _defined(tree)}
    foreign = {
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}"
        for path, tree in trees.items()
        if path.name != "host_internals.py"
        for node in ast.walk(tree)
        if _reaches_in(node, own)
    }
    assert foreign == set()


def test_mmengine_looks_bases_of_packages_up_by_the_function_that_compat_replaces() -> None:
    assert list(inspect.signature(Config._get_cfg_path).parameters) == ["cfg_path", "filename"]
    assert "Config._get_cfg_path(" in inspect.getsource(sys.modules[Config.__module__])


_PYTHON = {"os._exit", "status._value_"}  # documented, private in name alone
_BEFORE_TORCH = {"config._get_cfg_path"}  # of compat, for which host_internals is too heavy
_SUBCLASSED = {"_iter", "_epoch", "_max_iters", "_max_epochs", "_decide_current_val_interval"}  # of our loops


def _reaches_in(node: ast.AST, own: set[str]) -> bool:
    if isinstance(node, ast.ImportFrom):
        theirs = not (node.module or "").startswith("mmvisionllama") and not node.level
        return theirs and any(alias.name.startswith("_") for alias in node.names)
    if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
        return False
    return node.attr not in own | _SUBCLASSED and ast.unparse(node) not in _PYTHON | _BEFORE_TORCH


def _defined(tree: ast.AST) -> set[str]:
    names = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= {node.attr} if ast.unparse(node.value) in ("self", "cls") else set()
        if isinstance(node, ast.AnnAssign | ast.Name) and isinstance(getattr(node, "target", node), ast.Name):
            names.add(getattr(node, "target", node).id)
    return names


def test_a_wrapper_steps_after_the_batches_that_it_was_told() -> None:
    model = nn.Linear(1, 1, bias=False)
    wrapper = wrapper_of(model)
    host.accumulate(wrapper, 3)
    wrapper.initialize_count_status(model, 0, -1)
    before = model.weight.item()
    host.count_as_taken(wrapper, 1)
    wrapper.update_params(model(torch.ones(1, 1)).sum())
    assert model.weight.item() == before
    wrapper.update_params(model(torch.ones(1, 1)).sum())
    assert model.weight.item() != before


def test_update_params_calls_the_functions_around_backward_and_step() -> None:
    model, calls = nn.Linear(1, 1), []
    wrapper = wrapper_of(model)
    former = host.replace_steps(
        wrapper,
        lambda loss, **kwargs: calls.append("backward") or former[0](loss),
        lambda **kwargs: calls.append("step") or former[1](),
    )
    wrapper.update_params(model(torch.ones(1, 1)).sum())
    assert calls == ["backward", "step"]


def test_an_average_is_updated_by_the_function_in_its_place() -> None:
    model, calls = nn.Linear(1, 1), []
    average = ExponentialMovingAverage(model)
    host.replace_averaging(average, lambda mine, source, steps: calls.append(steps))
    average.update_parameters(model)
    average.update_parameters(model)
    assert calls


def test_a_swap_exchanges_weights_and_averages() -> None:
    hook = EMAHook()
    hook.src_model, hook.ema_model = nn.Linear(1, 1), ExponentialMovingAverage(nn.Linear(1, 1))
    mine, theirs = hook.src_model.weight.item(), hook.ema_model.module.weight.item()
    host.swap_averages(hook)
    assert (hook.src_model.weight.item(), hook.ema_model.module.weight.item()) == (theirs, mine)


@pytest.mark.parametrize(("optimizer", "takes"), [(torch.optim.AdamW, True), (torch.optim.Rprop, False)])
def test_fused_optimizers_take_a_decision_as_a_tensor(optimizer: type, takes: bool) -> None:
    parameter = nn.Parameter(torch.zeros(2))
    built = optimizer([parameter], lr=1.0, **({"fused": True} if takes else {}))
    assert host.takes_found_inf(built) is takes
    if takes:
        parameter.grad, built.found_inf = torch.ones(2), torch.tensor(1.0)
        built.step()
        assert parameter.tolist() == [0, 0]


def test_every_road_of_mmengine_ends_in_the_reader_that_replaces_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("load_from_local", "load_from_http", "_safe_torch_load")
    for name in names:  # put back after this test
        monkeypatch.setattr(mmengine_checkpoint, name, getattr(mmengine_checkpoint, name))
    monkeypatch.setattr(CheckpointLoader, "_schemes", dict(CheckpointLoader._schemes))
    host.replace_checkpoint_readers(lambda path: {"read": path}, lambda file: {"unpickled": file})
    for path in ("weights.pth", "http://host/weights.pth", "https://host/weights.pth"):
        assert CheckpointLoader.load_checkpoint(path, logger="silent") == {"read": path}
    for name in ("load_from_torchvision", "load_from_openmmlab", "load_from_ceph", "load_from_pavi"):
        used = getattr(mmengine_checkpoint, name).__code__.co_names
        assert set(used) & set(names), f"{name} reads by {used}"


def test_weights_are_loaded_from_memory() -> None:
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    host.load_weights(model, {"state_dict": {f"module.{k}": v for k, v in other.state_dict().items()}})
    assert torch.equal(model.weight, other.weight)


def test_a_base_of_another_package_has_a_file(tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text("")
    path = host.path_of_base("mmpretrain::_base_/default_runtime.py", config)
    assert Config.fromfile(path).default_scope == "mmpretrain"


def test_a_dataset_tells_whether_it_uses_a_part() -> None:
    whole = BaseDataset(lazy_init=True)
    assert not host.uses_part(whole)
    assert host.uses_part(BaseDataset(lazy_init=True, indices=3))


def test_the_dataset_for_num_batch_per_epoch_holds_the_given_one() -> None:
    from mmengine.runner import Runner

    dataset = TensorDataset(torch.arange(8))
    cfg = dict(dataset=dataset, sampler=dict(type="DefaultSampler"), batch_size=2, num_batch_per_epoch=2)
    found = host.shortened_dataset(Runner.build_dataloader(cfg).dataset)
    assert isinstance(found, TensorDataset)
    assert len(found) == len(dataset)


def test_the_processes_of_a_dataloader_end() -> None:
    loader = DataLoader(range(4), num_workers=1, persistent_workers=True, collate_fn=pseudo_collate)
    list(loader)
    (worker,) = loader._iterator._workers
    host.end_workers(loader)
    assert not worker.is_alive()
    host.end_workers(loader)  # once more does nothing


def test_deepcopy_asks_the_function_in_its_place() -> None:
    module, other = nn.Linear(1, 1), nn.Linear(1, 1)
    host.replace_deepcopy(module, lambda memo: other)
    assert copy.deepcopy(module) is other


@pytest.mark.parametrize(
    "register",
    [
        nn.Module.register_forward_hook,
        nn.Module.register_forward_pre_hook,
        nn.Module.register_full_backward_hook,
        nn.Module.register_full_backward_pre_hook,
    ],
)
def test_a_module_with_a_hook_is_watched_until_it_is_removed(register: Callable) -> None:
    module = nn.Linear(1, 1)
    assert not host.is_watched(module)
    handle = register(module, lambda *args: None)
    assert host.is_watched(module)
    handle.remove()
    assert not host.is_watched(module)


def test_arrays_of_old_and_new_numpy_name_functions_that_are_allowed() -> None:
    named = {name for _, name in host.numpy_globals()}
    text = pickle.dumps(np.arange(3), protocol=2).decode("latin1")
    assert any(name.rpartition(".")[0] in text for name in named)
    assert {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"} <= named


def test_frames_of_this_thread_are_told() -> None:
    names = [frame.f_code.co_name for _, frame in host.frames_of_threads()]
    assert "frames_of_threads" in names or "test_frames_of_this_thread_are_told" in names


def test_the_bases_of_norms_are_those_of_every_kind() -> None:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    assert all(issubclass(kind, host.BATCH_NORM) for kind in kinds)
    assert all(issubclass(x, host.INSTANCE_NORM) for x in (nn.InstanceNorm1d, nn.InstanceNorm2d))


def test_the_first_metric_is_watched_by_the_hosts_rule_for_its_name() -> None:
    for name, rule in (("accuracy/top1", "greater"), ("loss", "less")):
        hook = CheckpointHook(interval=1, save_best="auto")
        host.watch_first_metric(hook, {name: 1.0, "other": 2.0})
        assert (hook.key_indicators, hook.rules) == ([name], [rule])
