"""The Runner of this package: mmengine's, whose trainings can be stopped anywhere and go on exactly there."""

import os
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmengine.runner.checkpoint import _load_checkpoint_to_model, load_checkpoint, save_checkpoint
from torch.utils.data import DataLoader

from mmvisionllama.checkpoint.manifest import Manifest, newest_good
from mmvisionllama.checkpoint.reading import SHARDED, CheckpointError
from mmvisionllama.checkpoint.saving import publish, temporary_of
from mmvisionllama.engine.accumulation import share_steps
from mmvisionllama.engine.distributed import timeout_of
from mmvisionllama.engine.loops import ResumableEpochLoop, ResumableIterLoop
from mmvisionllama.engine.nan_guard import NanGuardHook
from mmvisionllama.engine.safe_checkpoint import SafeCheckpointHook
from mmvisionllama.engine.seekable import end_workers, is_seekable, reseed, seekable
from mmvisionllama.engine.sharded_checkpoint import gathered, save_sharded, sharded_name
from mmvisionllama.engine.sharding import ShardedDataParallel
from mmvisionllama.engine.stopping import Agreement, StopHook, StopRequest
from mmvisionllama.engine.summary import versions
from mmvisionllama.engine.watchdog import Watchdog, keep_errors, phase_after
from mmvisionllama.engine.workers import deaths_told_later
from mmvisionllama.registry import RUNNERS

_LOOPS = {"EpochBasedTrainLoop": ResumableEpochLoop, "IterBasedTrainLoop": ResumableIterLoop}


