"""Files of a work directory and of data sets that the fuzzer damages, and who reads each."""

import io
import json
import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from safetensors.torch import save_file

from mmvisionllama.checkpoint import newest_good, read_checkpoint, verify
from mmvisionllama.checkpoint.kept_config import facts_beside, kept_model
from mmvisionllama.checkpoint.run_identity import RECORD, RunRecord
from mmvisionllama.checkpoint.run_identity import read_record as read_run
from mmvisionllama.checkpoint.run_identity import write_record as write_run
from mmvisionllama.checks.data import require_sound_data
from mmvisionllama.checks.run import build_model
from mmvisionllama.config import load_config
from mmvisionllama.datasets.digitscenes import write_digitscenes
from mmvisionllama.datasets.digitscenes.writer import DESCRIPTION, FORMAT
from mmvisionllama.datasets.latents import CachedLatents, CacheError
from mmvisionllama.errors import UserError
from mmvisionllama.evaluation import open_images, open_reference
from mmvisionllama.evaluation.sample_info import read_info
from mmvisionllama.experiments.reproduction import Link
from mmvisionllama.experiments.reproduction_report import loss_at, measured_in
from mmvisionllama.experiments.study import Run, Study
from mmvisionllama.experiments.study_report import collect
from mmvisionllama.experiments.study_runs import Job
from mmvisionllama.fault_tolerance.bad_batches import read_batch, save_batch
from mmvisionllama.fault_tolerance.nan_guard import HISTORY, read_history
from mmvisionllama.files import read_record, sha256_of, write_json
from mmvisionllama.inference.output_folder import require_own
from mmvisionllama.inference.trained_model import load
from mmvisionllama.training.checkpoint_content import plain_config
from tests.checkpoint.test_saving import save
from tests.checkpoint.test_sharded import save as save_sharded
from tests.fault_tolerance.damages import (
    BYTES,
    bits_flipped,
    empty,
    json_odd,
    part_moved,
    part_random,
    pickle_odd,
    truncated,
    values_odd,
)


def chosen(folder: Path, victim: Path) -> None:
    """The newest good checkpoint is found, whatever lies beside it, and can be read."""
    choice = newest_good(folder)
    assert choice.path is not None, [str(x) for x in choice.rejected]
    assert all(x.problem for x in choice.rejected)
    read_checkpoint(choice.path)


def judged(folder: Path, victim: Path) -> None:
    path = victim.with_suffix("") if victim.suffix == ".json" and victim.name != "manifest.json" else victim
    path = path.parent if path.parent.suffix == ".sharded" else path
    if os.path.lexists(path):
        str(verify(path))
    kept_model(read_checkpoint(path), path)


def listed(folder: Path, victim: Path) -> None:
    images = CachedLatents(str(folder), test_mode=True)
    _ = [images[index] for index in range(len(images))]


def sampled(folder: Path, victim: Path) -> None:
    list(open_images(str(victim if victim.suffix == ".npz" else folder)).batches(1))


def referred(folder: Path, victim: Path) -> None:
    _ = open_reference(str(victim)).moments


def continued(folder: Path, victim: Path) -> None:
    """Samples are drawn into a folder that holds some."""
    require_own(folder, victim.name, _SAMPLING, "samples")


def rewritten(folder: Path, victim: Path) -> None:
    """DigitScenes are asked for where they lie already."""
    write_digitscenes(folder, num_train=1, num_val=1)


def detected(folder: Path, victim: Path) -> None:
    """A detector's data are checked before a training."""
    init_default_scope("mmdet")
    dataset = dict(type="CocoDataset", data_root=str(folder), ann_file="annotations/instances_train.json")
    dataset |= dict(data_prefix=dict(img="images"), metainfo=dict(classes=("a", "b")), pipeline=[])
    model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))
    loader = dict(train_dataloader=dict(dataset=dataset))
    require_sound_data(Config(dict(default_scope="mmdet", model=model, **loader)), "train_dataloader")


def studied(folder: Path, victim: Path) -> None:
    """A study is reported."""
    run = Run("a", "A", "a.py", "0", None, True)
    collect(Study("s", "S", ("loss",), (0,), None, (run,)), [job := Job(run, 0, folder)])
    _ = job.done, job.finished


def reproduced(folder: Path, victim: Path) -> None:
    """A row of the paper is reported."""
    link = Link("train", "train a", folder, (), {"link": "train"}, ())
    _ = link.mine, link.finished, link.summary("seconds", "world_size", "device")


def used(folder: Path, victim: Path) -> None:
    """The trained model is loaded by its checkpoint alone."""
    load(victim, device="cpu")


