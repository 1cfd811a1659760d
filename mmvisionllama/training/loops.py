"""A training on one screen: load or resume, step, save, stop, validate.

``train_run`` is what ``ResumableRunner.train`` does; it ends in ``run`` of a loop. What else happens around a
step, and in which order, is listed in ``mmvisionllama.training.hooks``.
"""

from collections.abc import Iterator
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn

from mmvisionllama.fault_tolerance.exact_data_order import batches_from, seek
from mmvisionllama.fault_tolerance.process_state import restore_process, same_streams
from mmvisionllama.fault_tolerance.random_state import (
    capture_random_state,
    restore_random_state,
    split_streams,
)
from mmvisionllama.host_internals import restart_timer
from mmvisionllama.registry import LOOPS


def train_run(runner: Any) -> nn.Module:
    """Train from start to end; the parts are methods of ``ResumableRunner``, the loop is below.

    Raises:
        Stopped: after a signal, when everything is saved.
        GoBack, Diverged: after NaN or infinity, see ``NanGuardHook``.
    """
    runner.build_training()
    runner.call_hook("before_run")
    runner.init_weights()
    resumed = runner.load_or_resume()
    runner.begin()
    split_streams(runner.seed, runner.rank)  # now that all processes have made the same weights
    runner.prepare_step()
    model = runner.train_loop.run(resumed) if resumed else runner.train_loop.run()
    runner.call_hook("after_run")
    return model


class _TrainLoop:
    """What the loops over epochs and over iterations share.

    Attributes:
        validated: Training iterations behind the last validation.
    """

    validated = 0
    _epoch_begin = 0  # iterations before this epoch

    def run(self, resumed: dict[str, Any] | None = None) -> nn.Module:
        """Train to the end, from the beginning or from where a checkpoint was saved.

        Args:
            resumed: What the checkpoint keeps for an exact resume: ``place`` and the state of every process;
                and what was ``restored`` from it, in words.
        """
        self.runner.call_hook("before_train")
        self.resume(resumed)
        self.validate_if_due()
        while not self.is_finished:
            for index, batch in self.batches():
                self.step(index, batch)
                self.runner.save_after_step()
                self.runner.stop_if_asked()
                restart_timer(self.runner.hooks)
            self.end_epoch()
            self.validate_if_due()
            restart_timer(self.runner.hooks)
        self.end_training()
        self.runner.call_hook("after_train")
        return self.runner.model

    def step(self, index: int, batch: Any) -> None:
        """Compute a batch: forward, backward, optimizer step, and the hooks before and after."""
        runner = self.runner
        runner.call_hook("before_train_iter", batch_idx=index, data_batch=batch)
        outputs = runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
        runner.call_hook("after_train_iter", batch_idx=index, data_batch=batch, outputs=outputs)
        self._iter += 1

    def validate_if_due(self) -> None:
        """Validate if the interval says so and it is not done; the hooks save a new best checkpoint."""
        if self.runner.val_loop is not None and self.validation_is_due:
            self.runner.val_loop.run()
            self.validated = self._iter

    def place(self, meta: dict[str, Any], validated: int | None = None) -> dict[str, int]:
        """Say where a checkpoint with this ``meta`` is saved: batch of the epoch, and last validated step."""
        inside = meta["epoch"] == self._epoch
        batch = meta["iter"] - self._epoch_begin if inside else 0
        return {"batch": batch, "validated": self.validated if validated is None else validated}

    def resume(self, resumed: dict[str, Any] | None) -> None:
        """Go back to the place, random state and unfinished gradients of a checkpoint."""
        logger, world_size = self.runner.logger, get_world_size()
        place = resumed or self.place_by_counts()
        self.validated = place["validated"]
        self._epoch_begin = self._iter - place["batch"]
        if resumed is None:
            if self._iter:
                logger.warning("No random state in this checkpoint: the run goes on, not exactly")
            return
        processes = resumed["processes"]
        if len(processes) == world_size:
            if world_size > 1 and same_streams(processes):
                logger.warning(
                    "Saved by a version before 0.2, whose processes drew the same random numbers. It goes on "
                    "exactly: times, noise, masks and drop-path stay the same in all of them"
                )
            restore_process(self.runner, processes[get_rank()])
        else:
            logger.warning(
                f"Saved by {len(processes)} processes, resumed by {world_size}: it goes on, not exactly"
            )
        logger.info(
            f"Resumed at step {self._iter} of {self._max_iters}, epoch {self._epoch + 1}, batch "
            f"{place['batch']}: {', '.join(resumed['restored'])}"
            + (", gradients of an unfinished accumulation" if processes[0]["gradients"] else "")
            + f" and the random state of {len(processes)} process{'es' if len(processes) > 1 else ''}"
        )

    def begin_epoch(self) -> None:
        """Call the hooks; when a run goes on inside an epoch, what they draw was drawn when it began."""
        before = capture_random_state()
        self.runner.call_hook("before_train_epoch")
        if self._iter > self._epoch_begin:
            restore_random_state(before)

    def _is_due(self, count: int, last: int) -> bool:
        self._decide_current_val_interval()
        regular = count >= self.val_begin and (count % self.val_interval == 0 or count == last)
        return regular and 0 < self._iter != self.validated


