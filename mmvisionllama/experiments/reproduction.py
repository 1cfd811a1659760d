"""Chains of a reproduction: the links of a row, their commands, folders and what decides their outcome."""

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvisionllama.config import load_config
from mmvisionllama.config.config_files import checkout
from mmvisionllama.config.loading import DATA_VARIABLE, data_root_base
from mmvisionllama.config.option_values import parse_options
from mmvisionllama.experiments.paper import Branch, Evaluation, Row
from mmvisionllama.files import as_json, from_here, read_record
from mmvisionllama.reports.summary import read_summary

REFERENCE = "VIRTUAL_imagenet256_labeled.npz"
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
AUTOENCODER = "sd-vae-ft-ema"
# Scripts in tools/ of commands that start no processes of their own.
_SCRIPTS = {"sweep": "resolution_sweep.py", "evaluate-samples": "evaluate_samples.py"}


class Profile:
    """How a chain is run: here as the paper has it; see ``tiny_profile`` for the other one."""

    name = "paper"
    amp = True
    samples = 50_000

    def options(self, config: str) -> list[str]:
        """Give the options that a training by this config gets."""
        return []

    def sampling(self, evaluation: Evaluation) -> list[str]:
        """Give the options of the sampler."""
        steps = [] if evaluation.steps is None else ["--steps", str(evaluation.steps)]
        return ["--sampler", *evaluation.sampler, *steps]

    def iteration(self, at: int) -> int:
        """Give the iteration that stands for one of the paper's."""
        return at

    def size(self, side: str) -> str:
        """Give the side of an image in pixels that stands for one of the paper's."""
        return side


@dataclass(frozen=True, eq=False)
class Link:
    """A training or a part of an evaluation.

    Attributes:
        kind: ``train``, ``test``, ``sample``, ``score`` or ``sweep``.
        folder: That it works in.
        command: Program and arguments.
        request: What decides its outcome, the links before it included.
        results: Files that are there when it is finished.
    """

    kind: str
    title: str
    folder: Path
    command: tuple[str, ...]
    request: dict[str, Any]
    results: tuple[Path, ...]
    needs: "Link | None" = None

    @property
    def log(self) -> Path:
        return self.folder / f"reproduce_{self.kind}.log"

    @property
    def record_file(self) -> Path:
        return self.folder / f"reproduce_{self.kind}.json"

    def record(self) -> dict[str, Any] | None:
        """Return what was written when the link began: request, profile and commit."""
        return read_record(self.record_file)

    @property
    def mine(self) -> bool:
        """Whether the folder holds this link, rather than one of another request."""
        record = self.record()
        return record is not None and record.get("request") == json.loads(as_json(self.request))

    @property
    def finished(self) -> bool:
        if not (self.mine and all(x.exists() for x in self.results)):
            return False
        return self.kind != "train" or self.summary().get("status") == "finished"

    def summary(self, *needed: str) -> dict[str, Any]:
        """Return what a training says of itself so far; see ``read_summary``."""
        return read_summary(self.folder, needed)

    @property
    def shell(self) -> str:
        """The command as one types it."""
        return shlex.join(self.command)


@contextmanager
def data_in(folder: Path | None) -> Iterator[None]:
    """Let ``data/`` of configs and commands stand for another folder; None: leave it as it is."""
    before = os.environ.get(DATA_VARIABLE)
    if folder is not None:
        os.environ[DATA_VARIABLE] = str(folder.absolute())
    try:
        yield
    finally:
        if folder is not None:
            os.environ.pop(DATA_VARIABLE)
            if before is not None:
                os.environ[DATA_VARIABLE] = before


def plan(row: Row, out: Path, *, seed: int = 0, profile: Profile | None = None) -> list[Link]:
    """Give the links of a row in order; trainings that branches or rows share are one link in one folder."""
    profile, links = profile or Profile(), {}
    for branch in row.branches:
        for link in plan_branch(branch, out, seed=seed, profile=profile):
            links.setdefault((link.folder, link.kind), link)
    return list(links.values())


def plan_branch(branch: Branch, out: Path, *, seed: int, profile: Profile) -> list[Link]:
    """Give the links of a branch: its trainings, then those of its evaluation."""
    links: list[Link] = []
    for config in branch.trainings:
        links.append(_training(config, links[-1] if links else None, out, seed, profile))
    return links + _evaluation(links[-1], branch, seed, profile)


def _training(config: str, before: Link | None, out: Path, seed: int, profile: Profile) -> Link:
    options = profile.options(config)
    cfg, sha256 = settings_by(config, tuple(options), data_root_base())
    # A second training by one config, after another pre-training, gets a folder of its own.
    parents = [] if before is None else [before.folder.name.rpartition("_seed")[0]]
    folder = out / f"{'_after_'.join([Path(config).stem, *parents])}_seed{seed}"
    start = [f"load_from={_last_checkpoint(before)}"] if before else []
    cfg_options = [*options, *_places(cfg), *start]
    command = [
        *started_by("train"),
        *(config, "--work-dir", str(folder), "--seed", str(seed), "--resume", "auto"),
        *(["--amp"] if profile.amp else []),
        *(["--cfg-options", *cfg_options] if cfg_options else []),
    ]
    request = {
        "link": "train",
        "config": config,
        "sha256": sha256,
        "seed": seed,
        "amp": profile.amp,
        "from": before.request if before else None,
    }
    last = folder / checkpoint_name(cfg)
    return Link("train", f"train {Path(config).stem}", folder, tuple(command), request, (last,), before)