def configured(data: bytes, draw: random.Random) -> bytes:
    """Damage the config that a checkpoint keeps, as text and as a dict."""
    whole = torch.load(io.BytesIO(data), weights_only=True)
    meta, key = whole["meta"], draw.choice(["cfg", "model"])
    if key == "cfg":
        damage = draw.choice((truncated, bits_flipped, part_random, part_moved))
        meta["cfg"] = damage(meta["cfg"].encode(), draw).decode(errors="replace")
        if draw.random() < 0.5:
            del meta["model"]
    else:
        with suppress(ValueError, RecursionError):  # what is no JSON stands for no config
            meta["model"] = json.loads(json_odd(json.dumps(meta["model"]).encode(), draw))
    spoilt = io.BytesIO()
    torch.save(whole, spoilt)
    return spoilt.getvalue()


@dataclass(frozen=True)
class Target:
    """A file to damage, the kinds of damage beside those for every file, and who reads it.

    Attributes:
        reasons: What a reader may raise, with a text.
    """

    file: str
    readers: tuple[Callable[[Path, Path], Any], ...]
    odd: tuple[Callable[[bytes, random.Random], bytes], ...] = ()
    reasons: tuple[type[Exception], ...] = (UserError,)
    kinds: tuple[Callable[[bytes, random.Random], bytes], ...] = BYTES
    weight: int = 1


def _of(read: Callable[[Path], Any]) -> tuple[Callable[[Path, Path], Any], ...]:
    return (lambda folder, victim: read(victim),)