@LOOPS.register_module()
class ResumableEpochLoop(_TrainLoop, EpochBasedTrainLoop):
    """mmengine's EpochBasedTrainLoop, which also goes on in the middle of an epoch."""

    def batches(self) -> Iterator[tuple[int, Any]]:
        """Yield what is left of this epoch."""
        self.begin_epoch()
        self.runner.model.train()
        start = self._iter - self._epoch_begin
        seek(self.dataloader, self._epoch, start)
        if start < len(self.dataloader):
            yield from enumerate(self.dataloader, start)

    def end_epoch(self) -> None:
        self.runner.call_hook("after_train_epoch")
        self.runner.save_after_epoch()
        self._epoch += 1
        self._epoch_begin = self._iter

    def end_training(self) -> None:
        """Every epoch has ended."""

    def place_by_counts(self) -> dict[str, int]:
        """Tell the place from the counts of iterations and epochs, which is all that mmengine saves."""
        return {"batch": max(self._iter - self._epoch * len(self.dataloader), 0), "validated": self._iter}

    @property
    def is_finished(self) -> bool:
        return self._epoch >= self._max_epochs or self.stop_training

    @property
    def validation_is_due(self) -> bool:
        return self._iter == self._epoch_begin and self._is_due(self._epoch, self._max_epochs)


@LOOPS.register_module()
class ResumableIterLoop(_TrainLoop, IterBasedTrainLoop):
    """mmengine's IterBasedTrainLoop, which reaches the place where it goes on without passing others."""

    _endless: Iterator[Any] | None = None

    def batches(self) -> Iterator[tuple[int, Any]]:
        """Yield batches until a validation is due or the training ends, all of them in one epoch."""
        if self._endless is None:
            self.begin_epoch()
            self._endless = batches_from(self.dataloader, self._iter)
        validates = self.runner.val_loop is not None
        while not (self.is_finished or (validates and self.validation_is_due)):
            self.runner.model.train()
            yield self._iter, next(self._endless)

    def end_epoch(self) -> None:
        """The one epoch lasts until ``end_training``."""

    def end_training(self) -> None:
        self.runner.call_hook("after_train_epoch")
        self.runner.save_after_epoch()

    def place_by_counts(self) -> dict[str, int]:
        """Tell the place from the count of iterations, which is all that mmengine saves."""
        return {"batch": self._iter, "validated": self._iter}

    @property
    def is_finished(self) -> bool:
        return self._iter >= self._max_iters or self.stop_training

    @property
    def validation_is_due(self) -> bool:
        return self._is_due(self._iter, self._max_iters)
