"""Generation configs: the published recipes, the rows of the paper's tables, short trainings on digits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmpretrain.structures import DataSample
from PIL import Image
from torch import nn

from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.generation import ClassConditionalGenerator
from mmvisionllama.generation.flow_samplers import SDESampler
from mmvisionllama.generation.samplers import DDPMSampler
from mmvisionllama.training.checkpoint_hook import SafeCheckpointHook
from tests.configs.shipped import build, header, load
from tests.tools.commands import IN_PROCESS, logged_losses, run, summary

# VisionLLaMA, Tab. 1 (DiT) and Tab. 8 to 10 (SiT): size, patch, trained parameters of LLaMA's block
# and of ViT's (full_models.json of the references), thousands of iterations.
ROWS = {
    "dit": [
        ("base", 4, 130_380_416, 130_426_496, 400),
        ("large", 4, 464_156_800, 457_988_224, 400),
        ("xlarge", 4, 674_839_424, 675_000_704, 400),
        ("xlarge", 2, 674_673_440, 674_834_720, 2352),
    ],
    "sit": [
        ("small", 2, 32_842_016, 32_865_056, 400),
        ("base", 2, 130_269_728, 130_315_808, 400),
        ("large", 2, 464_009_248, 457_840_672, 400),
        ("xlarge", 2, 674_673_440, 674_834_720, 400),
    ],
}
PUBLISHED = {
    f"{family}_{block}{size}_p{patch}_in1k_256": (count, thousands)
    for family, rows in ROWS.items()
    for size, patch, *counts, thousands in rows
    for block, count in zip(("visionllama_", ""), counts, strict=True)
}
# The release's README has another length.
PUBLISHED["dit_visionllama_xlarge_p2_in1k_256_released"] = (674_673_440, 2400)
# SiT's own with a table of 256 places, 4 registers and norms of queries and keys, these and values unbiased.
PUBLISHED["sit_vit5_xlarge_p2_in1k_256"] = (674_834_720 + (256 + 4) * 1152 + 28 * (2 * 72 - 3 * 1152), 400)
TINY = sorted(x.stem for x in Path("configs/toy").glob("[ds]it_*.py"))
SHORT = [
    *IN_PROCESS,
    "train_dataloader.batch_size=32",
    "train_cfg.max_iters=40",
    "train_cfg.val_interval=40",
    "param_scheduler.0.end=5",
    "param_scheduler.1.begin=5",
    "param_scheduler.1.end=40",
    "default_hooks.checkpoint.interval=40",
    "default_hooks.logger.interval=1",
    "log_processor.window_size=1",
    "val_dataloader.dataset.indices=10",
]
FEW_STEPS = {"dit": "model.sampler.steps=4", "sit": "model.sampler.steps=2"}


def generation(name: str) -> str:
    return f"configs/{'toy' if '_tiny_' in name else 'gen'}/{name}.py"


def parameters(model: nn.Module) -> int:
    return sum(x.numel() for x in model.parameters())


@pytest.mark.parametrize("built", [generation(name) for name in PUBLISHED], indirect=True)
def test_recipe_is_the_published_one(built: tuple[Config, ClassConditionalGenerator]) -> None:
    cfg, model = built
    count, thousands = PUBLISHED[Path(cfg.filename).stem]
    optimizer, average = cfg.optim_wrapper.optimizer, cfg.custom_hooks[0]
    assert parameters(model.network) == count
    assert cfg.train_cfg.max_iters == thousands * 1000
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 1e-4, 0.0)
    assert 8 * cfg.train_dataloader.batch_size == 256
    assert (average.type, average.momentum) == ("mmengine.EMAHook", pytest.approx(1 - 0.9999))
    assert model.network.label_dropout == 0.1
    assert model.autoencoder._scale == 0.18215
    if Path(cfg.filename).stem.startswith("dit"):
        assert isinstance(model.sampler, DDPMSampler)
        assert model.sampler.steps == 250
        # What the guided numbers of Tab. 1 were drawn with.
        assert (model.guidance.scale, model.guidance.channels) == (1.0, "first_three")
    else:
        assert isinstance(model.sampler, SDESampler)
        assert model.sampler.noisy_steps + 1 == 250


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith("dit_")])
def test_a_header_with_a_guided_number_says_which_channels_are_guided(name: str) -> None:
    text = " ".join(header(generation(name)).split())
    guided = "at scale 1.5" in text
    assert ("at scale 1.5 of the first three of four channels" in text) == guided


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith("sit_")])
def test_the_checkpoints_that_table_10_evaluates_stay(name: str) -> None:
    cfg = load(generation(name))
    options = {key: x for key, x in cfg.default_hooks.checkpoint.items() if key != "type"}
    hook = SafeCheckpointHook(**options)
    steps = range(hook.interval, cfg.train_cfg.max_iters + 1, hook.interval)
    assert {x for x in steps if x % hook.keep_every == 0} == {100_000, 200_000, 300_000, 400_000}


def test_there_is_a_config_for_every_row_and_no_other() -> None:
    assert {x.stem for x in Path("configs/gen").glob("*in1k*.py")} == set(PUBLISHED)


@pytest.mark.parametrize("family", ["dit", "sit"])
def test_tiny_networks_of_both_blocks_have_equally_many_parameters(family: str) -> None:
    ours, baseline = (
        parameters(build(load(generation(f"{family}_{block}tiny_digits")))) for block in ("visionllama_", "")
    )
    assert ours == pytest.approx(baseline, rel=0.003)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TINY if name.endswith("digits")])
def test_digits_are_trained_and_drawn(name: str, tmp_path: Path) -> None:
    options = [*SHORT, FEW_STEPS[name[:3]]]
    assert run("train", generation(name), "--work-dir", tmp_path, "--cfg-options", *options) == 0
    losses = logged_losses(tmp_path)
    first, last = ([losses[i] for i in steps] for steps in (range(1, 9), range(33, 41)))
    assert np.median(last) < 0.8 * np.median(first)  # a rare first step costs many bits
    facts = summary(tmp_path)
    assert facts["status"] == "finished"
    assert np.isfinite(facts["last"]["denoising/loss"])
    with Image.open(tmp_path / "predictions.png") as picture:
        assert min(picture.size) > 40
    checkpoint = read_checkpoint(facts["last_checkpoint"])
    averaged, raw = checkpoint["state_dict"], checkpoint["ema_state_dict"]
    name = "network.head.linear.weight"
    # mmengine keeps the averaged weights as the model's, and the raw ones to resume from.
    assert 0 < averaged[name].abs().sum() < raw[f"module.{name}"].abs().sum()


SCORED = [name for name in TINY if name.endswith("_scored")]


@pytest.mark.parametrize("name", SCORED)
def test_a_scored_training_differs_by_its_evaluator_alone(name: str) -> None:
    scored, plain = (load(generation(x)).to_dict() for x in (name, name.removesuffix("_scored")))
    assert len(SCORED) == 4
    assert {key for key in plain if scored[key] != plain[key]} == {
        "val_evaluator",
        "test_evaluator",
        "work_dir",
    }


def test_a_scored_training_holds_what_it_draws_against_real_digits(tmp_path: Path) -> None:
    judge = load("configs/toy/visionllama_tiny_digits.py")
    init_default_scope(judge.default_scope)
    weights = MODELS.build({**judge.model, "data_preprocessor": judge.data_preprocessor}).state_dict()
    torch.save({"state_dict": weights}, tmp_path / "judge.pth")
    options = [*SHORT, FEW_STEPS["sit"], f"val_evaluator.1.features.checkpoint={tmp_path / 'judge.pth'}"]
    name = generation("sit_visionllama_tiny_digits_scored")
    assert run("train", name, "--work-dir", tmp_path / "run", "--cfg-options", *options) == 0
    last = summary(tmp_path / "run")["last"]
    scores = ("fid", "inception_score", "precision", "recall", "class_accuracy")
    assert {f"generation/{x}" for x in scores} | {"denoising/loss"} <= last.keys()
    assert last["generation/fid"] > 0


def test_a_scored_training_without_its_judge_ends_before_it_leaves_a_trace(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = f"val_evaluator.1.features.checkpoint={tmp_path / 'judge.pth'}"
    name = generation("sit_tiny_digits_scored")
    assert run("train", name, "--work-dir", tmp_path / "run", "--cfg-options", *IN_PROCESS, missing) == 2
    assert (
        "tools/train.sh configs/toy/visionllama_tiny_digits.py trains this classifier"
        in capfd.readouterr().err
    )
    assert not (tmp_path / "run").exists()


def test_a_resumed_training_goes_on_from_weights_average_and_optimizer(tmp_path: Path) -> None:
    name = "sit_visionllama_tiny_digits"
    half = [*SHORT, FEW_STEPS["sit"], "train_cfg.max_iters=10", "train_cfg.val_interval=5"]
    half += ["unchecked=[param_scheduler]"]  # a schedule of 40 iterations
    half += ["default_hooks.checkpoint.interval=5"]
    assert run("train", generation(name), "--work-dir", tmp_path, "--cfg-options", *half) == 0
    before = read_checkpoint(tmp_path / "iter_10.pth")
    more = [*half, "train_cfg.max_iters=15"]
    args = ["--resume", "auto", "--work-dir", tmp_path]
    assert run("train", generation(name), *args, "--cfg-options", *more) == 0
    after = read_checkpoint(tmp_path / "iter_15.pth")
    assert int(before["ema_state_dict"]["steps"]) == 10
    assert int(after["ema_state_dict"]["steps"]) == 15
    key = "network.head.linear.weight"
    # An average that began anew would be the raw weights.
    assert after["state_dict"][key].norm() < 0.2 * after["ema_state_dict"][f"module.{key}"].norm()
    states = [x["optimizer"]["state"][0]["step"] for x in (before, after)]
    assert [int(x) for x in states] == [10, 15]


def test_digits_are_split_without_overlap_and_hold_every_class() -> None:
    init_default_scope("mmpretrain")
    splits = [DATASETS.build(dict(type="mmvisionllama.SklearnDigits", split=x)) for x in ("train", "val")]
    assert [len(x) for x in splits] == [1438, 359]
    for split in splits:
        assert set(split.get_gt_labels()) == set(range(10))
        assert split.get_data_info(0)["img"].shape == (8, 8, 1)
    pictures = [{split.get_data_info(i)["img"].tobytes() for i in range(len(split))} for split in splits]
    assert not pictures[0] & pictures[1]
    brightest = max(splits[0].get_data_info(i)["img"].max() for i in range(20))
    assert brightest == 255


def test_an_unknown_split_of_the_digits_is_an_error() -> None:
    init_default_scope("mmpretrain")
    with pytest.raises(ValueError, match="split takes 'train' or 'val', got 'test'"):
        DATASETS.build(dict(type="mmvisionllama.SklearnDigits", split="test"))


@pytest.mark.parametrize("name", ["dit_visionllama_tiny_mnist", "sit_visionllama_tiny_mnist"])
def test_mnist_fits_its_network(name: str) -> None:
    cfg = load(generation(name))
    init_default_scope(cfg.default_scope)
    model = MODELS.build({**cfg.model, "data_preprocessor": cfg.data_preprocessor})
    inputs = [torch.zeros(1, 28, 28, dtype=torch.uint8)] * 2
    data = dict(inputs=inputs, data_samples=[DataSample().set_gt_label(9) for _ in inputs])
    losses = model(**model.data_preprocessor(data, True), mode="loss")
    assert all(x.isfinite().all() for x in losses.values())
