"""Trainings whose tensors are shared out over two processes do what whole ones do, and resume as they do."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

import tests.fault_tolerance.nan_injection  # noqa: F401  (registers)
from mmvisionllama import PyramidVisionLLaMA, VisionLLaMA
from mmvisionllama.checkpoint import newest_good, read_checkpoint, verify
from mmvisionllama.checkpoint.manifest import Choice
from mmvisionllama.errors import CheckpointError, ConfigError
from mmvisionllama.generation import DiT
from mmvisionllama.training import sharded_checkpoint
from mmvisionllama.training.layer_decay import LayerDecayOptimWrapperConstructor
from mmvisionllama.training.runner import ResumableRunner
from mmvisionllama.training.sharding import ShardedDataParallel
from tests.fault_tolerance.resume_cases import Crash, differences, left_by, stopped_and_resumed, training
from tests.processes import in_processes

SHARDED = dict(type="mmvisionllama.ShardedDataParallel")
ONE = dict(
    batch_size=4, model="mmengine.BlockRegression", max_iters=6, every=3, checkpoint=dict(save_best=None)
)
TWO = dict(ONE, batch_size=2, launcher="pytorch", wrapper=SHARDED)


@MODELS.register_module()
class BlockRegression(BaseModel):
    """Two blocks over points as images of 2 x 2 pixels; nothing in it is random."""

    def __init__(self) -> None:
        super().__init__()
        sizes = dict(embed_dims=12, num_layers=2, num_heads=1)
        options = dict(img_size=2, patch_size=1, in_channels=1, out_type="avg_featmap")
        self.backbone = VisionLLaMA(sizes, **options)
        self.head = nn.Linear(12, 1)  # of whose one row the second process has nothing

    def forward(self, inputs: Tensor, target: Tensor, mode: str = "tensor", **others: Any) -> Any:
        predicted = self.head(self.backbone(inputs.reshape(-1, 1, 2, 2))[0]).squeeze(1)
        if mode == "loss":
            return {"loss": (predicted - target).square().mean()}
        return [{"error": x} for x in (predicted - target).abs()]


def history(runner: ResumableRunner, name: str) -> Tensor:
    return torch.from_numpy(runner.message_hub.get_scalar(name).data[0])


def last_weights(folder: Path) -> dict[str, Tensor]:
    """Return the averages and, under their names, the weights of the last checkpoint."""
    content = read_checkpoint(Path(folder, "last_checkpoint").read_text())
    return {**content["state_dict"], **content["ema_state_dict"]}


def require_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ResumableRunner:
    """Train in one process."""
    runner = training(tmp_path_factory.mktemp("whole"), **ONE)
    runner.train()
    return runner


@pytest.mark.parametrize("shard_size", [2, 1])
def test_two_processes_with_shards_train_as_one_without(
    whole: ResumableRunner, tmp_path: Path, shard_size: int
) -> None:
    wrapper = dict(SHARDED, shard_size=shard_size)
    options = {**TWO, "wrapper": wrapper}

    def work(rank: int) -> list[int]:
        runner = training(tmp_path, **options)
        runner.train()
        for name in ("train/loss", "train/grad_norm", "val/error"):
            torch.testing.assert_close(history(runner, name), history(whole, name), rtol=1e-4, atol=1e-6)
        shards = [x.to_local() for x in runner.model.module.parameters() if isinstance(x, DTensor)]
        return [x.numel() for x in shards]

    held = in_processes(2, work)
    require_close(last_weights(tmp_path), last_weights(Path(whole.work_dir)))
    number = sum(x.numel() for x in whole.model.parameters())
    assert sum(map(sum, held)) == number * 2 // shard_size
    assert max(map(sum, held)) < number * 0.6 or shard_size == 1


def test_a_sharded_training_resumes_exactly(tmp_path: Path) -> None:
    """With drop-out, mix-up and batch norm of each process, also in the middle of an accumulation."""
    units = dict(SHARDED, units=["Linear"])
    options = dict(launcher="pytorch", batch_size=2, wrapper=units, accumulate=4, every=3, max_iters=8)

    def work(rank: int) -> None:
        undisturbed = training(tmp_path / "undisturbed", **options)
        undisturbed.train()
        left = left_by(undisturbed)
        for ask in (dict(train=2, rank=1), dict(train=7, crash=True)):
            resumed = stopped_and_resumed(tmp_path / str(ask["train"]), ask, **options)[-1]
            assert differences(left, left_by(resumed)) == []

    in_processes(2, work)


def test_the_best_checkpoint_of_a_sharded_training_is_an_ordinary_file(tmp_path: Path) -> None:
    options = dict(TWO, max_iters=1, checkpoint=dict(save_best="error"))
    in_processes(2, lambda rank: training(tmp_path, **options).train() and None)
    best = tmp_path / "best_error_iter_1.pth"
    assert verify(best).problem is None
    averages = read_checkpoint(tmp_path / "iter_1.sharded")["state_dict"]
    assert all(torch.equal(x, averages[name]) for name, x in read_checkpoint(best)["state_dict"].items())


def crash(folder: Path, **options: Any) -> None:
    """Train until the fifth iteration; the last checkpoint is that of the third."""
    with pytest.raises(Crash):
        training(folder, **options, ask=dict(train=4, crash=True)).train()


def test_what_two_processes_saved_one_resumes(whole: ResumableRunner, tmp_path: Path) -> None:
    in_processes(2, lambda rank: crash(tmp_path, **TWO))
    assert newest_good(tmp_path).path == tmp_path / "iter_3.sharded"
    runner = training(tmp_path, **ONE, resume=True)
    runner.train()
    assert newest_good(tmp_path).path == tmp_path / "iter_6.pth"
    require_close(last_weights(tmp_path), last_weights(Path(whole.work_dir)))
    losses = history(runner, "train/loss"), history(whole, "train/loss")
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-6)


def test_what_one_process_saved_two_resume(whole: ResumableRunner, tmp_path: Path) -> None:
    crash(tmp_path, **ONE)
    assert newest_good(tmp_path).path == tmp_path / "iter_3.pth"
    in_processes(2, lambda rank: training(tmp_path, **TWO, resume=True).train() and None)
    assert newest_good(tmp_path).path == tmp_path / "iter_6.sharded"
    require_close(last_weights(tmp_path), last_weights(Path(whole.work_dir)))


def test_a_sharded_training_starts_from_ordinary_weights(whole: ResumableRunner, tmp_path: Path) -> None:
    start = Path(whole.work_dir) / "iter_6.pth"
    expected = read_checkpoint(start)["state_dict"]

    def work(rank: int) -> dict[str, Tensor]:
        runner = training(tmp_path, **{**TWO, "max_iters": 1}, load_from=str(start))
        found = {}

        def look(head: nn.Module, inputs: Any) -> None:
            found.setdefault("head.weight", head.weight.detach().clone())

        runner.model.module.head.register_forward_pre_hook(look)
        runner.train()
        return found

    for found in in_processes(2, work):
        assert torch.equal(found["head.weight"], expected["head.weight"])


def test_a_bad_step_of_one_process_changes_no_shard(tmp_path: Path) -> None:
    options = dict(TWO, max_iters=4, every=1, checkpoint=dict(max_keep_ckpts=-1, save_best=None))
    bad = {1: "loss", 2: "gradient"}
    injections = [dict(type="mmengine.InjectNaN", place=x, steps=[step], rank=1) for step, x in bad.items()]
    in_processes(2, lambda rank: training(tmp_path, **options, hooks=injections).train() and None)
    found = [read_checkpoint(tmp_path / f"iter_{n}.sharded") for n in (1, 2, 3, 4)]
    weights = [{**x["state_dict"], **x["ema_state_dict"]} for x in found]
    same = [
        all(torch.equal(x, other[name]) for name, x in one.items() if name != "steps")
        for one, other in pairwise(weights)
    ]
    assert same == [True, True, False]


def networks() -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    tiny = dict(embed_dims=16, num_layers=3, num_heads=2)
    plain = dict(img_size=8, patch_size=2, out_type="featmap")
    img = torch.randn(2, 3, 8, 8)
    pyramid = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2))
    dit = DiT(tiny, input_size=4, num_classes=3, with_cp=True)
    nn.init.normal_(dit.head.linear.weight)
    return {
        "recomputed": (VisionLLaMA(tiny, with_cp=True, **plain), (img,)),
        "frozen": (
            VisionLLaMA(tiny, frozen_stages=1, pos_embed=dict(type="LearnedPosEmbed"), **plain),
            (img,),
        ),
        "pyramid": (PyramidVisionLLaMA(pyramid, img_size=64), (torch.randn(2, 3, 64, 64),)),
        "generator": (dit, (torch.randn(2, 4, 4, 4), torch.rand(2), torch.tensor([0, 2]))),
    }


@pytest.mark.parametrize("name", ["recomputed", "frozen", "pyramid", "generator"])
def test_shards_have_the_gradients_of_the_whole_network(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = networks()[name]

    def gradients(network: nn.Module) -> dict[str, Tensor]:
        outputs = network(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        sum(x.square().mean() for x in outputs).backward()
        found = {key: x.grad for key, x in network.named_parameters() if x.grad is not None}
        return {key: x.full_tensor() if isinstance(x, DTensor) else x for key, x in found.items()}

    def work(rank: int) -> dict[str, Tensor]:
        wrapper = ShardedDataParallel(model)
        wrapper.shard()
        return gradients(wrapper.module)

    found = in_processes(2, work)
    expected = gradients(model)
    for one in found:
        torch.testing.assert_close(one, expected, rtol=1e-3, atol=1e-5)


def test_layers_of_shards_have_their_own_learning_rates() -> None:
    model = BlockRegression()
    cfg = dict(optimizer=dict(type="AdamW", lr=1.0, weight_decay=0.1), type="OptimWrapper")

    def rates(model: nn.Module) -> list[tuple[float, float, int]]:
        constructor = LayerDecayOptimWrapperConstructor(cfg, dict(layer_decay_rate=0.5, flat_decay_mult=0.0))
        groups = constructor(model).optimizer.param_groups
        return [(x["lr"], x["weight_decay"], sum(p.numel() for p in x["params"])) for x in groups]

    def work(rank: int) -> list[tuple[float, float, int]]:
        wrapper = ShardedDataParallel(model)
        wrapper.shard()
        return rates(wrapper)

    expected = rates(model)
    assert len(expected) > 3
    assert in_processes(2, work) == [expected, expected]


def test_weights_are_gathered_in_half_precision_and_kept_in_full(tmp_path: Path) -> None:
    seen = []

    def work(rank: int) -> list[torch.dtype]:
        precision = dict(param_dtype="bfloat16", reduce_dtype="float32")
        options = {**TWO, "wrapper": dict(SHARDED, precision=precision), "max_iters": 2}
        runner = training(tmp_path, **options)
        runner.model.module.head.register_forward_pre_hook(lambda head, _: seen.append(head.weight.dtype))
        runner.train()
        return [seen[0], *(x.dtype for x in runner.model.module.parameters())]

    for computed, *kept in in_processes(2, work):
        assert computed == torch.bfloat16
        assert set(kept) == {torch.float32}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(units=["Blok"]), r"units: the model has no Blok\. Allowed: .*VisionLLaMABlock"),
        (dict(shard_size=3), r"shard_size: 3 does not divide the 2 processes\. Allowed: 1, 2"),
        (dict(precision=dict(params="bfloat16")), r"precision\.params: is unknown\. Allowed: param_dtype"),
        (dict(precision=dict(param_dtype="half-way")), r"'half-way' is no dtype"),
    ],
)
def test_arguments_that_cannot_be_followed_are_refused(options: dict, message: str) -> None:
    def work(rank: int) -> None:
        with pytest.raises(ConfigError, match=message):
            ShardedDataParallel(BlockRegression(), **options)

    in_processes(2, work)


def test_optimizers_that_need_whole_tensors_or_a_loss_scale_are_refused() -> None:
    whole = torch.optim.LBFGS(nn.Linear(2, 2).parameters())
    refused = {
        "LBFGS may need whole tensors. Allowed: AdamW, Adam, SGD": OptimWrapper(whole),
        # It cannot be made without a GPU.
        "AmpOptimWrapper cannot train shards. Allowed: OptimWrapper": object.__new__(AmpOptimWrapper),
    }

    def work(rank: int) -> None:
        wrapper = ShardedDataParallel(BlockRegression())
        for message, optim_wrapper in refused.items():
            with pytest.raises(ConfigError, match=message):
                wrapper.require_shardable(optim_wrapper)

    in_processes(2, work)


def test_a_save_that_one_process_cannot_make_fails_in_all_and_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flush(path: Path) -> None:
        if path.name.startswith("__1_") and ".iter_3." not in str(path):
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(sharded_checkpoint, "flush", flush)  # the processes are forked from this one

    def work(rank: int) -> None:
        with pytest.raises(CheckpointError, match=r"iter_6\.sharded: .*No space left on device"):
            training(tmp_path, **TWO).train()  # the last one must succeed

    in_processes(2, work)
    assert newest_good(tmp_path) == Choice(tmp_path / "iter_3.sharded", ())
    assert sorted(x.name for x in tmp_path.glob("*iter_*")) == ["iter_3.sharded"]
    assert Path(tmp_path, "last_checkpoint").read_text() == str(tmp_path / "iter_3.sharded")