@RUNNERS.register_module()
class ResumableRunner(Runner):
    """Runner that puts resumable parts in the places of mmengine's, whatever config it is given.

    Its training loops and its checkpoint hook are replaced, datasets and samplers are wrapped. Loops of a
    user's own, and loaders that no config describes, stay what they are; the log says so, since such a run
    does not resume exactly.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        keep_errors(self.logger, Path(self.log_dir, f"{self.timestamp}_rank{self.rank}.log"))
        self.watchdog = Watchdog(self._timeout, self._place, self.logger)
        self.stop_request = StopRequest()
        self.agreement = Agreement(self._timeout)
        self.save_problem: str | None = None
        self._taken: dict[str, Any] | None = None
        self.register_hook(StopHook(self.stop_request, self.agreement))
        if not any(isinstance(hook, NanGuardHook) for hook in self.hooks):
            self.register_hook(NanGuardHook())

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        dist_cfg = env_cfg.get("dist_cfg", {})
        self._timeout = timeout_of(dist_cfg)
        super().setup_env({**env_cfg, "dist_cfg": {**dist_cfg, "timeout": self._timeout}})

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict[str, Any], seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        if isinstance(dataloader, dict):
            parts = (dataloader.get("dataset"), dataloader.get("sampler"))
            if all(isinstance(part, dict) for part in parts):
                dataloader = seekable(dataloader, seed or 0)
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def build_train_loop(self, loop: BaseLoop | dict[str, Any]) -> BaseLoop:
        if isinstance(loop, dict):
            loop = {**loop}
            if "by_epoch" in loop:
                loop["type"] = "EpochBasedTrainLoop" if loop.pop("by_epoch") else "IterBasedTrainLoop"
            loop["type"] = _LOOPS.get(_name_of(loop.get("type")), loop.get("type"))
            share_steps(self)
        built = super().build_train_loop(loop)
        if not isinstance(built, tuple(_LOOPS.values())) or not is_seekable(built.dataloader):
            kind = type(built).__name__
            self.logger.warning(f"{kind} or its dataloader is none of ours: a resumed run will not be exact")
        return built

    def register_hook(self, hook: Hook | dict[str, Any], priority: Any = None) -> None:
        if isinstance(hook, dict) and _name_of(hook.get("type")) == "CheckpointHook":
            hook = {**hook, "type": SafeCheckpointHook}
        super().register_hook(hook, priority)

    def load_or_resume(self) -> None:
        if self._resume and self._load_from is None and not self._has_loaded:
            self._load_from = self._choose()
            self._resume = self._load_from is not None
        super().load_or_resume()

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        before = self.seed
        super().resume(filename, *args, **kwargs)
        if self.seed != before:  # without one in the config, each start draws its own
            for loop in (self._train_loop, self._val_loop):
                if isinstance(loop, BaseLoop) and is_seekable(loop.dataloader):
                    reseed(loop.dataloader, self.seed)

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if not self._is_sharded:
            return super().load_checkpoint(filename, *args, **kwargs)
        checkpoint = self.model.read(Path(filename))
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        _load_checkpoint_to_model(self.model.module, checkpoint)
        self._has_loaded = True
        self.logger.info(f"Load checkpoint from {filename}")
        return checkpoint

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        built = super().build_optim_wrapper(optim_wrapper)
        if self._is_sharded:
            self.model.require_shardable(built)
        return built

    def val(self) -> dict[str, float]:
        with self.watchdog.watching():
            self._shard(initialise=False)
            return super().val()

    def test(self) -> dict[str, float]:
        with self.watchdog.watching():
            self._shard(initialise=False)
            return super().test()

    def train(self) -> Any:
        try:
            with self.stop_request.listening(), self.watchdog.watching():
                self._shard(initialise=True)
                return super().train()
        finally:
            for loop in (self._train_loop, self._val_loop):
                if isinstance(loop, BaseLoop):
                    end_workers(loop.dataloader)

    def checkpoint_name(self, name: str) -> str:
        """Return under which name a checkpoint to resume from appears that others call ``name``."""
        return sharded_name(name) if self._is_sharded else name

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save as mmengine does, but let the checkpoint appear only when it is whole, on disk and finite.

        A sharded training gives a folder if ``filename`` ends in ``.sharded``, else gathers all in one file.
        ``save_problem`` says why it did not appear, None if it did.
        """
        self.watchdog.enter(f"saving of {filename}")
        if not is_main_process() and not self._is_sharded:
            return
        target = Path(out_dir, filename)
        kwargs["meta"] = {**(kwargs.get("meta") or {}), "versions": versions()}
        try:
            with deaths_told_later():
                manifest = self._save(target, *args, **kwargs)
        except (OSError, CheckpointError) as error:
            self.save_problem = f"CHECKPOINT NOT SAVED: {target}: {error}"
        else:
            bad = ", ".join(manifest.non_finite) if manifest else ""
            self.save_problem = (
                f"CHECKPOINT NOT GOOD: NaN or infinity in {bad}; kept as {manifest.file} for study, never "
                "resumed from"
                if bad
                else None
            )

    def _save(self, target: Path, *args: Any, **kwargs: Any) -> Manifest | None:
        if self._is_sharded:
            content = self._content(*args, **kwargs)
            if target.suffix == SHARDED:
                return save_sharded(content, target, self.model, self.agreement)
            content = gathered(content)
            if not is_main_process():
                return None
        temporary = temporary_of(target)
        try:
            if self._is_sharded:
                save_checkpoint(content, str(temporary))
            else:
                super().save_checkpoint(str(target.parent), temporary.name, *args, **kwargs)
            return publish(target)
        finally:
            temporary.unlink(missing_ok=True)

    def _content(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return what mmengine would save, in every process; it offers no way but to let it save."""
        self._taken = {}
        folder, name = os.path.split(os.devnull)
        Runner.save_checkpoint.__wrapped__(self, folder, name, *args, **kwargs)
        taken, self._taken = self._taken, None
        return taken

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        phase = self.watchdog.phase
        self.watchdog.enter(f"hooks at {fn_name}")
        super().call_hook(fn_name, **kwargs)
        in_a_save = fn_name == "before_save_checkpoint"
        self.watchdog.enter(phase if in_a_save else self._phase_after(fn_name, **kwargs))
        if in_a_save and self._taken is not None:
            self._taken.update(kwargs["checkpoint"])
            kwargs["checkpoint"].clear()

    def save_to_stop(self, step: int) -> Path | None:
        """Save before the training is left after ``step`` iterations; None if the config has no such hook."""
        for hook in self.hooks:
            if isinstance(hook, SafeCheckpointHook):
                return hook.save_here(self, {"epoch": self.epoch, "iter": step})
        return None

    @property
    def _is_sharded(self) -> bool:
        return isinstance(self.model, ShardedDataParallel)

    def _shard(self, *, initialise: bool) -> None:
        """Shard a model that is to be sharded, when its weights are there: they are made and loaded whole."""
        if not self._is_sharded or self.model.mesh is not None:
            return
        if initialise:
            super()._init_model_weights()
        if self._load_from is not None and not self._resume and not self._has_loaded:
            load_checkpoint(self.model.module, self._load_from, "cpu", revise_keys=[(r"^module\.", "")])
            self._has_loaded = True
        self.model.shard()

    def _init_model_weights(self) -> None:
        if not self._is_sharded:
            super()._init_model_weights()

    def _place(self) -> str:
        if not isinstance(self._train_loop, BaseLoop):
            return "before the first step"
        return f"after step {self.iter} of {self.max_iters}"

    def _phase_after(self, point: str, batch_idx: int | None = None, **kwargs: Any) -> str:
        loops = {"after_val_iter": self._val_loop, "after_test_iter": self._test_loop}
        if point in loops:
            return phase_after(point, is_last=batch_idx + 1 >= len(loops[point].dataloader))
        phase = phase_after(point)
        if point == "before_train_iter" and not self._has_stepped:
            self._has_stepped = True
            return f"first {phase}" + (", with its compilation" if self.cfg.get("compile") else "")
        return phase

    _has_stepped = False

    def _choose(self) -> str | None:
        choice = newest_good(self.work_dir) if is_main_process() else None
        choice = self.agreement.of_first(choice)
        for verdict in choice.rejected:
            self.logger.warning(f"Not resumed from {verdict}")
        return None if choice.path is None else str(choice.path)


def _name_of(type_: Any) -> str:
    """Return the name of a class of mmengine, whether the config has it as a string or as itself."""
    return str(getattr(type_, "__name__", type_)).removeprefix("mmengine.")