def json_odd_lines(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines()
    index = draw.randrange(len(lines))
    lines[index] = json_odd(lines[index], draw)
    return b"\n".join(lines) + b"\n"


LOG = "run/20260101_000000/vis_data/scalars.json"
_SMALL = dict(embed_dims=16, num_layers=1, num_heads=2)
_SAMPLING = {"checkpoint": "a.pth", "seed": 0, "sampler": {"type": "DDIMSampler", "steps": 2}}
_CHECKPOINT, _JSON = (chosen, judged), (json_odd,) * 3
TARGETS = (
    Target("run/iter_3.pth", _CHECKPOINT, (pickle_odd, values_odd) * 3, weight=12),
    Target("run/iter_2.pth", _CHECKPOINT, (pickle_odd, values_odd), weight=2),
    Target("run/iter_3.pth.json", _CHECKPOINT, _JSON, weight=10),
    Target("run/last_checkpoint", (chosen,), weight=2),
    Target(f"run/{RECORD}", (chosen, *_of(lambda path: read_run(path.parent))), _JSON, weight=3),
    Target("sharded/iter_3.sharded/common.pth", _CHECKPOINT, (pickle_odd,)),
    Target("sharded/iter_3.sharded/.metadata", _CHECKPOINT),
    Target("sharded/iter_3.sharded/__0_0.distcp", _CHECKPOINT),
    Target("sharded/iter_3.sharded/manifest.json", _CHECKPOINT, _JSON),
    Target(f"run/{HISTORY}", _of(read_history), _JSON, (ValueError,), weight=3),
    Target("run/bad_batches/iter_1_rank0.pth", _of(read_batch), (pickle_odd, values_odd) * 3, weight=4),
    Target("run/summary.json", (studied, reproduced), _JSON, weight=4),
    Target("run/reproduce_train.json", (reproduced,), _JSON),
    Target("run/study_run.json", _of(read_record), _JSON),
    Target(LOG, (lambda folder, victim: loss_at(folder, 50),), (json_odd_lines,) * 3, weight=3),
    Target("run/test/metrics.json", _of(lambda path: measured_in(path, "mIoU")), _JSON),
    Target("run/sweep/resolution.json", _of(lambda path: measured_in(path, "top1", "64")), _JSON, weight=2),
    Target("trained/iter_1.pth", (used,), (configured,) * 4 + (values_odd,) * 2, weight=4),
    Target("run/config.py", _of(load_config), kinds=(truncated, empty)),
    Target("latents/cache.json", (listed,), _JSON, (CacheError,), weight=2),
    Target("latents/shard_00000.safetensors", (listed,), reasons=(CacheError,), weight=2),
    Target("weights.safetensors", (judged,), weight=3),
    Target("weights.json", _of(lambda path: facts_beside(path.with_suffix(".safetensors"))), _JSON, weight=2),
    Target("samples.json", _of(lambda path: read_info(path.with_suffix(".npz"))), _JSON),
    Target("samples.npz", (sampled,), weight=2),
    Target("samples/000000_class1.png", (sampled,)),
    Target("samples/samples.json", (sampled, *_of(lambda path: read_info(path.parent))), _JSON),
    Target("samples/sampling.json", (continued,), _JSON),
    Target("moments.npz", (referred,)),
    Target("coco/annotations/instances_train.json", (detected,), _JSON * 2, weight=4),
    Target(f"digitscenes/{DESCRIPTION}", (rewritten,), _JSON, (UserError, FileExistsError), weight=2),
)


def fill(folder: Path) -> None:
    """Make a work directory with two checkpoints, one with shards, and what lies beside them."""
    import numpy as np

    run, shards = folder / "run", folder / "sharded"
    run.mkdir()
    shards.mkdir()
    small = {"weight": torch.ones(4, 4), "bias": torch.zeros(3)}
    for step in (2, 3):
        save(run, step, state_dict=small)
        save_sharded(shards, step)
    write_run(run, RunRecord.drawn(takes_unnamed=True))
    (run / "last_checkpoint").write_text(str(run / "iter_3.pth"))
    incident = {"reason": "NaN", "first": 3, "last": 4, "bad": [3, 4], "checkpoint": "iter_2.pth"}
    (run / HISTORY).write_text(json.dumps([incident]))
    save_batch(
        run / "bad_batches" / "iter_1_rank0.pth", [{"inputs": torch.ones(2, 3), "names": ("a", 1)}], {}
    )
    facts = {"status": "finished", "seconds": 1.5, "world_size": 1, "device": "cpu", "parameters": 3}
    validations = [{"step": x, "epoch": 0, "metrics": {"loss": 1.0}} for x in (2, 3)]
    facts |= {"steps": 3, "planned_steps": 3, "last_checkpoint": "iter_3.pth", "validations": validations}
    (run / "summary.json").write_text(json.dumps(facts))
    for name in ("reproduce_train.json", "study_run.json"):
        (run / name).write_text(json.dumps({"request": {"link": "train"}, "commit": "abc"}))
    write_json(run / "test" / "metrics.json", {"metrics": {"mIoU": 0.5}})
    results = [{"size": "64", "positions": "AS2DRoPE", "metrics": {"top1": 70.0}}]
    write_json(run / "sweep" / "resolution.json", {"results": results})
    log = folder / LOG
    log.parent.mkdir(parents=True)
    lines = [json.dumps({"lr": 0.1, "loss": 1.0 / x, "step": x}) for x in (1, 2, 3)]
    log.write_text("\n".join([*lines, json.dumps({"acc": 0.5, "step": 3})]) + "\n")
    (run / "config.py").write_text("model = dict(type='mmengine.BaseModel')\nwork_dir = 'x'\n")
    latents = folder / "latents"
    latents.mkdir()
    facts = {"images": {"count": 2}, "shard_size": 2, "flip_prob": 0.5, "classes": ["a"]}
    (latents / "cache.json").write_text(json.dumps(facts))
    shard = {"latent": torch.zeros(2, 2, 1, 2, 2, 2).half(), "label": torch.zeros(2, dtype=torch.int64)}
    save_file(shard, latents / "shard_00000.safetensors")
    save_file(small, folder / "weights.safetensors")
    sha256 = sha256_of(folder / "weights.safetensors")
    (folder / "weights.json").write_text(json.dumps({"model": {"type": "X"}, "sha256": sha256}))
    np.savez(folder / "samples.npz", arr_0=np.zeros((2, 2, 2, 3), np.uint8), arr_1=np.zeros(2, np.int64))
    (folder / "samples.json").write_text(json.dumps({"dataset": "x", "count": 2, "seed": 0}))
    np.savez(folder / "moments.npz", mu=np.zeros(2), sigma=np.eye(2))
    _fill_data(folder)
    _fill_trained(folder / "trained")


def _fill_data(folder: Path) -> None:
    samples, coco, scenes = (folder / x for x in ("samples", "coco", "digitscenes"))
    for place in (samples, coco / "images", scenes):
        place.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(samples / "000000_class1.png")
    Image.new("RGB", (8, 8)).save(coco / "images" / "1.png")
    shutil.copy(folder / "samples.json", samples)
    (samples / "sampling.json").write_text(json.dumps(_SAMPLING))
    box = dict(image_id=1, category_id=1, bbox=[1, 1, 4, 4], area=16, iscrowd=0)
    polygon = [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0]]
    instances = dict(
        images=[dict(id=1, file_name="1.png", width=8, height=8)],
        annotations=[dict(id=x, segmentation=polygon, **box) for x in (1, 2)],
        categories=[dict(id=1, name="a"), dict(id=2, name="b")],
    )
    write_json(coco / "annotations" / "instances_train.json", instances)
    arguments = dict(num_train=1, num_val=1, size=64, hard=False, seed=0, layouts=["seg", "cls", "det"])
    write_json(scenes / DESCRIPTION, dict(arguments=dict(arguments, format=FORMAT)))


def _fill_trained(folder: Path) -> None:
    folder.mkdir()
    cfg = load_config("configs/toy/visionllama_tiny_digitscenes.py", {"model.backbone.arch": _SMALL})
    meta = {"model": plain_config(cfg.model), "cfg": cfg.pretty_text}
    torch.save({"meta": meta, "state_dict": build_model(cfg).state_dict()}, folder / "iter_1.pth")
