"""The run: mmengine's Runner whose trainings can be stopped anywhere and go on exactly there.

``mmvisionllama.training.loops`` shows a training from its start to its end; its parts are here.
"""

import pickle
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model.efficient_conv_bn_eval import turn_on_efficient_conv_bn_eval
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import BaseLoop, LogProcessor, Runner
from mmengine.runner import save_checkpoint as write_checkpoint
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from torch import nn
from torch.utils.data import DataLoader

from mmvisionllama.checkpoint.logged_history import with_buffers
from mmvisionllama.checkpoint.manifest import Manifest, newest_good
from mmvisionllama.checkpoint.reading import read_checkpoint
from mmvisionllama.checkpoint.run_identity import (
    RECORD,
    RunRecord,
    checkpoint_folder,
    present_job,
    write_record,
)
from mmvisionllama.checkpoint.saving import publish, temporary_of
from mmvisionllama.checkpoint.sharded import SHARDED
from mmvisionllama.checks.checkpoint import starting_weights
from mmvisionllama.errors import CheckpointError
from mmvisionllama.fault_tolerance.collectives import CPUCollectives
from mmvisionllama.fault_tolerance.disk_faults import DiskFaults, survive_in_logs
from mmvisionllama.fault_tolerance.exact_data_order import exact_order_config, has_exact_order, reseed
from mmvisionllama.fault_tolerance.folder_lock import locked
from mmvisionllama.fault_tolerance.stopping import StopHook, StopRequest
from mmvisionllama.fault_tolerance.watchdog import Watchdog, keep_errors, phase_after
from mmvisionllama.fault_tolerance.worker_init import deferred_sigchld
from mmvisionllama.files import make_new
from mmvisionllama.host_imports import uncollected
from mmvisionllama.host_internals import OpenRunner, end_workers, load_weights, place_loop
from mmvisionllama.registry import RUNNERS
from mmvisionllama.reports.log_processor import OwnValues
from mmvisionllama.reports.screen import show_log
from mmvisionllama.reports.summary import mark_interrupted
from mmvisionllama.runner_parts import unwrapped
from mmvisionllama.training.accumulation import step_dataloader
from mmvisionllama.training.checkpoint_content import (
    RESUME,
    changes_since,
    checkpoint_content,
    dataset_metainfo,
)
from mmvisionllama.training.checkpoint_hook import SafeCheckpointHook
from mmvisionllama.training.distributed import timeout_of
from mmvisionllama.training.hooks import hooks_by, only_reports, priority_of
from mmvisionllama.training.loops import ResumableEpochLoop, ResumableIterLoop, train_run
from mmvisionllama.training.parameter_groups import regrouped, with_grouping
from mmvisionllama.training.resumed_schedules import advance, are_as_saved, restore
from mmvisionllama.training.run_folder import identified, move_later_aside
from mmvisionllama.training.sharded_checkpoint import gathered, save_sharded, sharded_name
from mmvisionllama.training.sharding import ShardedDataParallel

_LOOPS = {"EpochBasedTrainLoop": ResumableEpochLoop, "IterBasedTrainLoop": ResumableIterLoop}
_TIMESTAMPS: set[str] = set()  # of the runs of this process, which may begin within one second


@dataclass(frozen=True)
class Saved:
    """What became of a checkpoint: where it is, or why it is not to be resumed from."""

    path: Path
    problem: str | None = None


