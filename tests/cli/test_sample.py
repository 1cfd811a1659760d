"""tools/sample.sh: samples of tiny generators, drawn, continued after a kill, and refused."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mmvisionllama.checkpoint import read_checkpoint
from mmvisionllama.errors import UserError
from mmvisionllama.evaluation import open_images, read_info
from mmvisionllama.generation import ClassConditionalGenerator
from mmvisionllama.generation.flow_samplers import ODESampler, SDESampler
from mmvisionllama.generation.guidance import Guidance
from mmvisionllama.inference.sampling import batches, sample, sampler_config
from mmvisionllama.training.precision import hold_in_autocast_dtype
from tests.generation.files import save_generator
from tests.generation.networks import noisy, small_network
from tests.tools.commands import parser_of, run, run_in_two

DIT = "configs/toy/dit_visionllama_tiny_digits.py"
SIT = "configs/toy/sit_visionllama_tiny_digits.py"
OPTIONS = """--amp --batch-size --cfg-options --cfg-scale --classes --compile --help --launcher --npz --num
--out --raw --sampler --seed --steps --verbose -h"""
FAST = ["--steps", "2", "--num", "24", "--batch-size", "8"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClassConditionalGenerator | Path]:
    """Checkpoints of both families, the averaged SiT, and 24 samples of it; tests must not change them."""
    folder = tmp_path_factory.mktemp("samples")
    averaged = save_generator(SIT, folder / "sit.pth")
    save_generator(DIT, folder / "dit.pth", average=False)
    save_generator(SIT, folder / "undropped.pth", **{"model.network.label_dropout": 0})
    assert run("sample", SIT, folder / "sit.pth", "--out", folder / "out", *FAST, "--npz") == 0
    return dict(folder=folder, sit=folder / "sit.pth", dit=folder / "dit.pth", model=averaged)


def draw(checkpoint: Path, out: Path, *options: object, config: str = SIT) -> int:
    return run("sample", config, checkpoint, "--out", out, *FAST, *map(str, options))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def pictures(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name[0].isdigit()}


def test_the_command_line_is_frozen() -> None:
    parser = parser_of("sample")
    options = [x for action in parser._actions for x in action.option_strings]
    assert [x.dest for x in parser._actions if not x.option_strings] == ["config", "checkpoint"]
    assert set(options) == set(OPTIONS.split())


def test_samples_are_those_of_the_averaged_weights_with_classes_in_turns(made: dict) -> None:
    images = open_images(made["folder"] / "out")
    assert images.labels.tolist() == [i % 10 for i in range(24)]
    found = np.concatenate(list(images.batches(50)))
    given = dict(sampler=ODESampler(method="heun2", steps=2))
    expected = made["model"].sample(torch.from_numpy(images.labels), range(24), **given)
    difference = np.abs(found[..., 0].astype(int) - expected[:, 0].numpy().astype(int))
    assert difference.max() <= 1  # of other batches
    assert len(np.unique(found, axis=0)) == 24


def test_beside_the_samples_lie_a_grid_an_npz_for_adm_and_what_they_are(made: dict) -> None:
    out = made["folder"] / "out"
    with Image.open(out / "grid.png") as grid:
        assert grid.width > 10 * 100
    with np.load(out / "samples.npz") as arrays:
        assert (arrays["arr_0"].dtype, arrays["arr_0"].shape) == (np.uint8, (24, 8, 8, 1))
        assert np.array_equal(arrays["arr_0"], next(open_images(out).batches(24)))
        assert arrays["arr_1"].tolist() == [i % 10 for i in range(24)]
    info = read_info(out)
    assert read_info(out / "samples.npz") == info
    assert (info.dataset, info.step, info.weights, info.count) == ("SklearnDigits", 7, "ema", 24)
    assert (info.sampler, info.steps) == ("ODESampler, method heun2", 2)
    assert (info.guidance_scale, info.guidance_channels, info.seed) == (1.0, "all", 0)


def test_raw_takes_the_trained_weights(made: dict, tmp_path: Path) -> None:
    assert draw(made["sit"], tmp_path / "raw", "--raw") == 0
    assert read_info(tmp_path / "raw").weights == "raw"
    raw, averaged = pictures(tmp_path / "raw"), pictures(made["folder"] / "out")
    assert raw.keys() == averaged.keys()
    assert all(raw[name] != averaged[name] for name in raw)
    checkpoint = read_checkpoint(made["sit"])
    weights = {k.removeprefix("module."): x for k, x in checkpoint["ema_state_dict"].items() if k != "steps"}
    torch.save({"state_dict": weights}, tmp_path / "alone.pth")
    assert draw(tmp_path / "alone.pth", tmp_path / "alone") == 0
    assert pictures(tmp_path / "alone") == raw


def test_a_checkpoint_without_average_is_said_to_be_one(
    made: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert draw(made["dit"], tmp_path / "o", config=DIT) == 0
    said = "".join(capfd.readouterr())
    assert "weights as trained, since it holds no moving average, step 7" in said
    assert "24 samples, DDPMSampler, clip True, 2 steps, guidance 1, seed 0" in said
    assert "samples 24 of 24, 0:00:00 left" in said
    assert read_info(tmp_path / "o").weights == "raw"


@pytest.mark.parametrize(("part", "kind"), [("ema", "ema"), ("model", "raw"), (None, None)])
def test_converted_weights_say_what_they_are_where_that_is_known(
    made: dict, tmp_path: Path, part: str | None, kind: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(made["model"].state_dict(), tmp_path / "c.safetensors")
    (tmp_path / "c.json").write_text(json.dumps(dict(source=dict(part=part))))
    assert draw(tmp_path / "c.safetensors", tmp_path / "out") == 0
    assert read_info(tmp_path / "out").weights == kind
    assert pictures(tmp_path / "out") == pictures(made["folder"] / "out")
    if kind != "raw":
        assert draw(tmp_path / "c.safetensors", tmp_path / "raw", "--raw") == 2
        assert "--raw: " in capsys.readouterr().err


def test_guidance_classes_seed_and_sampler_follow_the_options(made: dict, tmp_path: Path) -> None:
    options = ["--cfg-scale", 3, "--classes", 7, 2, "--seed", 5, "--sampler", "sde", "diffusion=linear"]
    assert draw(made["sit"], tmp_path / "o", *options, "--num", 4) == 0
    assert list(pictures(tmp_path / "o")) == [f"00000{i}_class{(7, 2)[i % 2]}.png" for i in range(4)]
    info = read_info(tmp_path / "o")
    assert (info.sampler, info.steps, info.guidance_scale) == ("SDESampler, diffusion linear", 2, 3.0)
    assert info.seed == 5
    given = dict(seed=5, guidance=Guidance(3), sampler=SDESampler(diffusion="linear", steps=2))
    guided = made["model"].sample(torch.tensor([7, 2]), [0, 1], **given)
    found = next(open_images(tmp_path / "o").batches(2))[..., 0]
    assert np.abs(found.astype(int) - guided[:, 0].numpy().astype(int)).max() <= 1


def test_a_sampler_of_another_kind_starts_from_its_defaults_but_keeps_clipping() -> None:
    ddpm = dict(type="mmvisionllama.DDPMSampler", steps=100, spacing="stride", clip=True)
    assert sampler_config(ddpm, ["ddim", "eta=0.5"], 20) == dict(
        type="DDIMSampler", clip=True, eta=0.5, steps=20
    )
    assert sampler_config(ddpm, ["DDPMSampler", "clip=False"], None) == dict(
        type="DDPMSampler", steps=100, spacing="stride", clip=False
    )
    assert sampler_config(ddpm, ["sde"], None) == dict(type="SDESampler")


def test_batches_begin_at_the_same_samples_whatever_is_missing() -> None:
    assert batches(range(10), 10, 4) == [range(0, 4), range(4, 8), range(8, 10)]
    assert batches([3, 9], 10, 4) == [range(0, 4), range(8, 10)]
    assert batches([], 10, 4) == []


def test_a_sampling_that_is_killed_goes_on_without_repeated_or_missing_samples(
    made: dict, tmp_path: Path
) -> None:
    options = ["--num", "30", "--steps", "2", "--batch-size", "4"]
    child = os.fork()
    if child == 0:
        save, left = Image.Image.save, iter(range(10))

        def save_or_die(image: Image.Image, *args: object, **kwargs: object) -> None:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            save(image, *args, **kwargs)

        Image.Image.save = save_or_die
        draw(made["sit"], tmp_path / "killed", *options)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("0*.png")}
    assert len(written) == 10
    (tmp_path / "killed" / ".000029_class9.77.png").write_bytes(b"half")
    assert draw(made["sit"], tmp_path / "killed", *options) == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert draw(made["sit"], tmp_path / "whole", *options) == 0
    assert len(pictures(tmp_path / "whole")) == 30
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_two_processes_draw_what_one_does(made: dict, tmp_path: Path) -> None:
    run_in_two("sample", SIT, made["sit"], "--out", "o", *FAST, "--npz", folder=tmp_path)
    assert contents(tmp_path / "o") == contents(made["folder"] / "out")


def test_more_samples_are_added_and_none_is_drawn_twice(made: dict, tmp_path: Path) -> None:
    assert draw(made["sit"], tmp_path / "o", "--num", 8) == 0
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "o").glob("0*.png")}
    assert draw(made["sit"], tmp_path / "o") == 0
    assert {name: (tmp_path / "o" / name).stat().st_mtime_ns for name in first} == first
    assert pictures(tmp_path / "o") == pictures(made["folder"] / "out")
    assert read_info(tmp_path / "o").count == 24


def test_the_default_folder_is_in_that_of_the_config(
    made: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("sample", SIT, made["sit"], *FAST, "--num", "2") == 0
    folder = tmp_path / "work_dirs" / "sit_visionllama_tiny_digits" / "samples"
    assert len(pictures(folder)) == 2


def test_bfloat16_draws_nearly_the_same(made: dict, tmp_path: Path) -> None:
    assert draw(made["sit"], tmp_path / "o", "--amp") == 0
    full, mixed = (
        next(open_images(x).batches(24)).astype(float) for x in (made["folder"] / "out", tmp_path / "o")
    )
    assert 0 < np.abs(full - mixed).mean() < 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", 1], "holds samples of another run: seed: 0 there, 1 now"),
        (["--cfg-scale", 2], "holds samples of another run: guidance:"),
        (["--steps", 3], "holds samples of another run: sampler:"),
        (["--sampler", "sde"], "holds samples of another run: sampler:"),
        (["--classes", 1], "holds samples of another run: classes:"),
        (["--raw"], "holds samples of another run: weights: 'ema' there, 'raw' now"),
        (["--amp"], "holds samples of another run: amp: False there, True now"),
        (["--num", 20], "holds 4 samples more than the 20 of --num, e.g. 000020_class0.png"),
        (["--cfg-options", "model.network.input_size=16"], "model.network.input_size: 8 in the checkpoint"),
    ],
)
def test_a_folder_with_samples_of_another_run_is_refused_and_left_as_it_is(
    made: dict, capsys: pytest.CaptureFixture[str], options: list, message: str
) -> None:
    before = contents(made["folder"] / "out")
    assert draw(made["sit"], made["folder"] / "out", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error, error
    assert contents(made["folder"] / "out") == before


def test_samples_of_another_checkpoint_are_refused(made: dict, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw(made["folder"] / "undropped.pth", made["folder"] / "out", *UNDROPPED) == 2
    assert "holds samples of another run: checkpoint: " in capsys.readouterr().err


UNDROPPED = ["--cfg-options", "model.network.label_dropout=0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", 3, 10], "--classes: the network knows 0 .. 9, got 10"),
        (["--sampler", "dopri"], "--sampler dopri: there is none."),
        (["--sampler", "ddmp"], "Did you mean 'ddpm'?"),
        (["--sampler", "ode", "methd=euler"], "ODESampler does not take ['methd']"),
        (["--sampler", "ode", "method=euler", "eps=0.9"], "eps takes a number in [0, 0.5) or None, got 0.9"),
        (["--sampler", "sde", "diffusion_norm=-1"], "diffusion_norm takes a number of at least 0, got -1"),
        (["--sampler", "ode", "euler"], "after the type come options KEY=VALUE, got 'euler'"),
        (["--sampler", "ode", "method=rk5"], "rk5"),
        (["--sampler", "ode", "method=dopri5"], "--steps 2: dopri5 chooses its own steps"),
        (
            ["--sampler", "ddim"],
            "DDIMSampler samples networks trained with GaussianDiffusion, the obj",
        ),
    ],
)
def test_options_that_cannot_be_followed_are_errors_and_leave_no_trace(
    made: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list, message: str
) -> None:
    assert draw(made["sit"], tmp_path / "o", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error, error
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("classes", [-1], "--classes: the network knows 0 .. 9, got -1"),
        ("num", 0, "--num must be in 1 .. 1,000,000, got 0"),
        ("batch_size", 0, "--batch-size must be at least 1, got 0"),
        ("seed", -1, "--seed must not be negative, got -1"),
        ("steps", 0, "steps takes a whole number of at least 1, got 0"),
        ("cfg_scale", float("nan"), "--cfg-scale must be a number of at least 0, got nan"),
        ("cfg_scale", float("inf"), "--cfg-scale must be a number of at least 0, got inf"),
    ],
)
def test_numbers_that_the_command_line_would_not_take_are_errors_of_the_function(
    made: dict, tmp_path: Path, name: str, value: object, message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        sample(SIT, made["sit"], out=tmp_path / "o", **{name: value})
    assert not (tmp_path / "o").exists()


def test_samples_of_weights_that_are_not_finite_are_one_line_and_no_pictures(
    made: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = torch.load(made["dit"], weights_only=True)
    checkpoint["state_dict"]["network.head.linear.weight"][0, 0] = torch.nan
    torch.save(checkpoint, tmp_path / "nan.pth")
    assert draw(tmp_path / "nan.pth", tmp_path / "o", config=DIT) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(
        "error: step 1 of DDPMSampler, time 999: the network's output is not finite. 1 of"
    )
    assert "head.linear.weight" in error
    assert pictures(tmp_path / "o") == {}


@pytest.mark.parametrize(
    ("steps", "options", "message"),
    [
        (1001, [], "steps must be in 1 .. 1000, the steps of the training; got 1001"),
        (1, ["--sampler", "ddim", "spacing=stride"], "steps=1 with spacing='stride' is the step of least"),
        (600, ["--sampler", "ddim", "spacing=stride"], "no stride over 1000 steps gives steps=600 of them"),
    ],
)
def test_steps_that_diffusion_cannot_do_are_errors(
    made: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: int, options: list, message: str
) -> None:
    assert draw(made["dit"], tmp_path / "o", *options, "--steps", steps, config=DIT) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("checkpoint", "config", "options", "message"),
    [
        ("gone.pth", SIT, [], "gone.pth does not exist; nearest files there"),
        ("undropped.pth", SIT, [], "is a checkpoint of another model"),
        (
            "undropped.pth",
            SIT,
            [*UNDROPPED, "--cfg-scale", 2],
            "--cfg-scale 2: guidance of scale 2 needs a net",
        ),
        ("dit.pth", SIT, [], "model.objective.type: 'GaussianDiffusion' in the checkpoint, 'Interpolant' in"),
        ("sit.pth", DIT, [], "model.objective.type: 'Interpolant' in the checkpoint"),
        (
            *("sit.pth", SIT, ["--cfg-options", "model.objective.path.type=mmvisionllama.GVPPath"]),
            "model.objective.path.type: 'LinearPath' in the checkpoint, 'GVPPath' in the config",
        ),
        (
            *("sit.pth", "configs/toy/sit_tiny_digits.py", []),
            "model.network.block.ffn.type: 'SwiGLU' in the checkpoint, 'GELUFFN' in the config",
        ),
        ("sit.pth", "configs/toy/visionllama_tiny_mnist.py", [], "is no generator"),
    ],
)
def test_checkpoints_that_do_not_suit_the_config_are_errors(
    made: dict,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    checkpoint: str,
    config: str,
    options: list,
    message: str,
) -> None:
    assert draw(made["folder"] / checkpoint, tmp_path / "o", *options, config=config) == 2
    error = capsys.readouterr().err
    assert message in error, error
    assert not (tmp_path / "o").exists()


def test_a_folder_of_other_files_is_refused(
    made: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "letter.txt").write_text("mine")
    assert draw(made["sit"], tmp_path / "o") == 2
    assert "holds other files, and no sampling.json" in capsys.readouterr().err
    assert draw(made["sit"], tmp_path / "o" / "letter.txt") == 2
    assert "letter.txt is a file" in capsys.readouterr().err
    assert contents(tmp_path / "o") == {"letter.txt": b"mine"}


def test_a_compiled_network_sees_batches_of_one_size(
    made: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def compiled(call: Callable, **options: object) -> Callable:
        def seen(x: torch.Tensor, *args: object, **named: object) -> torch.Tensor:
            sizes.append(len(x))
            return call(x, *args, **named)

        assert options["dynamic"] is False
        return seen

    monkeypatch.setattr(torch, "compile", compiled)
    sample(SIT, made["sit"], out=tmp_path / "o", num=20, steps=2, batch_size=8, compile=True)
    assert sizes == [8] * 3 * 4  # batches, and calls of two steps of Heun
    found = [next(open_images(folder).batches(20)) for folder in (tmp_path / "o", made["folder"] / "out")]
    assert np.abs(np.subtract(*found, dtype=int)).max() <= 1


@torch.no_grad()
def test_weights_held_in_the_dtype_of_autocast_compute_the_same() -> None:
    network, given = small_network(), noisy()
    with torch.autocast("cpu", torch.bfloat16):
        expected = network(*given)
        hold_in_autocast_dtype(network)
        assert torch.equal(network(*given), expected)
    assert network.blocks[0].ffn.gate.weight.dtype is torch.bfloat16
    assert network.label_embed.weight.dtype is torch.float32
