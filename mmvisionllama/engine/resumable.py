"""The Runner of this package: mmengine's, whose trainings can be stopped anywhere and go on exactly there."""

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from mmvisionllama.checkpoint.manifest import newest_good
from mmvisionllama.checkpoint.reading import CheckpointError
from mmvisionllama.checkpoint.saving import publish, temporary_of
from mmvisionllama.engine.accumulation import share_steps
from mmvisionllama.engine.loops import ResumableEpochLoop, ResumableIterLoop
from mmvisionllama.engine.nan_guard import NanGuardHook
from mmvisionllama.engine.safe_checkpoint import SafeCheckpointHook
from mmvisionllama.engine.seekable import end_workers, is_seekable, reseed, seekable
from mmvisionllama.engine.stopping import Agreement, StopHook, StopRequest
from mmvisionllama.engine.summary import versions
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
        self.stop_request = StopRequest()
        self.agreement = Agreement()
        self.save_problem: str | None = None
        self.register_hook(StopHook(self.stop_request, self.agreement))
        if not any(isinstance(hook, NanGuardHook) for hook in self.hooks):
            self.register_hook(NanGuardHook())

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

    def train(self) -> Any:
        try:
            with self.stop_request.listening():
                return super().train()
        finally:
            for loop in (self._train_loop, self._val_loop):
                if isinstance(loop, BaseLoop):
                    end_workers(loop.dataloader)

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save as mmengine does, but let the file appear only when it is whole, on disk and finite.

        ``save_problem`` says why it did not appear, None if it did.
        """
        if not is_main_process():
            return
        target = Path(out_dir, filename)
        temporary = temporary_of(target)
        kwargs["meta"] = {**(kwargs.get("meta") or {}), "versions": versions()}
        try:
            super().save_checkpoint(out_dir, temporary.name, *args, **kwargs)
            manifest = publish(target)
        except (OSError, CheckpointError) as error:
            self.save_problem = f"CHECKPOINT NOT SAVED: {target}: {error}"
        else:
            bad = ", ".join(manifest.non_finite)
            self.save_problem = (
                f"CHECKPOINT NOT GOOD: NaN or infinity in {bad}; kept as {manifest.file} for study, never "
                "resumed from"
                if bad
                else None
            )
        finally:
            temporary.unlink(missing_ok=True)

    def save_to_stop(self, step: int) -> Path | None:
        """Save before the training is left after ``step`` iterations; None if the config has no such hook."""
        for hook in self.hooks:
            if isinstance(hook, SafeCheckpointHook):
                return hook.save_here(self, {"epoch": self.epoch, "iter": step})
        return None

    def _choose(self) -> str | None:
        choice = newest_good(self.work_dir) if is_main_process() else None
        choice = self.agreement.of_first(choice)
        for verdict in choice.rejected:
            self.logger.warning(f"Not resumed from {verdict}")
        return None if choice.path is None else str(choice.path)


def _name_of(type_: Any) -> str:
    """Return the name of a class of mmengine, whether the config has it as a string or as itself."""
    return str(getattr(type_, "__name__", type_)).removeprefix("mmengine.")
