import json
import re
import shutil
from argparse import ArgumentParser
from pathlib import Path

import pytest

from mmvisionllama.checkpoint import read_checkpoint, weights_of
from mmvisionllama.config import read_config
from mmvisionllama.training import launch
from tests.tools.commands import TOY, log_text, logged_losses, parser_of, run

SHARED = [
    "--amp",
    "--cfg-options",
    "--compile",
    "--help",
    "--launcher",
    "--seed",
    "--verbose",
    "--work-dir",
    "-h",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of a finished training of three steps; tests must not change it."""
    work_dir = tmp_path_factory.mktemp("trained") / "run"
    assert run("train", TOY, "--work-dir", work_dir) == 0
    return work_dir


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start_of(work_dir: Path) -> dict[str, str]:
    """Return the report at the start of a run by its headings."""
    _, report = log_text(work_dir).split(": toy_config\n", 1)
    lines = (line.split(None, 1) for line in report.splitlines() if line.startswith("  "))
    return {heading: text.strip() for heading, text in lines}


def options(parser: ArgumentParser) -> list[str]:
    return sorted(name for action in parser._actions for name in action.option_strings)


def positionals(parser: ArgumentParser) -> list[str]:
    return [action.dest for action in parser._actions if not action.option_strings]


def test_the_command_line_of_train_is_frozen() -> None:
    parser = parser_of("train")
    assert positionals(parser) == ["config"]
    assert options(parser) == sorted(
        [
            *(*SHARED, "--batch", "--dry-run", "--global-batch", "--gpus", "--overwrite", "--resume"),
            *("--steps", "--track"),
        ]
    )


def test_the_command_line_of_test_is_frozen() -> None:
    parser = parser_of("test")
    assert positionals(parser) == ["config", "checkpoint"]
    assert options(parser) == sorted([*SHARED, "--out", "--predictions", "--show-dir"])


@pytest.mark.parametrize(
    ("arguments", "value"), [([], None), (["--resume"], "auto"), (["--resume", "a.pth"], "a.pth")]
)
def test_resume_without_a_value_means_auto(arguments: list[str], value: str | None) -> None:
    assert parser_of("train").parse_args(["config.py", *arguments]).resume == value


def test_the_work_directory_is_named_after_the_config(here: Path) -> None:
    assert run("train", TOY) == 0
    assert (here / "work_dirs" / "toy_config" / "summary.json").is_file()


def test_a_training_starts_with_a_report_that_describes_it(trained: Path) -> None:
    facts = start_of(trained)
    assert "ToyRegression + ToyBackbone" in facts["model"]
    assert facts["data"] == "train 32, val 16"
    assert facts["batch"] == "global batch 4 = 1 process x 4"
    assert facts["rate"] == "learning rate 0.01, AdamW"
    assert facts["length"] == "3 steps; validation every 3 steps, and at the end"
    assert facts["seed"] == "3"
    assert facts["folder"] == str(trained)
    assert Path(facts["log"]).read_text() == log_text(trained)


def test_the_start_report_counts_frozen_parameters_and_accumulation(here: Path) -> None:
    changes = {"model.backbone.width": 100000, "model.backbone.frozen": True}
    assert run("train", TOY, **changes, **{"optim_wrapper.accumulative_counts": 3}) == 0
    facts = start_of(here / "work_dirs" / "toy_config")
    assert "0.60 M parameters (0.10 M trainable)" in facts["model"]
    assert facts["batch"] == "global batch 12 = 1 process x 4 x 3 accumulated"


@pytest.mark.parametrize("phase", ["train", "val"])
def test_progress_is_shown_with_the_time_left(trained: Path, phase: str) -> None:
    assert re.search(rf"Iter\({phase}\) .*eta: \d+:\d\d:\d\d", log_text(trained))


def test_the_given_seed_decides_the_losses_and_is_recorded(here: Path, trained: Path) -> None:
    for name in ("a", "b"):
        assert run("train", TOY, "--seed", "7", "--work-dir", name) == 0
    assert json.loads(Path("a", "summary.json").read_text())["seed"] == 7
    assert logged_losses(Path("a")) == logged_losses(Path("b")) != logged_losses(trained)


def test_amp_trains_in_bfloat16_close_to_full_precision(here: Path, trained: Path) -> None:
    assert run("train", TOY, "--amp", "--work-dir", "amp") == 0
    full, mixed = logged_losses(trained), logged_losses(Path("amp"))
    assert full != mixed
    assert list(mixed.values()) == pytest.approx(list(full.values()), rel=0.05)


def test_the_config_that_an_amp_training_leaves_is_accepted(here: Path) -> None:
    assert run("train", TOY, "--amp", "--work-dir", "amp") == 0
    assert run("test", "amp/toy_config.py", "amp/iter_3.pth") == 0


def test_compile_leaves_the_losses_as_they_are(here: Path, trained: Path) -> None:
    assert run("train", TOY, "--compile", "--work-dir", "compiled", **{"compile.backend": "aot_eager"}) == 0
    assert 'Model has been "compiled"' in log_text(Path("compiled"))
    expected = list(logged_losses(trained).values())
    assert list(logged_losses(Path("compiled")).values()) == pytest.approx(expected, rel=1e-5)


def test_resume_auto_with_nothing_to_resume_says_so_and_starts_afresh(here: Path) -> None:
    assert run("train", TOY, "--resume", "--work-dir", "run") == 0
    assert "run has no checkpoint, so training starts afresh" in log_text(Path("run"))
    assert list(logged_losses(Path("run"))) == [1, 2, 3]


def test_resume_auto_does_not_continue_the_optimizer_of_pretrained_weights(here: Path, trained: Path) -> None:
    weights = str(trained / "iter_3.pth")
    assert run("train", TOY, "--resume", "--work-dir", "run", load_from=weights) == 0
    assert list(logged_losses(Path("run"))) == [1, 2, 3]
    assert f"Load checkpoint from {weights}" in log_text(Path("run"))


@pytest.mark.parametrize("value", [[], ["iter_3.pth"]])
def test_resume_continues_after_the_last_step(here: Path, trained: Path, value: list[str]) -> None:
    shutil.copytree(trained, here / "moved")
    path = [str(here / "moved" / name) for name in value]
    more = {"train_cfg.max_iters": 5}
    assert run("train", TOY, "--work-dir", "moved", "--resume", *path, **more) == 0
    assert list(logged_losses(Path("moved"))) == [4, 5]


def test_resume_finds_the_checkpoints_of_a_work_directory_that_was_moved(here: Path, trained: Path) -> None:
    shutil.copytree(trained, here / "moved")
    (here / "moved" / "last_checkpoint").write_text("/gone/iter_3.pth")
    more = {"train_cfg.max_iters": 4}
    assert run("train", TOY, "--work-dir", "moved", "--resume", **more) == 0
    assert list(logged_losses(Path("moved"))) == [4]


@pytest.mark.parametrize(
    ("arguments", "cfg_options", "message"),
    [
        (["no_config.py"], {}, "no_config"),
        (
            ["configs/seg/visionllama_tiny_upernet_digitscenes.py"],
            {},
            "did you mean configs/toy/visionllama_tiny_upernet_digitscenes.py?\n",
        ),
        ([TOY], {"optim_wraper.optimizer.lr": 9}, "did you mean 'optim_wrapper'"),
        ([TOY], {"model.backbone.width": 7}, "the model cannot be built: width must be even, got 7"),
        ([TOY], {"optim_wrapper": None}, "lacks optim_wrapper"),
        ([TOY], {"load_from": "no.pth"}, "checkpoint no.pth does not exist"),
        (
            [TOY],
            {"model.backbone.init_cfg": {"type": "Pretrained", "checkpoint": "no.pth"}},
            "checkpoint no.pth does not exist",
        ),
        ([TOY], {"train_dataloader.dataset.count": 0}, "the data set is empty"),
        ([TOY], {"val_dataloader.dataset.data_root": "none"}, "none does not exist"),
        ([TOY, "--resume", "no.pth"], {}, "checkpoint no.pth does not exist"),
        ([TOY, "--amp"], {"optim_wrapper.type": "ApexOptimWrapper"}, "optim_wrapper.type='ApexOptimWrapper'"),
        ([TOY, "--launcher", "slurm"], {}, "SLURM_PROCID"),
        ([TOY, "--launcher", "pytorch"], {}, "RANK, WORLD_SIZE"),
    ],
)
def test_what_cannot_work_ends_with_one_message_and_leaves_no_trace(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list,
    cfg_options: dict,
    message: str,
) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    assert run("train", *arguments, **cfg_options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("option", ["load_from", "--resume"])
def test_a_checkpoint_of_another_architecture_is_an_error_before_the_work_directory(
    here: Path, trained: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    checkpoint = str(trained / "iter_3.pth")
    arguments, changes = ([option, checkpoint], {}) if option == "--resume" else ([], {option: checkpoint})
    assert run("train", TOY, *arguments, **changes, **{"model.backbone.width": 16}) == 2
    assert "backbone.hidden.weight (16, 4) here, (8, 4) there" in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_an_error_that_is_not_the_users_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**options: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(launch, "train", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run("train", TOY)


def test_only_the_first_process_of_a_machine_prints_an_error(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run("train", "no_config.py") == 2
    assert capsys.readouterr().err == ""


def test_test_writes_the_metrics_under_the_hosts_names(here: Path, trained: Path) -> None:
    checkpoint = trained / "iter_3.pth"
    assert run("test", TOY, checkpoint, "--out", "new/metrics.json") == 0
    written = json.loads(Path("new/metrics.json").read_text())
    validated = json.loads((trained / "summary.json").read_text())["last"]
    assert written["metrics"] == pytest.approx(validated)
    assert (written["config"], written["checkpoint"]) == (str(TOY), str(checkpoint))
    assert written["seconds"] > 0


def test_a_test_starts_with_a_report_that_describes_it(here: Path, trained: Path) -> None:
    assert run("test", TOY, trained / "iter_3.pth") == 0
    facts = start_of(here / "work_dirs" / "toy_config")
    assert (facts["data"], facts["batch"]) == ("test 16", "global batch 4 = 1 process x 4")
    assert facts["weights"] == str(trained / "iter_3.pth")


def test_test_evaluates_in_bfloat16_when_asked_for_amp(here: Path, trained: Path) -> None:
    assert run("test", TOY, trained / "iter_3.pth", "--amp", "--out", "amp.json") == 0
    assert run("test", TOY, trained / "iter_3.pth", "--out", "full.json") == 0
    amp, full = (json.loads(Path(x).read_text())["metrics"]["error"] for x in ("amp.json", "full.json"))
    assert amp != full
    assert amp == pytest.approx(full, rel=0.05)


def test_test_gives_the_same_metrics_compiled(here: Path, trained: Path) -> None:
    backend = {"compile.backend": "aot_eager"}
    assert run("test", TOY, trained / "iter_3.pth", "--compile", "--out", "a.json", **backend) == 0
    validated = json.loads((trained / "summary.json").read_text())["last"]
    assert json.loads(Path("a.json").read_text())["metrics"] == pytest.approx(validated)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["iter_4.pth"], "nearest files there: iter_3.pth"),
        (["iter_3.pth", "--out", "metrics.txt"], "--out metrics.txt: give the name of a .json file"),
        (["iter_3.pth", "--show-dir", "shown"], "no hook that draws"),
        (["iter_3.pth", "--predictions", "kept"], "or ReconstructionLoss; test_evaluator of"),
    ],
)
def test_test_refuses_what_cannot_work(
    here: Path, trained: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run("test", TOY, trained / arguments[0], *arguments[1:]) == 2
    assert message in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_test_refuses_a_checkpoint_of_another_architecture(
    here: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wider = {"model.backbone.width": 16}
    assert run("test", TOY, trained / "iter_3.pth", **wider) == 2
    assert "(16, 4) here, (8, 4) there" in capsys.readouterr().err


def test_show_dir_is_where_the_hook_draws() -> None:
    config = read_config(TOY, {"custom_hooks": [{"type": "mmvisionllama.SegPicturesHook", "number": 2}]})
    launch._draw_in(config, Path("shown"))
    assert config.cfg.custom_hooks[0].out_dir == "shown"


def test_a_checkpoint_of_a_training_is_read_without_running_code(trained: Path) -> None:
    path = trained / "iter_3.pth"
    weights = weights_of(read_checkpoint(path), path)
    assert sorted(weights) == ["backbone.hidden.bias", "backbone.hidden.weight", "head.bias", "head.weight"]


def test_a_training_without_validation_says_so(here: Path) -> None:
    assert run("train", TOY, **{"train_cfg.val_interval": 0}) == 0
    work_dir = here / "work_dirs" / "toy_config"
    assert start_of(work_dir)["length"] == "3 steps; no validation"
    assert json.loads((work_dir / "summary.json").read_text())["validations"] == []


def test_an_interval_beyond_the_end_validates_at_the_end(here: Path) -> None:
    assert run("train", TOY, **{"train_cfg.val_interval": 1000}) == 0
    found = json.loads((here / "work_dirs" / "toy_config" / "summary.json").read_text())
    (validation,) = found["validations"]
    assert validation["step"] == 3


def test_loading_without_processes_trains(here: Path) -> None:
    workers = {"train_dataloader.num_workers": 0, "train_dataloader.persistent_workers": True}
    assert run("train", TOY, **workers) == 0


@pytest.mark.parametrize("form", ["{}", "[{}]"])
def test_an_initialiser_on_the_command_line_takes_effect(here: Path, form: str) -> None:
    value = form.format("dict(type='Constant', layer='Linear', val=0.5)")
    options = ["optim_wrapper.optimizer.lr=0", f"model.backbone.init_cfg={value}"]
    assert run("train", TOY, "--work-dir", "run", "--cfg-options", *options) == 0
    weights = weights_of(read_checkpoint(Path("run/iter_3.pth")), Path("run/iter_3.pth"))
    assert weights["backbone.hidden.weight"].eq(0.5).all()


def test_a_metric_that_is_not_evaluated_cannot_decide_the_best(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = "configs/toy/visionllama_tiny_digits.py"
    assert run("train", config, **{"default_hooks.checkpoint.save_best": "mIoU"}) == 2
    assert "save_best='mIoU': val_evaluator gives accuracy/top1" in capsys.readouterr().err
    assert list(here.iterdir()) == []
