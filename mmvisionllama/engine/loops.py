"""Training loops that go on exactly where a checkpoint was saved, also in the middle of an epoch."""

from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mmvisionllama.engine.process_state import restore_process
from mmvisionllama.engine.random_state import restore_random_state
from mmvisionllama.engine.seekable import batches_from, seek
from mmvisionllama.registry import LOOPS


class _Resuming:
    """What both loops share: where in an epoch they are, and whether a validation is due.

    Attributes:
        to_resume: What ``place`` gave to the checkpoint that a run goes on from; None in a fresh run.
        validated: Training iterations behind the last validation.
    """

    to_resume: dict[str, Any] | None = None
    validated = 0
    _first_iter = 0  # iterations before this epoch

    def place(self, meta: dict[str, Any]) -> dict[str, int]:
        """Say where a checkpoint with this ``meta`` is saved, for a later ``to_resume``."""
        inside = meta["epoch"] == self._epoch
        return {"batch": meta["iter"] - self._first_iter if inside else 0, "validated": self.validated}

    def _resume(self) -> None:
        batches = len(self.dataloader) if isinstance(self, EpochBasedTrainLoop) else 0
        state = self.to_resume or {
            # What mmengine saves tells no more than this.
            "batch": max(self._iter - self._epoch * batches, 0),
            "validated": self._iter,
        }
        self.validated = state["validated"]
        self._first_iter = self._iter - state["batch"]
        if self.to_resume is None:
            if self._iter:
                self.runner.logger.warning("No random state in this checkpoint: the run goes on, not exactly")
            return
        processes = state["processes"]
        if len(processes) == get_world_size():
            restore_process(self.runner, processes[get_rank()])
        else:
            self.runner.logger.warning(
                f"Saved by {len(processes)} processes, resumed by {get_world_size()}: it goes on, not exactly"
            )
        self.runner.logger.info(
            f"Resumed at step {self._iter} of {self._max_iters}, epoch {self._epoch + 1}, batch "
            f"{state['batch']}: weights, optimizer, schedules, logged history"
            + (", gradients of an unfinished accumulation" if processes[0]["gradients"] else "")
            + f" and the random state of {len(processes)} process{'es' if len(processes) > 1 else ''}"
        )

    def _restore_randomness(self) -> None:
        processes = (self.to_resume or {}).get("processes", [])
        if len(processes) == get_world_size():
            restore_random_state(processes[get_rank()]["random"])

    def _validate_once(self) -> None:
        self._decide_current_val_interval()
        if self._iter and self.validated != self._iter and self._validation_is_due():
            self.runner.val_loop.run()
            self.validated = self._iter

    def _is_due(self, count: int, last: int) -> bool:
        regular = count >= self.val_begin and (count % self.val_interval == 0 or count == last)
        return self.runner.val_loop is not None and regular


@LOOPS.register_module()
class ResumableEpochLoop(_Resuming, EpochBasedTrainLoop):
    """mmengine's EpochBasedTrainLoop, which also goes on in the middle of an epoch."""

    def run(self) -> Any:
        self.runner.call_hook("before_train")
        self._resume()
        if self._first_iter == self._iter:
            self._validate_once()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_once()
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        start = self._iter - self._first_iter
        seek(self.dataloader, self._epoch, start)
        if start:
            self._restore_randomness()  # what the hooks drew now, they had drawn when the epoch began
        if start < len(self.dataloader):
            for index, data_batch in enumerate(self.dataloader, start):
                self.run_iter(index, data_batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
        self._first_iter = self._iter

    def _validation_is_due(self) -> bool:
        return self._is_due(self._epoch, self._max_epochs)


@LOOPS.register_module()
class ResumableIterLoop(_Resuming, IterBasedTrainLoop):
    """mmengine's IterBasedTrainLoop, which reaches the place where it goes on without passing others."""

    def run(self) -> Any:
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self._resume()
        self._validate_once()
        self.dataloader_iterator = batches_from(self.dataloader, self._iter)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._validate_once()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _validation_is_due(self) -> bool:
        return self._is_due(self._iter, self._max_iters)
