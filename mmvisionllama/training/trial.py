"""Short trial of a recipe: all that counts steps or epochs shrinks with the training."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.config import ConfigDict
from mmengine.registry import DATA_SAMPLERS, DATASETS, init_default_scope
from torch.utils.data import Dataset

from mmvisionllama.checks.data import require_sound_data
from mmvisionllama.config import RunConfig
from mmvisionllama.config.global_batch import share_batch
from mmvisionllama.errors import LaunchError
from mmvisionllama.training.distributed import processes_of

_MOST = 4  # validations, and checkpoints, of a trial
_MOMENTS = ("begin", "end", "T_max", "step_size", "total_steps")
_LISTS = ("milestones", "periods")


def make_trial(run: RunConfig, steps: int) -> str:
    """Shrink a training to ``steps`` steps, and return a remark with both lengths.

    Length, schedules, warm-up, validation, saving and the begin of averages keep their proportion, with at
    most four validations and checkpoints. A training that counts epochs counts steps then. What
    ``--cfg-options`` give stays as it is, in steps.

    Raises:
        LaunchError: for more steps than the recipe has, a length in ``--cfg-options``, or a loop whose length
            is not known.
        ConfigError: if the data that epochs are counted in cannot be used.
    """
    trial = _Trial(run, steps)
    with run.changed_by(f"--steps {steps}") as cfg:
        cfg.train_cfg = trial.loop()
        if cfg.get("param_scheduler"):
            cfg.param_scheduler = trial.schedules(cfg.param_scheduler, "param_scheduler")
        hooks = {**cfg.get("default_hooks", {})}
        for name, type_, change in (
            ("checkpoint", "CheckpointHook", trial.saving),
            ("logger", "LoggerHook", trial.logging),
        ):
            if (hook := hooks.get(name, {})) is not None:
                hooks[name] = change({"type": type_, **hook})
        cfg.default_hooks = hooks
        if trial.by_epoch:
            cfg.log_processor = {**cfg.get("log_processor", {}), "by_epoch": False}
        if cfg.get("custom_hooks"):
            cfg.custom_hooks = [trial.hook(x, f"custom_hooks.{i}") for i, x in enumerate(cfg.custom_hooks)]
        idle = list(_counting_epochs(cfg.get("custom_hooks") or ())) if trial.by_epoch else []
    idle = f"; it counts no epochs, so {' and '.join(idle)} may not act" if idle else ""
    return f"a trial of {steps:,} of the recipe's {trial.total:,} steps (--steps){idle}"


def _counting_epochs(hooks: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    return (str(hook["type"]) for hook in hooks if any("epoch" in key for key in hook))


class _Trial:
    """What becomes of the parts of a config when its training shrinks.

    Attributes:
        by_epoch: Whether the recipe counts epochs.
        total: Steps of the recipe.
    """

    def __init__(self, run: RunConfig, steps: int) -> None:
        self._given = [path for path, origin in run.changes.items() if origin == "--cfg-options"]
        self._train = train = run.cfg.train_cfg
        kind = str(train.get("type", "")).rpartition(".")[2]
        self.by_epoch = train.get("by_epoch", kind != "IterBasedTrainLoop")
        length = "max_epochs" if self.by_epoch else "max_iters"
        if kind not in ("", "EpochBasedTrainLoop", "IterBasedTrainLoop") or length not in train:
            raise LaunchError(f"--steps: how long a {kind or 'training'} is cannot be told from train_cfg")
        if any(self._is_given(f"train_cfg.{x}") for x in (length, "type", "by_epoch")):
            raise LaunchError(
                f"--steps {steps} contradicts train_cfg in --cfg-options, which says how long that is: "
                "leave one out"
            )
        self._each = steps_of_epoch(run.cfg) if self.by_epoch else 1
        self.total = int(train[length] * self._each)
        if not 1 <= steps <= self.total:
            raise LaunchError(
                f"--steps {steps}: expected 1 to {self.total}, which the recipe has; for a longer training "
                f"set train_cfg.{length} and the schedules"
            )
        self._steps = steps

    def loop(self) -> dict[str, Any]:
        """Return ``train_cfg``."""
        old = self._train
        new = {k: v for k, v in old.items() if k not in ("type", "by_epoch", "max_epochs")}
        new |= {"by_epoch": False, "max_iters": self._steps}
        if not self._is_given("train_cfg.val_interval"):
            new["val_interval"] = self._interval(old.get("val_interval", 1 if self.by_epoch else 1000))
        if old.get("val_begin", 1) > 1 and not self._is_given("train_cfg.val_begin"):
            new["val_begin"] = self._moment(old["val_begin"])
        if old.get("dynamic_intervals") and not self._is_given("train_cfg.dynamic_intervals"):
            new["dynamic_intervals"] = [
                (self._moment(begin), self._interval(interval)) for begin, interval in old.dynamic_intervals
            ]
        return new

    def schedules(self, old: Any, path: str) -> Any:
        """Return ``param_scheduler`` without what would begin after the end."""
        if isinstance(old, dict) and "type" in old:
            return self._schedule(old, path)
        if isinstance(old, dict):  # of several optimizers
            return {name: self.schedules(x, f"{path}.{name}") for name, x in old.items()}
        new = [self._schedule(x, f"{path}.{i}") for i, x in enumerate(old)]
        return [x for x in new if x.get("begin", 0) < self._steps]

    def _schedule(self, old: dict[str, Any], path: str) -> dict[str, Any]:
        by_epoch = old.get("by_epoch", True)
        if self._is_given(path) or (by_epoch and not self.by_epoch):
            return old
        new = {k: v for k, v in old.items() if k not in ("convert_to_iter_based", "epoch_length")}
        new["by_epoch"] = False
        for key in _MOMENTS:
            if old.get(key) and not self._is_given(f"{path}.{key}"):
                new[key] = self._moment(old[key], by_epoch)
        for key in _LISTS:
            if key in old and not self._is_given(f"{path}.{key}"):
                new[key] = [self._moment(x, by_epoch) for x in old[key]]
        if old.get("T_max") and old["T_max"] == old.get("end", 0) - old.get("begin", 0):
            new["T_max"] = new["end"] - new.get("begin", 0)  # as rounded
        if str(old["type"]).rpartition(".")[2].startswith("Exponential"):
            new["gamma"] = old["gamma"] ** (1 / self._share(by_epoch))
        return new

    def saving(self, old: dict[str, Any]) -> dict[str, Any]:
        """Return the checkpoint hook."""
        by_epoch, path, new = old.get("by_epoch", True), "default_hooks.checkpoint", {**old}
        if by_epoch and not self.by_epoch:  # once, at the end
            return new
        new["by_epoch"] = False
        if (interval := old.get("interval", -1)) > 0 and not self._is_given(f"{path}.interval"):
            new["interval"] = self._interval(interval, by_epoch)
        for key in ("save_begin", "keep_every"):
            if old.get(key) and not self._is_given(f"{path}.{key}"):
                new[key] = self._moment(old[key], by_epoch)
        if new.get("keep_every") and not self._is_given(f"{path}.keep_every") and new["interval"] > 0:
            times = max(1, round(new["keep_every"] / new["interval"]))  # as the hook asks
            new["keep_every"] = times * new["interval"]
        return new

    def logging(self, old: dict[str, Any]) -> dict[str, Any]:
        """Return the hook that logs, several times in a trial."""
        new = {**old, **({"log_metric_by_epoch": False} if self.by_epoch else {})}
        if not self._is_given("default_hooks.logger.interval"):
            new["interval"] = max(1, min(old.get("interval", 10), self._steps // _MOST))
        return new

    def hook(self, old: dict[str, Any], path: str) -> dict[str, Any]:
        """Return a hook of the config; averages begin in proportion."""
        if self._is_given(path) or not str(old["type"]).endswith("EMAHook"):
            return old
        new = {k: v for k, v in old.items() if k != "begin_epoch"}
        for key, by_epoch in (("begin_epoch", True), ("begin_iter", False)):
            if old.get(key):
                new["begin_iter"] = self._moment(old[key], by_epoch)
        return new

    def _share(self, by_epoch: bool) -> float:
        return self._steps / self.total * (self._each if by_epoch else 1)

    def _moment(self, count: float, by_epoch: bool | None = None) -> int:
        """Return where something lies in the trial; what is not 0 stays that."""
        share = self._share(self.by_epoch if by_epoch is None else by_epoch)
        return min(max(1, round(count * share)), self._steps) if count > 0 else 0

    def _interval(self, count: float, by_epoch: bool | None = None) -> int:
        share = self._share(self.by_epoch if by_epoch is None else by_epoch)
        return max(1, round(count * share), -(-self._steps // _MOST))

    def _is_given(self, path: str) -> bool:
        return any(f"{path}.".startswith(f"{given}.") for given in self._given)


def built_dataset(cfg: ConfigDict, loader: str) -> Dataset:
    """Build the data set of a data loader of a config.

    Raises: ConfigError: if it cannot be used.
    """
    init_default_scope(cfg.get("default_scope", "mmengine"))
    try:
        return DATASETS.build(cfg[loader].dataset)
    except Exception:
        require_sound_data(cfg, loader)  # says what is wrong, if it knows
        raise


def steps_of_epoch(cfg: ConfigDict) -> int:
    """Return the optimizer steps of an epoch over all processes; this reads the list of the data set.

    Raises: ConfigError: if the data set cannot be used.
    """
    loader, processes = cfg.train_dataloader, processes_of(os.environ) if cfg.launcher != "none" else 1
    dataset = built_dataset(cfg, "train_dataloader")
    drawn = dataset
    if loader.get("sampler") is not None:
        drawn = DATA_SAMPLERS.build(loader.sampler, default_args=dict(dataset=dataset, seed=0))
    shared = share_batch(cfg, processes)
    batch = shared.per_device if shared else loader.batch_size
    mine = -(-len(drawn) // processes)
    batches = mine // batch if loader.get("drop_last") else -(-mine // batch)
    batches = min(batches, loader.get("num_batch_per_epoch") or batches)
    return max(1, -(-batches // (shared.accumulation if shared else 1)))
