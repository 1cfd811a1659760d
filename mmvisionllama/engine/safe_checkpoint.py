"""Save trainings so that there is always a checkpoint to go on from."""

from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmvisionllama.checkpoint.reading import CheckpointError
from mmvisionllama.checkpoint.saving import POINTER, remove_checkpoint, remove_strays, write_durably
from mmvisionllama.engine.process_state import capture_process, without_common_buffers
from mmvisionllama.registry import HOOKS

_KEPT = "kept_checkpoints"
RESUME = "resume"  # the key of a checkpoint for what only an exact resume needs


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, which removes nothing before its successor is on disk, verified and named.

    It takes the same arguments; at least two checkpoints are kept. A periodic checkpoint that cannot be
    written (a full disk) or that holds NaN is reported as an error, and training goes on; the first one of a
    run, and the last one, must succeed. It needs a ``ResumableRunner``.

    Raises: ValueError: for a storage that has no rename, e.g. ``backend_args`` of an object store.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.backend_args or self.file_client_args:
            raise ValueError(
                f"backend_args={self.backend_args or self.file_client_args}: checkpoints are renamed when "
                "they are whole, so they need a file system; leave it out"
            )
        if self.max_keep_ckpts > 0:
            self.max_keep_ckpts = max(self.max_keep_ckpts, 2)
        self._saved_once = False
        self._last: tuple[dict[str, Any], dict[str, Any]] | None = None

    def before_train(self, runner: Runner) -> None:
        """Remove what a killed save left behind, besides what the host prepares."""
        super().before_train(runner)
        self.file_backend = _Postponing(self.file_backend)
        # Only beside a last checkpoint does the host save a new best record; a resumed run has one already.
        self.last_ckpt = runner.message_hub.get_info("last_ckpt")
        if is_main_process():
            for path in remove_strays(Path(self.out_dir)):
                runner.logger.info(f"Removed {path}, which a save that did not end had left")
        barrier()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add what only an exact resume needs, if this is a checkpoint to resume."""
        if self._state is not None and "optimizer" in checkpoint:
            checkpoint[RESUME] = self._state

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Hand over to the training loop what only an exact resume needs."""
        if runner._resume and hasattr(runner.train_loop, "to_resume"):
            runner.train_loop.to_resume = checkpoint.get(RESUME)

    def save(self, runner: Runner, name: str, meta: dict[str, Any], *, must: bool = False) -> Path:
        """Save a checkpoint to resume from, by all processes together.

        Args:
            name: Its file name; of a sharded training it becomes that of a folder.
            meta: ``epoch`` and ``iter`` that the resumed run begins with.
            must: Fail where it cannot be saved.
        Raises: CheckpointError: if ``must``, or if this is the first one of the run.
        """
        name = runner.checkpoint_name(name)
        hub, path = runner.message_hub, Path(self.out_dir, name)
        before = hub.get_info(_KEPT, []), hub.get_info("last_ckpt")
        kept = [*(x for x in before[0] if x != name), name]
        surplus = kept[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        hub.update_info(_KEPT, kept[len(surplus) :])
        hub.update_info("last_ckpt", str(path))
        where = runner.train_loop.place(meta) if hasattr(runner.train_loop, "place") else {}
        processes = without_common_buffers(runner.agreement.gathered(capture_process(runner)))
        self._state = {**where, "processes": processes}
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=dict(meta),
            **self.args,
        )
        self._state = None
        problem = runner.agreement.of_first(runner.save_problem)
        if problem is not None:
            hub.update_info(_KEPT, before[0])
            hub.update_info("last_ckpt", before[1])
            if must or not self._saved_once:
                raise CheckpointError(problem)
            runner.logger.error(problem)
            return path
        self._saved_once, self.last_ckpt, self._last = True, str(path), (dict(meta), where)
        if is_main_process():
            write_durably(Path(runner.work_dir, POINTER), str(path))
            for old in surplus:
                remove_checkpoint(Path(self.out_dir, old))
        return path

    def save_here(self, runner: Runner, meta: dict[str, Any]) -> Path:
        """Save where a training is being stopped, unless it has just been saved there."""
        if self._last == (meta, runner.train_loop.place(meta)):
            return Path(self.last_ckpt)
        return self.save(runner, f"iter_{meta['iter']}.pth", meta, must=True)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        last = meta["iter"] >= runner.max_iters
        self.save(runner, self.filename_tmpl.format(step), meta, must=last)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        runner.train_loop.validated = runner.iter
        super()._save_best_checkpoint(runner, metrics)
        best = getattr(self, "best_ckpt_path_dict", None) or {"": getattr(self, "best_ckpt_path", None)}
        self.file_backend.remove_all_but([Path(x) for x in best.values() if x])

    _state: dict[str, Any] | None = None


class _Postponing:
    """A file backend that removes nothing until it is told that the successors are safe."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._waiting: list[Path] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._waiting.append(Path(path))

    def remove_all_but(self, successors: list[Path]) -> None:
        """Remove what waits, if the successors are all there."""
        waiting, self._waiting = self._waiting, []
        for path in waiting if all(x.is_file() for x in successors) else ():
            if path not in successors:
                remove_checkpoint(path)