def _evaluation(trained: Link, branch: Branch, seed: int, profile: Profile) -> list[Link]:
    how, config = branch.evaluation, branch.trainings[-1]
    options = profile.options(config)
    cfg, _ = settings_by(config, tuple(options), data_root_base())
    common = [*options, *_places(cfg), *how.cfg_options]
    cfg_options = ["--cfg-options", *common] if common else []

    def link(kind: str, folder: Path, command: list[str], facts: dict, needs: Link, *results: Path) -> Link:
        request = {"link": kind, **facts, "from": needs.request}
        title = f"{kind} {Path(config).stem}"
        return Link(kind, title, folder, tuple(command), request, results, needs)

    if how.kind == "curve":
        return []
    if how.kind == "test":
        folder = trained.folder / "test"
        command = [*started_by("test"), config, str(_last_checkpoint(trained)), "--work-dir", str(folder)]
        command += ["--out", str(folder / "metrics.json"), *cfg_options]
        return [link("test", folder, command, {}, trained, folder / "metrics.json")]
    if how.kind == "sweep":
        sizes = list(dict.fromkeys(map(profile.size, how.sizes)))
        folder = trained.folder / f"sweep_{how.positions.replace(':', '')}"
        command = [*started_by("sweep"), config, str(_last_checkpoint(trained)), "--sizes", *sizes]
        command += ["--positions", how.positions, "--out", str(folder), *cfg_options]
        facts = {"sizes": sizes, "positions": how.positions}
        return [link("sweep", folder, command, facts, trained, folder / "resolution.json")]
    name = checkpoint_name(cfg, None if how.at is None else profile.iteration(how.at))
    guidance = f"_guidance{how.guidance:g}" if how.guidance != 1 else ""
    folder = trained.folder / f"{how.sampler[0]}{how.steps or ''}{guidance}_{name.removesuffix('.pth')}"
    npz, scores = folder / "samples" / "samples.npz", folder / "scores.json"
    sampling = [*profile.sampling(how), "--cfg-scale", f"{how.guidance:g}"]
    command = [
        *started_by("sample"),
        config,
        str(trained.folder / name),
        "--num",
        str(profile.samples),
        "--npz",
    ]
    command += [*sampling, "--seed", str(seed), "--out", str(npz.parent), *cfg_options]
    facts = {"checkpoint": name, "samples": profile.samples, "options": [*sampling, *how.cfg_options]}
    drawn = link("sample", folder, command, facts, trained, npz)
    weights = data_root_base() / INCEPTION
    features = f"inception:{weights}" if weights.is_file() else "inception"
    command = [*started_by("evaluate-samples"), str(npz), "--reference", str(data_root_base() / REFERENCE)]
    command += ["--features", features, "--out", str(scores)]
    return [drawn, link("score", folder, command, {}, drawn, scores)]


def checkpoint_name(cfg: Config, at: int | None = None) -> str:
    """Name the checkpoint that a training by ``cfg`` leaves at an iteration; None: at its end."""
    length = cfg.train_cfg.get("max_epochs") or cfg.train_cfg.max_iters
    by_epoch = cfg.default_hooks.checkpoint.get("by_epoch", True)
    return f"{'epoch' if by_epoch else 'iter'}_{length if at is None else at}.pth"


def _last_checkpoint(trained: Link) -> Path:
    return trained.results[0]


@cache  # a report plans each row of a table again, for every seed
def settings_by(config: str, options: tuple[str, ...], data: Path) -> tuple[Config, str]:
    """Give a config, which nobody changes, and the hash of all settings, wherever the data lie."""
    cfg = load_config(config, parse_options(options))
    return cfg, hashlib.sha256(cfg.pretty_text.replace(str(data), "data").encode()).hexdigest()


def _places(cfg: Config) -> list[str]:
    """Give options that say where things are, not what they are: Stable Diffusion's autoencoder."""
    folder = data_root_base() / AUTOENCODER
    return [f"model.autoencoder.path={folder}"] if "autoencoder" in cfg.model and folder.is_dir() else []


def started_by(command: str) -> list[str]:
    """Return the words that start a command: its script, from the current directory where it lies below it.

    An installed wheel has no scripts; there it is ``python -m mmvisionllama COMMAND``.
    """
    folder = checkout()
    if folder is None:
        return [sys.executable, "-m", "mmvisionllama", command]
    path = folder / "tools" / _SCRIPTS.get(command, f"{command}.sh")
    script = from_here(path)
    return [script] if path.suffix == ".sh" else [os.environ.get("PYTHON") or sys.executable, script]