@RUNNERS.register_module()
class ResumableRunner(OpenRunner):
    """Runner that puts resumable parts in the places of mmengine's, whatever config it is given.

    Its training loops and its checkpoint hook are replaced, datasets and samplers are wrapped. Loops of a
    user's own, and loaders that no config describes, stay what they are; the log says so, since such a run
    does not resume exactly.

    Attributes:
        resumed_from: The checkpoint that the training goes on from, None in a fresh one.
        run: Which run this is: checkpoints, manifests, logs and summaries say so.
    """

    resumed_from: Path | None = None

    def train(self) -> nn.Module:
        """Do ``train_run``, watched, and stopped by signals."""
        try:
            with self.stop_request.listening(), self._folders_held(), self.watchdog.watching():
                self._shard(initialise=True)
                return train_run(self)
        finally:
            for name in ("train", "val"):
                if name in self.built_loops:
                    end_workers(self.built_loops[name].dataloader)

    def val(self) -> dict[str, float]:
        with self.watchdog.watching():
            self._shard(initialise=False)
            return super().val()

    def test(self) -> dict[str, float]:
        try:
            with self.watchdog.watching():
                self._shard(initialise=False)
                return super().test()
        finally:
            if "test" in self.built_loops:
                end_workers(self.built_loops["test"].dataloader)

    # --- parts ---

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger, whose screen is that of the command."""
        return show_log(super().build_logger(*args, **kwargs))

    def build_optim_wrapper(self, optim_wrapper: Any) -> OptimWrapper | OptimWrapperDict:
        """Build the optimizer, with parameters of the same settings in one group."""
        return super().build_optim_wrapper(with_grouping(optim_wrapper))

    @uncollected()
    def build_training(self) -> None:
        """Build the loop with its data, the optimizer, the schedules, and the validation."""
        loop = self.train_loop
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        if self._is_sharded:
            self.model.require_shardable(self.optim_wrapper)
        self.scale_lr(self.optim_wrapper, self.auto_scale_lr)
        if self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
        if self.val_loop is not None and not hasattr(unwrapped(self), "val_step"):
            raise TypeError(
                f"{type(unwrapped(self)).__name__} has no val_step, which {type(loop).__name__} needs"
            )

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        dist_cfg = env_cfg.get("dist_cfg", {})
        self._timeout = timeout_of(dist_cfg)
        super().setup_env({**env_cfg, "dist_cfg": {**dist_cfg, "timeout": self._timeout}})
        # Two runs of one name would share their logged history.
        name, count = self.timestamp, 1
        while self.timestamp in _TIMESTAMPS:
            count += 1
            self.name_timestamp(f"{name}_{count}")
        _TIMESTAMPS.add(self.timestamp)

    def register_hooks(self, default_hooks: Any = None, custom_hooks: Any = None) -> None:
        keep_errors(self.logger, Path(self.log_dir, f"{self.timestamp}_rank{self.rank}.log"))
        survive_in_logs(self.logger)
        self.disk_faults = DiskFaults(self.logger)
        self.watchdog = Watchdog(self._timeout, self._place, self.logger, told=self._note_end)
        self.stop_request = StopRequest()
        self.run = RunRecord.drawn()
        self.collectives = CPUCollectives(self._timeout)
        super().register_hooks(default_hooks, custom_hooks)
        for hook in hooks_by("runner", self):
            self.register_hook(hook)

    def register_hook(self, hook: Hook | dict[str, Any], priority: Any = None) -> None:
        """Register a hook at its place in ``mmvisionllama.training.hooks``, if it is on that list."""
        name = type(hook).__name__
        if isinstance(hook, dict):
            name = _name_of(hook.get("type")).rpartition(".")[2]
            if name == "CheckpointHook":
                hook, name = {**hook, "type": SafeCheckpointHook}, SafeCheckpointHook.__name__
            priority = hook.get("priority", priority)
        super().register_hook(hook, priority or priority_of(name))

    def build_log_processor(self, log_processor: LogProcessor | dict[str, Any]) -> LogProcessor:
        """Let lines after a validation say what this one gave, unless the config names another processor."""
        if isinstance(log_processor, dict) and log_processor.get("type", "LogProcessor") == "LogProcessor":
            log_processor = {**log_processor, "type": OwnValues}
        return super().build_log_processor(log_processor)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict[str, Any], seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        if isinstance(dataloader, dict):
            parts = (dataloader.get("dataset"), dataloader.get("sampler"))
            if all(isinstance(part, dict) for part in parts):
                dataloader = exact_order_config(dataloader, seed or 0)
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def build_evaluator(self, evaluator: Any) -> Evaluator:
        """Build the metrics, whose results travel through the process group: machines share no other folder.

        mmengine's word for that is "gpu", whatever the group computes on; by itself it writes files below the
        current directory. A metric with a ``collect_dir`` of its own keeps it.
        """
        built = super().build_evaluator(evaluator)
        for metric in built.metrics:
            if getattr(metric, "collect_dir", None) is None:
                metric.collect_device = "gpu"
        return built

    def build_train_loop(self, loop: BaseLoop | dict[str, Any]) -> BaseLoop:
        if isinstance(loop, dict):
            loop = {**loop}
            if "by_epoch" in loop:
                loop["type"] = "EpochBasedTrainLoop" if loop.pop("by_epoch") else "IterBasedTrainLoop"
            loop["type"] = _LOOPS.get(_name_of(loop.get("type")), loop.get("type"))
            if (dataloader := step_dataloader(self)) is not None:
                loop["dataloader"] = dataloader
        built = super().build_train_loop(loop)
        if not isinstance(built, tuple(_LOOPS.values())) or not has_exact_order(built.dataloader):
            kind = type(built).__name__
            self.logger.warning(f"{kind} or its dataloader is none of ours: a resumed run will not be exact")
        return built

    # --- load or resume ---

    def load_or_resume(self) -> dict[str, Any] | None:
        """Load the weights or the training that the run starts from, once.

        Returns: What the checkpoint of a resumed training keeps for the loop, see ``_TrainLoop.run``.
        """
        path, resume = self.start
        if self.has_loaded:
            return None
        if resume and path is None:
            path = self._choose()
        if path is None:
            return None
        return self.resume(path) if resume else self.load_checkpoint(path) and None

    def begin(self) -> None:
        """Say in the work directory and in the log which run this is."""
        folder = checkpoint_folder(self.work_dir, self._out_dir)
        self.run = self.collectives.of_first(replace(self.run, out_dir=str(folder), job=present_job()))
        if not is_main_process():
            return
        if self.resumed_from is not None:
            for note in move_later_aside(self.work_dir, self._out_dir, self.run, self.iter):
                self.logger.info(note)
        with self.disk_faults.survived(RECORD):
            write_record(self.work_dir, self.run)
        origin = self.run.forked_from or {}
        forked = f", forked from {origin.get('checkpoint')} (run {origin.get('run_id')})" if origin else ""
        self.logger.info(f"Run {self.run.run_id}{forked}")

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Go back to the training that a checkpoint holds: counts, seed, history, optimizer, schedules."""
        checkpoint = self.load_checkpoint(filename)
        meta = checkpoint["meta"]
        place_loop(self.train_loop, meta["epoch"], meta["iter"])
        self.resumed_from = Path(filename)
        if meta.get("seed") is not None and meta["seed"] != self.seed:
            self._resume_seed(meta["seed"])
        if pickle.dumps(meta.get("dataset_meta")) != pickle.dumps(dataset_metainfo(self)):
            self.logger.warning(
                "The training data have other classes or colours than those of the checkpoint"
            )
        found = identified(filename, meta, self.work_dir, self._out_dir) if is_main_process() else None
        self.run, is_fork = self.collectives.of_first(found)
        self.message_hub.load_state_dict(with_buffers(checkpoint["message_hub"]))
        for hook in self._checkpoint_hooks:
            hook.take_up(self, is_fork=is_fork)
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        restored = ["weights", "optimizer", "logged history"]
        restored[2:2] = self._resume_optimizer(checkpoint)
        if changes := changes_since(meta):
            self.logger.warning(
                f"Other than when {Path(filename).name} was saved: {changes}. Bits may differ"
            )
        self.logger.info(f"resumed epoch: {self.epoch}, iter: {self.iter}", extra={"in_log_alone": True})
        return {**checkpoint[RESUME], "restored": restored} if RESUME in checkpoint else None

    def _resume_optimizer(self, checkpoint: Mapping[str, Any]) -> list[str]:
        """Restore the optimizer and its schedules, those of the config if these are others; say which."""
        groups, saved, states = None, checkpoint["optimizer"], checkpoint.get("param_schedulers")
        if isinstance(self.optim_wrapper, OptimWrapper):
            saved, states = regrouped(saved, states, self.optim_wrapper, unwrapped(self))
        if self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
            if states is not None and not are_as_saved(self.param_schedulers, states):
                done = dict(iterations=self.iter, epochs=self.epoch, epoch_length=len(self.train_dataloader))
                groups = advance(self.param_schedulers, self.optim_wrapper, **done)
        self.optim_wrapper.load_state_dict(saved)
        if self.param_schedulers is None:
            return []
        if states is None:
            self.logger.warning("The checkpoint holds no state of the schedules: they begin anew")
            return []
        if groups is None:
            restore(self.param_schedulers, states)
            return ["schedules"]
        for group, now in zip(self.optim_wrapper.param_groups, groups, strict=True):
            group.update(now)
        self.logger.warning(
            "param_scheduler is other than in the checkpoint: the run goes on as the new one is at step "
            f"{self.iter}"
        )
        return ["schedules of the config"]

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load the weights of a checkpoint, sharded or whole, and return all that it holds."""
        path = Path(filename)
        checkpoint = self.model.read(path) if self._is_sharded else read_checkpoint(filename)
        if "train" in self.built_loops and not self.start[1]:
            checkpoint = self._fitted(unwrapped(self), checkpoint, path)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        load_weights(unwrapped(self), checkpoint)
        self.has_loaded = True
        self.logger.info(f"Load checkpoint from {filename}")
        return checkpoint

    def _fitted(self, model: nn.Module, checkpoint: dict[str, Any], path: Path) -> dict[str, Any]:
        """Return a checkpoint to start from whose weights fit the classes of the training data."""
        metainfo = dataset_metainfo(self) or {}
        fit = starting_weights(model, checkpoint, path, self.cfg, metainfo.get("classes"))
        return {**checkpoint, "state_dict": fit.weights} if fit.is_changed else checkpoint

    def _resume_seed(self, seed: int) -> None:
        if self.cfg.get("randomness", {}).get("seed") is not None:
            self.logger.warning(
                f"The seed is {seed}, as in the checkpoint, not {self.seed}, as in the config"
            )
        self.use_seed(seed)
        for name in ("train", "val"):
            loop = self.built_loops.get(name)
            if loop is not None and has_exact_order(loop.dataloader):
                reseed(loop.dataloader, seed)

    def _choose(self) -> str | None:
        choice = newest_good(self.work_dir, self._out_dir) if is_main_process() else None
        choice = self.collectives.of_first(choice)
        for verdict in choice.rejected:
            self.logger.warning(f"Not resumed from {verdict}")
        return None if choice.path is None else str(choice.path)

    def init_weights(self) -> None:
        """Make the first weights, and switch on what the config asks for in the model."""
        if not self._is_sharded:  # else they were made before they were shared out
            self.init_model_weights()
        for key, turn_on in _SWITCHES.items():
            if (modules := self.cfg.get(key)) is not None:
                self.logger.info(f'Enabling "{key}" for sub-modules: {modules}')
                turn_on(unwrapped(self), modules)

    def prepare_step(self) -> None:
        """Tell the optimizer where the run is, and compile the step if the config asks for it."""
        self.optim_wrapper.initialize_count_status(self.model, self.iter, self.max_iters)
        self.compile_step("train_step")

    # --- save and stop ---

    def save_after_step(self) -> None:
        """Save if the interval of the checkpoint hook counts iterations and this one is due."""
        for hook in self._checkpoint_hooks:
            hook.save_after_step(self, self.iter)

    def save_after_epoch(self) -> None:
        """Save if the interval counts epochs and the one that ends is due; it is not counted yet."""
        for hook in self._checkpoint_hooks:
            hook.save_after_epoch(self, self.epoch + 1)

    def stop_if_asked(self) -> None:
        """Save and raise ``Stopped`` if a signal has come and all processes know it."""
        for hook in self.hooks:
            if isinstance(hook, StopHook):
                hook.stop_if_asked(self, self.iter)

    def save_to_stop(self, step: int) -> Path | None:
        """Save before the training is left after ``step`` iterations; None if the config has no such hook."""
        return next((hook.save_here(self, step) for hook in self._checkpoint_hooks), None)

    def checkpoint_name(self, name: str) -> str:
        """Return under which name a checkpoint to resume from appears that others call ``name``."""
        return sharded_name(name) if self._is_sharded else name

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict[str, Any] | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: Mapping[str, Any] | None = None,
        by_epoch: bool = True,
        backend_args: dict[str, Any] | None = None,
        *,
        exact: Mapping[str, Any] | None = None,
    ) -> Saved:
        """Save what ``checkpoint_content`` collects; it appears only when it is whole, on disk and finite.

        A sharded training gives a folder if ``filename`` ends in ``.sharded``, else gathers all in one file.

        Args:
            meta: ``epoch`` and ``iter`` that a resumed run begins with; None: those after this step or epoch.
            exact: What the loop needs to go on exactly, see ``checkpoint_content``.
        Returns: Where it is, and the problem if it must not be resumed from, as the first process knows it.
        """
        phase = self.watchdog.phase
        self.watchdog.enter(f"saving of {filename}")
        target = Path(out_dir, filename)
        counts = {"epoch": self.epoch + by_epoch, "iter": self.iter + (not by_epoch)}
        options = dict(save_optimizer=save_optimizer, save_param_scheduler=save_param_scheduler, exact=exact)
        saved = Saved(target)
        try:
            with deferred_sigchld():
                if is_main_process() or self._is_sharded:
                    manifest = self._write(
                        target, checkpoint_content(self, {**counts, **(meta or {})}, **options)
                    )
                    saved = _judged(target, manifest)
        except (OSError, CheckpointError) as error:
            saved = Saved(target, f"CHECKPOINT NOT SAVED: {target}: {error}")
        self.watchdog.enter(phase)
        return saved

    def _write(self, target: Path, content: dict[str, Any]) -> Manifest | None:
        if self._is_sharded:
            if target.suffix == SHARDED:
                return save_sharded(content, target, self.model, self.collectives)
            content = gathered(content)
            if not is_main_process():
                return None
        temporary = temporary_of(target)
        target.parent.mkdir(parents=True, exist_ok=True)  # it may have vanished
        try:
            make_new(temporary)
            write_checkpoint(content, str(temporary))
            return publish(target)
        finally:
            temporary.unlink(missing_ok=True)

    @cached_property
    def config_text(self) -> str:
        """The config as Python text; to format it takes longer than a small checkpoint."""
        return self.cfg.pretty_text

    @property
    def _out_dir(self) -> str | None:
        return next((hook.configured_out_dir for hook in self._checkpoint_hooks), None)

    @contextmanager
    def _folders_held(self) -> Iterator[None]:
        """Keep other runs out of the folders of this one while it trains."""
        with ExitStack() as held:
            if is_main_process():
                for folder in {Path(self.work_dir), checkpoint_folder(self.work_dir, self._out_dir)}:
                    if (problem := held.enter_context(locked(folder))) is not None:
                        self.logger.warning(problem)
            yield

    @property
    def _checkpoint_hooks(self) -> list[SafeCheckpointHook]:
        return [hook for hook in self.hooks if isinstance(hook, SafeCheckpointHook)]

    # --- sharding, and what the watchdog tells ---

    @property
    def _is_sharded(self) -> bool:
        return isinstance(self.model, ShardedDataParallel)

    def _shard(self, *, initialise: bool) -> None:
        """Shard a model that is to be sharded, when its weights are there: they are made and loaded whole."""
        if not self._is_sharded or self.model.mesh is not None:
            return
        if initialise:
            self.init_model_weights()
        path, resume = self.start
        if path is not None and not resume and not self.has_loaded:
            checkpoint = self._fitted(self.model.module, read_checkpoint(path), Path(path))
            load_weights(self.model.module, checkpoint)
            self.has_loaded = True
        self.model.shard()

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        phase = self.watchdog.phase
        self.watchdog.enter(f"hooks at {fn_name}")
        for hook in self.hooks:
            if hasattr(hook, fn_name):
                what = f"{type(hook).__name__} at {fn_name}"
                with self.disk_faults.survived(what) if only_reports(hook) else nullcontext():
                    getattr(hook, fn_name)(self, **kwargs)
        in_a_save = fn_name == "before_save_checkpoint"
        self.watchdog.enter(phase if in_a_save else self._phase_after(fn_name, **kwargs))

    def _note_end(self, error: str) -> None:
        if is_main_process():
            mark_interrupted(self.work_dir, error)

    def _place(self) -> str:
        return (
            f"after step {self.iter} of {self.max_iters}"
            if "train" in self.built_loops
            else "before the first step"
        )

    def _phase_after(self, point: str, batch_idx: int | None = None, **kwargs: Any) -> str:
        loop = self.built_loops.get(point.removeprefix("after_").removesuffix("_iter"))
        if point in ("after_val_iter", "after_test_iter"):
            return phase_after(point, is_last=batch_idx + 1 >= len(loop.dataloader))
        phase = phase_after(point)
        if point == "before_train_iter" and not self._has_stepped:
            self._has_stepped = True
            return f"first {phase}" + (", with its compilation" if self.cfg.get("compile") else "")
        return phase

    _has_stepped = False


_SWITCHES = {
    "activation_checkpointing": turn_on_activation_checkpointing,
    "efficient_conv_bn_eval": turn_on_efficient_conv_bn_eval,
}


def _judged(target: Path, manifest: Manifest | None) -> Saved:
    if manifest is None or not manifest.non_finite:
        return Saved(target)
    bad = ", ".join(manifest.non_finite)
    what = f"NaN or infinity in {bad}; kept as {manifest.file} for study, never resumed from"
    return Saved(target.with_name(manifest.file), f"CHECKPOINT NOT GOOD: {what}")


def _name_of(type_: Any) -> str:
    """Return the name of a class of mmengine, whether the config has it as a string or as itself."""
    return str(getattr(type_, "__name__", type_)).removeprefix("mmengine.")
